package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// A painter collects the parts of a page that look different now. What looks as
// it did when it was last sent is not sent again.
type painter struct {
	ctx   context.Context //nolint:containedctx // of one drawing
	sent  map[string]string
	parts []templ.Component
	err   error

	moment *fleet.Moment // how the fleet is for this drawing
	since  time.Time     // what is drawn must not be older than this
	shell  shellFacts    // as they were drawn last

	full  bool // everything shall be drawn, whatever rang
	again bool // there is more to draw soon
	end   bool // nothing will ever change again
}

// morph puts a part in the place of the one with its id.
func (p *painter) morph(id string, c templ.Component) {
	var b strings.Builder
	if err := c.Render(p.ctx, &b); err != nil {
		p.err = fmt.Errorf("render %s: %w", id, err)
		return
	}
	if p.sent[id] == b.String() {
		return
	}
	p.sent[id] = b.String()
	p.parts = append(p.parts, views.Partial(id, views.Morph, templ.Raw(b.String())))
}

// sees notes that the page shows a part, as it was sent with a larger one.
func (p *painter) sees(id string, c templ.Component) {
	parts := p.parts
	delete(p.sent, id)
	p.morph(id, c)
	p.parts = parts
}

// A draw draws a view again after some hosts rang; all of it if the painter says so.
type draw func(ctx context.Context, p *painter, rang map[topics.HostID]bool) error

// A tab is the browser's end of a stream. A message that it does not take in
// time ends the stream: the browser comes back and is drawn everything.
type tab struct {
	s  *Server
	w  http.ResponseWriter
	rc *http.ResponseController
	id uint64
}

// open begins the answer of a stream.
func (s *Server) open(w http.ResponseWriter) *tab {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold it back
	t := &tab{s: s, w: w, rc: http.NewResponseController(w)}
	_ = t.rc.SetReadDeadline(time.Time{}) // fails only on what is no connection
	w.WriteHeader(http.StatusOK)
	return t
}

func (t *tab) send(write func(io.Writer) error) error {
	_ = t.rc.SetWriteDeadline(t.s.deadline(t.s.Timing.Write))
	if err := write(t.w); err != nil {
		return err
	}
	return t.rc.Flush()
}

func (t *tab) message(ctx context.Context, parts []templ.Component) error {
	if len(parts) == 0 {
		return nil
	}
	return t.send(func(w io.Writer) error { return views.WriteMessage(ctx, w, t.id, parts...) })
}

func (t *tab) beat() error {
	return t.send(func(w io.Writer) error { return views.WriteBeat(w, t.s.Now()) })
}

func (t *tab) end() error { return t.send(views.WriteEnd) }

// events is the one stream of a browser's tab. It ends with the session, with
// the server, and when the browser goes; none of these is an error any more.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	q, v := r.URL.Query(), visitorOf(r.Context())
	var d draw
	switch q.Get("view") {
	case "fleet":
		d = s.fleetStream(q)
	case "jobs":
		d = s.jobsStream(q, v)
	case "host":
		if _, err := s.host(r.Context(), topics.HostID(q.Get("id"))); err != nil {
			return err
		}
		d = s.hostStream(topics.HostID(q.Get("id")))
	case "audit":
		if !v.may(store.Admin) {
			return forbidden(v, store.Admin)
		}
		var err error
		if d, err = s.auditStream(r.Context(), q); err != nil {
			return err
		}
	case "schedules":
		d = s.schedulesStream()
	case "repositories":
		d = s.repositoriesStream(q)
	case "repository":
		id, f := topics.RepositoryID(q.Get("id")), repositoryFilter(q)
		if _, err := s.repository(r.Context(), id); err != nil {
			return err
		}
		if _, err := s.snapshotPlace(r.Context(), id, f.After); err != nil {
			return err
		}
		d = s.repositoryStream(id, f)
	case "enrol":
		if !v.may(store.Admin) {
			return forbidden(v, store.Admin)
		}
		if err := s.hasToken(r.Context(), q.Get("token")); err != nil {
			return err
		}
		d = s.enrolStream(q.Get("token"))
	case "job":
		j, err := s.job(r.Context(), topics.JobID(q.Get("id")))
		if err != nil {
			return err
		}
		return s.jobEvents(w, r, j)
	default:
		return problem.NoPage
	}
	ctx, end, err := s.begin(r)
	if err != nil {
		return err
	}
	defer end()
	s.ended(r, s.watch(ctx, s.open(w), r, q.Get("view"), d))
	return nil
}

// ended logs why a stream ended, if that is worth knowing: a browser that goes,
// or does not read, is neither.
func (s *Server) ended(r *http.Request, err error) {
	if err != nil {
		s.Log.Debug("a stream ended", "path", r.URL.Path, "err", err)
	}
}

// watch draws a view whenever a bell rang, no more often than Timing.Gap.
func (s *Server) watch(ctx context.Context, t *tab, r *http.Request, view string, d draw) error {
	bell := s.Bell.Watch() // before the first drawing, so that nothing falls between
	defer bell.Close()
	beat, poll, gap := time.NewTicker(s.Timing.Beat), time.NewTicker(s.pollOf(view)), time.NewTimer(0)
	defer beat.Stop()
	defer poll.Stop()
	defer gap.Stop()
	p := &painter{sent: map[string]string{}, full: true}
	rang := map[topics.HostID]bool{}
	ready, due := false, true
	for {
		if ready && due {
			now := time.Now() // before the look, so that nothing falls between
			for id := range bell.Take() {
				rang[id] = true
			}
			switch {
			case len(rang) > 0:
				p.since = now
			case p.full: // only time has passed: what another tab has read is new enough
				p.since = now.Add(-s.Timing.Beat / 2)
			}
			if err := s.paint(ctx, t, r, p, d, rang); err != nil || p.end {
				return err
			}
			clear(rang)
			ready, due, p.full = false, p.again, false
			gap.Reset(s.Timing.Gap)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-bell.C:
			due = true
		case <-gap.C:
			ready = true
		case <-poll.C:
			due, p.full = true, true
		case <-beat.C:
			if err := t.beat(); err != nil {
				return err
			}
		}
	}
}

// paint sends what looks different now.
func (s *Server) paint(ctx context.Context, t *tab, r *http.Request, p *painter, d draw, rang map[topics.HostID]bool) error {
	p.ctx, p.parts, p.again = ctx, nil, false
	m, err := s.Fleet.Now(ctx)
	if err != nil {
		return err
	}
	p.moment = m
	if err := d(ctx, p, rang); err != nil {
		return err
	}
	s.paintShell(p, r)
	if p.err != nil {
		return p.err
	}
	t.id = max(t.id+1, uint64(s.Now().UnixMilli()))
	if err := t.message(ctx, p.parts); err != nil || !p.end {
		return err
	}
	return t.end()
}

// shellFacts are what paintShell draws.
type shellFacts struct {
	hosts, connected, running int
	up, drawn                 bool
}

// paintShell draws what changes around every page.
func (s *Server) paintShell(p *painter, r *http.Request) {
	v := visitorOf(r.Context())
	m := p.moment
	facts := shellFacts{m.Len(), m.Online, m.Running, s.broker() == nil, true}
	if facts == p.shell {
		return
	}
	p.shell = facts
	sh := views.Shell{Now: s.Now(), Version: s.Version}
	s.around(&sh, v, m)
	p.morph("side-foot", views.Foot(sh))
	p.morph("nav-jobs", views.NavJobs(sh))
}

// One message carries at most so many log lines and about so many bytes of
// them: over the slowest line worth having it must arrive within Timing.Write,
// or a browser that comes back for it would never have it.
const (
	maxBatch      = 1000
	maxBatchBytes = 128 << 10
)

// batch is how many of the entries go into the next message.
func batch(entries []store.LogEntry) int {
	bytes := 0
	for i, e := range entries {
		if bytes += len(e.Text) + 100; i > 0 && bytes > maxBatchBytes || i == maxBatch {
			return i
		}
	}
	return len(entries)
}

// resumeAt is the last line a browser has: what it says when it comes back
// outranks what its page was made with.
func resumeAt(r *http.Request) int {
	for _, text := range []string{r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after")} {
		if n, err := strconv.Atoi(text); err == nil && n >= 0 {
			return n
		}
	}
	return 0
}

// jobEvents tells a job's page what comes: new lines, and whatever else looks
// different. It ends when the job has.
func (s *Server) jobEvents(w http.ResponseWriter, r *http.Request, j store.Job) error {
	names, err := s.tell(r.Context(), j)
	if err != nil {
		return err
	}
	ctx, end, err := s.begin(r)
	if err != nil {
		return err
	}
	defer end()
	f := jobFeed{s: s, r: r, t: s.open(w), names: names, p: &painter{sent: map[string]string{}}, changed: true}
	after := resumeAt(r)
	f.t.id = uint64(after)
	s.ended(r, f.run(ctx, after))
	return nil
}

// A jobFeed is a job's stream at work.
type jobFeed struct {
	s       *Server
	r       *http.Request
	t       *tab
	names   told
	p       *painter
	lines   []store.LogEntry // not sent yet
	changed bool             // something else is to be looked at
	final   *store.Job       // it has ended, and this is its row
	over    bool             // and all of it was told
	said    string           // what people who listen were told
}

func (f *jobFeed) run(ctx context.Context, after int) error {
	s := f.s
	ctx, cancel := context.WithCancel(ctx)
	news, followed := make(chan jobs.Envelope), make(chan error, 1)
	go func() {
		followed <- jobs.Follow(ctx, s.Store, s.Hub, f.names.ID, after, func(e jobs.Envelope) error {
			select {
			case news <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(followed)
	}()
	ending := followed
	defer func() {
		cancel()
		for range followed { // until it has returned
		}
	}()
	bell := s.Bell.Watch() // rings for what Follow does not tell: sent, accepted, cancel asked for
	defer bell.Close()
	beat, gap := time.NewTicker(s.Timing.Beat), time.NewTimer(0)
	defer beat.Stop()
	defer gap.Stop()
	ready := false
	for {
		if ready && (f.changed || len(f.lines) > 0 || f.final != nil) {
			if err := f.send(ctx); err != nil || f.over {
				return err
			}
			ready = false
			gap.Reset(s.Timing.Gap)
		}
		in := news
		if len(f.lines) >= maxBatch || f.final != nil {
			in = nil // the follower waits, and reads from the store what it missed
		}
		select {
		case <-ctx.Done():
			return nil
		case e := <-in:
			f.take(e)
		case err := <-ending:
			if f.final == nil {
				return err
			}
			ending = nil
		case <-bell.C:
			f.changed = f.changed || bell.Take()[f.names.Host]
		case <-gap.C:
			ready = true
		case <-beat.C:
			f.changed = true
			if err := f.t.beat(); err != nil {
				return err
			}
		}
	}
}

func (f *jobFeed) take(e jobs.Envelope) {
	switch e.Type {
	case jobs.LogStream:
		f.lines = append(f.lines, e.Lines...)
	case jobs.JobFinished:
		f.final = e.Job
	default:
		f.changed = true
	}
}

// send tells what came since the last message, as one.
func (f *jobFeed) send(ctx context.Context) error {
	s := f.s
	f.p.ctx, f.p.parts = ctx, nil
	if n := batch(f.lines); n > 0 {
		f.p.parts = append(f.p.parts, views.Partial("log-stream", views.Append, views.LogLines(s.logLines(f.lines[:n]))))
		f.t.id = uint64(f.lines[n-1].Last())
		f.lines = f.lines[n:]
	}
	f.over = f.final != nil && len(f.lines) == 0
	if f.changed || f.over {
		if err := f.draw(ctx); err != nil {
			return err
		}
	}
	if err := f.t.message(ctx, f.p.parts); err != nil || !f.over {
		return err
	}
	return f.t.end()
}

func (f *jobFeed) draw(ctx context.Context) error {
	s := f.s
	f.changed = false
	t := f.names
	if f.over {
		t.Job = *f.final
	} else {
		row, err := s.Store.Job(ctx, t.ID)
		if err != nil {
			return err
		}
		t.Job = row
	}
	v, err := s.jobView(ctx, t)
	if err != nil {
		return err
	}
	if v.Ending != nil {
		levels, err := s.Store.LogLevels(ctx, t.ID)
		if err != nil {
			return err
		}
		for _, l := range levels {
			if l.Level == topics.Error {
				v.Ending.FirstLine = uint64(l.Last)
			}
		}
	}
	p := f.p
	if p.moment, err = s.Fleet.Now(ctx); err != nil {
		return err
	}
	p.morph("job-header", views.JobHeader(v))
	p.morph("announce", views.JobAnnounce(f.announce(v)))
	p.morph("job-ending", views.JobEnding(v))
	p.morph("job-figures", views.JobFigures(v))
	p.morph("job-result", views.JobResult(v))
	p.morph("progress", views.JobProgress(v))
	p.morph("current-files", views.JobFiles(v))
	p.morph("job-timeline", views.JobTimeline(v))
	p.morph("job-facts", views.JobFacts(v))
	s.paintShell(p, f.r)
	return p.err
}

// announce is what people who listen to the page are told: each ten per cent,
// and the end.
func (f *jobFeed) announce(v views.Job) string {
	switch {
	case v.Ended:
		f.said = views.JobTitle(v.Kind, v.Host) + ": " + strings.ToLower(v.Status.Word)
	case v.Progress != nil && v.Progress.Percent >= 10:
		f.said = fmt.Sprintf("%d per cent", int(v.Progress.Percent/10)*10)
	}
	return f.said
}
