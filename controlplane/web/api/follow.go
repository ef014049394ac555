package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/progress"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// An EnvelopeJSON is one message of a job's WebSocket. Which field is there
// follows from the type: the job for started and finished, the progress, or lines.
type EnvelopeJSON struct {
	Type     string          `json:"type"`
	Job      *jobJSON        `json:"job,omitempty"`
	Progress *progressJSON   `json:"progress,omitempty"`
	Lines    []base.LineJSON `json:"lines,omitempty"`
}

// progressJSON is restic's latest status without what only agents need.
type progressJSON struct {
	Scanned      bool     `json:"scanned"`
	Percent      float64  `json:"percent"`
	TotalFiles   uint64   `json:"total_files"`
	FilesDone    uint64   `json:"files_done"`
	TotalBytes   uint64   `json:"total_bytes"`
	BytesDone    uint64   `json:"bytes_done"`
	Errors       uint64   `json:"errors"`
	Seconds      uint64   `json:"seconds"`
	SecondsLeft  uint64   `json:"seconds_left"`
	CurrentFiles []string `json:"current_files"`
	Stage        int      `json:"stage" doc:"from 1, of a job that tells stages: percent is of the stage, then; else 0"`
	Stages       int      `json:"stages" doc:"how many stages there are; 0 is not known"`
	Doing        string   `json:"doing" doc:"what it does in the stage, in words"`
	Done         uint64   `json:"done" doc:"of the stage, counted in unit"`
	Total        uint64   `json:"total" doc:"0 is not known"`
	Unit         string   `json:"unit" doc:"packs for example"`
	Mute         bool     `json:"mute" doc:"this version of restic tells no progress of what it does"`
	Measured     bool     `json:"measured" doc:"percent means something"`
	Text         string   `json:"text" doc:"for people, without the percentage"`

	Waits   *lockWaitJSON `json:"waits" doc:"it waits for a lock that somebody else has; else null"`
	Trouble *troubleJSON  `json:"trouble,omitempty"`
}

// A lockWaitJSON is that a running job waits for a lock. Times are by the host's clock.
type lockWaitJSON struct {
	Since *time.Time    `json:"since"`
	Until *time.Time    `json:"until" doc:"when it gives up, or null"`
	Locks []topics.Lock `json:"locks" nullable:"false" doc:"the first that are in its way"`
	More  int           `json:"more" doc:"how many more"`
}

// troubleJSON is what restic is trying again with its storage.
type troubleJSON struct {
	Words   string `json:"words"`
	Code    int    `json:"code,omitempty"`
	Mute    bool   `json:"mute,omitempty"`
	Seconds int64  `json:"seconds"`
	Times   int    `json:"times"`
	Again   int64  `json:"again"`
}

func progressOf(j store.Job, p topics.Progress, now time.Time) *progressJSON {
	far := progress.Of(j, p, true, now)
	var trouble *troubleJSON
	if t := p.Trouble; t != nil {
		trouble = &troubleJSON{Words: t.Words, Code: t.Code, Mute: t.Mute, Seconds: t.Seconds, Times: t.Times, Again: t.Again}
	}
	out := &progressJSON{
		Scanned:      p.Scanned,
		Percent:      p.Percent,
		TotalFiles:   p.TotalFiles,
		FilesDone:    p.FilesDone,
		TotalBytes:   p.TotalBytes,
		BytesDone:    p.BytesDone,
		Errors:       p.Errors,
		Seconds:      p.Seconds,
		SecondsLeft:  p.SecondsLeft,
		CurrentFiles: filled(p.CurrentFiles),
		Trouble:      trouble,
		Stage:        p.Stage,
		Stages:       p.Stages,
		Doing:        p.Doing,
		Done:         p.Done,
		Total:        p.Total,
		Unit:         p.Unit,
		Mute:         p.Mute,
		Measured:     far.Percent >= 0,
		Text:         far.Line(),
	}
	if w := p.Waits; w != nil {
		out.Waits = &lockWaitJSON{Since: base.JSONTime(w.Since), Until: base.JSONTime(w.Until), Locks: append([]topics.Lock{}, w.Locks...),
			More: w.More}
	}
	return out
}

// describeStream adds the WebSocket to the API's description; huma knows only
// requests that are answered.
func describeStream(api huma.API) {
	least := 0.0
	api.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "follow-job",
		Summary:     "A job as it happens, over a WebSocket",
		Method:      http.MethodGet,
		Path:        "/api/jobs/{id}/stream",
		Description: "Text messages, each a JSON object with a type: job.started and job.finished carry job, job.progress carries progress, " +
			"log.stream carries lines (or gaps). After job.finished the server closes the connection. Needs the role viewer.",
		Security: secured,
		Parameters: []*huma.Param{
			{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "after", In: "query", Description: "the last log line the client has",
				Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &least}},
		},
		Responses: map[string]*huma.Response{"101": {Description: "Switching to WebSocket"}},
	})
}

var errNoWebSocket = &problem.Problem{Kind: problem.UpgradeRequired, Title: "This address speaks WebSocket",
	Say: "The request is no WebSocket handshake.", Do: "Connect with a WebSocket client, or read the log from /api/jobs/{id}/log."}

func checkHandshake(w http.ResponseWriter, r *http.Request) error {
	has := func(header, token string) bool {
		for _, v := range r.Header.Values(header) {
			for t := range strings.SplitSeq(v, ",") {
				if strings.EqualFold(strings.TrimSpace(t), token) {
					return true
				}
			}
		}
		return false
	}
	if !has("Connection", "upgrade") || !has("Upgrade", "websocket") || r.Header.Get("Sec-WebSocket-Version") != "13" ||
		r.Header.Get("Sec-WebSocket-Key") == "" {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		return errNoWebSocket
	}
	return nil
}

// Follow tells a job's story over a WebSocket. A client that does not take a
// message in time is let go: it can come back with ?after=N.
func (a *API) Follow(w http.ResponseWriter, r *http.Request) error {
	after := 0
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.Atoi(text); err != nil || after < 0 {
			return &problem.Problem{
				Kind:  problem.Invalid,
				Title: "The request does not fit",
				Say:   "after is the number of a log line, from 0.",
				Do:    "Leave it out for all of the log.",
			}
		}
	}
	j, err := a.Job(r.Context(), base.JobID(r))
	if err != nil {
		return err
	}
	id := j.ID
	if err := checkHandshake(w, r); err != nil {
		return err
	}
	ctx, end, err := a.Begin(r)
	if err != nil {
		return err
	}
	defer end()
	// The deadlines of an ordinary answer would stay with the connection.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		a.LogEnd(r, err) // it has answered
		return nil
	}
	defer func() { _ = c.CloseNow() }()
	ctx, cancel := context.WithCancelCause(ctx)
	// The library closes a connection whose context ends; ours shall hear why.
	gone := c.CloseRead(context.WithoutCancel(ctx))
	defer context.AfterFunc(gone, func() { cancel(errGone) })()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		a.pingSocket(ctx, c, cancel)
	}()
	defer func() {
		cancel(nil)
		<-watched
	}()

	err = jobs.Follow(ctx, a.Store, a.Hub, id, after, func(e jobs.Envelope) error { return a.tellSocket(ctx, c, id, e) })
	code, reason := websocket.StatusGoingAway, "the server is being stopped"
	switch cause := context.Cause(ctx); {
	case err == nil:
		code, reason = websocket.StatusNormalClosure, "the job has ended"
	case errors.Is(cause, base.ErrOut):
		code, reason = websocket.StatusPolicyViolation, "no longer signed in"
	case errors.Is(cause, errGone), cause == nil:
		a.LogEnd(r, err)
		return nil
	}
	// The library would wait ten seconds for a client that does not answer.
	_ = rc.SetReadDeadline(base.Deadline(goodbye))
	_ = rc.SetWriteDeadline(base.Deadline(goodbye))
	_ = c.Close(code, reason) // whether it heard us makes no difference
	return nil
}

const goodbye = time.Second

var errGone = errors.New("the client has gone")

// pingSocket ends a connection that does not answer.
func (a *API) pingSocket(ctx context.Context, c *websocket.Conn, cancel context.CancelCauseFunc) {
	beat := time.NewTicker(a.Timing.Beat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			wait, done := a.parting(ctx)
			err := c.Ping(wait)
			done()
			if err != nil {
				cancel(errGone)
				return
			}
		}
	}
}

func (a *API) tellSocket(ctx context.Context, c *websocket.Conn, id topics.JobID, e jobs.Envelope) error {
	out := EnvelopeJSON{Type: e.Type}
	if e.Job != nil {
		j, err := a.jobOf(ctx, *e.Job)
		if err != nil {
			return err
		}
		out.Job = &j
	}
	if e.Progress != nil {
		j, err := a.Job(ctx, id)
		if err != nil {
			return err
		}
		out.Progress = progressOf(j, *e.Progress, a.Now())
	}
	for rest := e.Lines; len(rest) > 0; {
		n := base.BatchOf(rest)
		out.Lines = nil
		for _, l := range rest[:n] {
			out.Lines = append(out.Lines, base.LineOf(l))
		}
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
		if err := a.write(ctx, c, out); err != nil {
			return err
		}
	}
	return a.write(ctx, c, out)
}

func (a *API) write(ctx context.Context, c *websocket.Conn, out EnvelopeJSON) error {
	b, err := json.Marshal(out)
	if err != nil {
		return err
	}
	wait, done := a.parting(ctx)
	defer done()
	return c.Write(wait, websocket.MessageText, b)
}

// parting bounds a write or a ping. One that is under way when ctx ends has a
// moment more: the library closes a connection whose write is interrupted, and
// the client would never hear why.
func (a *API) parting(ctx context.Context) (wait context.Context, done context.CancelFunc) {
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Timing.Write)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(goodbye, cancel) })
	return wait, func() {
		stop()
		cancel()
	}
}
