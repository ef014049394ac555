package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// secured says in the description how a program proves itself.
var secured = []map[string][]string{{"token": {}}, {"session": {}}}

func newAPI(s *Server) huma.API {
	c := huma.Config{OpenAPI: &huma.OpenAPI{OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "restic-manager", Version: s.Version, Description: "Backups across a fleet: hosts, what they back up, jobs and their logs."},
		Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token":   {Type: "http", Scheme: "bearer", Description: "restic-manager api-token create makes one."},
				"session": {Type: "apiKey", In: "cookie", Name: session.CookieName, Description: "A browser's session, from this server's own pages. Over TLS the cookie's name begins with __Host-."}}}},
		Formats: huma.DefaultFormats, DefaultFormat: "application/json", Transformers: []huma.Transformer{plainProblem}}
	return huma.NewAPI(c, adapter{s})
}

// plainProblem gives every error of the API the same shape, those of huma's own
// checks too. What was sent is not sent back: it may hold a password.
func plainProblem(_ huma.Context, _ string, v any) (any, error) {
	switch e := v.(type) {
	case apiProblem:
		return problemJSON(e.Problem), nil
	case *huma.ErrorModel:
		var what []string
		for _, d := range e.Errors {
			what = append(what, strings.TrimSpace(d.Location+" "+d.Message))
		}
		p := &problem.Problem{
			Kind:  problem.Invalid,
			Title: "The request does not fit",
			Say:   strings.Join(what, "; ") + ".",
			Do:    "GET /api/openapi.json describes what fits.",
		}
		switch {
		case e.Status == http.StatusBadRequest && len(what) == 0:
			p.Title, p.Say = "The request has no body", "This operation needs one."
		case e.Status == http.StatusBadRequest:
			p.Title = "The body is not JSON"
		case e.Status == http.StatusRequestEntityTooLarge:
			p = problem.Oversized(maxBody)
		case e.Status == http.StatusRequestTimeout:
			p.Title, p.Say, p.Do = "The body did not arrive in time", "The rest of the request was not waited for.", "Send it again."
		case e.Status >= 500:
			p = problem.Unknown(nil)
		}
		out := problemJSON(p)
		out.Status = e.Status // which huma has chosen
		return out, nil
	}
	return v, nil
}

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	b, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	_, err = w.Write(b)
	return ignoreGone(err)
}

// moment is a time in JSON, null for none.
func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

type list1[T any] struct {
	Body []T `nullable:"false"`
}

type hostJSON struct {
	ID            topics.HostID    `json:"id"`
	Name          string           `json:"name"`
	Online        bool             `json:"online" doc:"its agent can be reached now"`
	Connection    hosts.Connection `json:"connection" enum:"online,offline,unknown"`
	Status        hosts.Status     `json:"status" doc:"how well it is protected, in one word"`
	Platform      string           `json:"platform"`
	AgentVersion  string           `json:"agent_version"`
	ResticVersion string           `json:"restic_version"`
	LastSeen      *time.Time       `json:"last_seen"`
	LastBackup    *time.Time       `json:"last_backup" doc:"the last one that left a complete snapshot"`
	LastJob       topics.JobID     `json:"last_job" doc:"the last one that ended, or empty"`
	RunningJob    topics.JobID     `json:"running_job" doc:"or empty"`
	Intermittent  bool             `json:"intermittent" doc:"it comes and goes, as laptops do: asleep is no trouble"`
	OverdueDays   int64            `json:"overdue_days" doc:"without a good backup, until an intermittent host is overdue; 0 is never"`
	Config        configJSON       `json:"config" doc:"the host's copy of its schedules"`
}

type listHostsIn struct {
	Limit  int           `query:"limit" minimum:"1" maximum:"1000" doc:"how many at most; all if it is left out"`
	After  topics.HostID `query:"after" doc:"the ID of the last host the client has: what comes behind it by name follows"`
	Query  string        `query:"q" maxLength:"200" doc:"part of the name, the hostname, the platform or the ID, in capitals or not"`
	Status string        `query:"status" enum:"protected,running,warning,failed,no-backup-yet,overdue,asleep" doc:"only those with this status"`
}

// listHosts lists hosts by name.
func (s *Server) listHosts(ctx context.Context, in *listHostsIn) (*list1[hostJSON], error) {
	m, err := s.moment(ctx)
	if err != nil {
		return nil, err
	}
	limit := in.Limit
	if limit == 0 {
		limit = m.Len()
	}
	rows := m.NamedBehind(fleet.Filter{Status: hosts.Status(in.Status), Text: in.Query}, in.After, limit)
	out := make([]hostJSON, len(rows))
	for i, h := range rows {
		_, seen := s.Presence.Connection(h.ID)
		out[i] = hostJSON{ID: h.ID, Name: h.Name, Online: h.Connection == hosts.Online, Connection: h.Connection, Status: h.Status,
			Platform: system(h.Host), AgentVersion: h.AgentVersion, ResticVersion: h.ResticVersion, LastSeen: moment(max(0, seen.UnixMilli())),
			LastBackup: moment(h.GoodAt), LastJob: h.LastJob, Intermittent: h.Intermittent, OverdueDays: h.OverdueDays, Config: toConfigJSON(h.Host)}
		if h.Running() {
			out[i].RunningJob = h.Busy().ID
		}
	}
	return &list1[hostJSON]{out}, nil
}

type groupJSON struct {
	ID            topics.SourceGroupID `json:"id"`
	Host          topics.HostID        `json:"host"`
	Name          string               `json:"name"`
	Repository    topics.RepositoryID  `json:"repository"`
	Paths         []string             `json:"paths" nullable:"false"`
	Excludes      []string             `json:"excludes" nullable:"false"`
	OneFileSystem bool                 `json:"one_file_system"`
	LiveFiles     bool                 `json:"live_files"`
	Hooks         topics.Hooks         `json:"hooks"`
	Limits        topics.Limits        `json:"limits"`
}

type putSourceGroupIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name" doc:"1 to 100 characters, the host's own"`
	Body struct {
		Repository    string   `json:"repository" doc:"ID or name"`
		Paths         []string `json:"paths" doc:"in full"`
		Excludes      []string `json:"excludes,omitempty" doc:"patterns, as restic's --exclude takes them"`
		OneFileSystem bool     `json:"one_file_system,omitempty"`

		LiveFiles *bool          `json:"live_files,omitempty" doc:"on Windows: read the files themselves, not a shadow copy; left out, it stays as it is"`
		Hooks     *topics.Hooks  `json:"hooks,omitempty" doc:"names of programs that the host's own policy knows; left out, they stay as they are"`
		Limits    *topics.Limits `json:"limits,omitempty" doc:"bandwidth in KiB a second, from and to in minutes of the day; left out, they stay as they are"`
	}
}

type putSourceGroupOut struct{ Body groupJSON }

func (s *Server) putSourceGroup(ctx context.Context, in *putSourceGroupIn) (*putSourceGroupOut, error) {
	row, err := s.sources.Put(ctx, session.Of(ctx).Name, in.ID, in.Name, sources.Input{
		Repository:    &in.Body.Repository,
		Paths:         &in.Body.Paths,
		Excludes:      &in.Body.Excludes,
		OneFileSystem: &in.Body.OneFileSystem,
		LiveFiles:     in.Body.LiveFiles,
		Hooks:         in.Body.Hooks,
		Limits:        in.Body.Limits,
	})
	if err != nil {
		return nil, problem.Saving("source group", err)
	}
	t := row.Topic()
	return &putSourceGroupOut{groupJSON{
		ID:            row.ID,
		Host:          row.Host,
		Name:          row.Name,
		Repository:    row.Repository,
		Paths:         filled(row.Paths),
		Excludes:      filled(row.Excludes),
		OneFileSystem: row.OneFileSystem,
		LiveFiles:     t.LiveFiles,
		Hooks:         t.Hooks,
		Limits:        t.Limits,
	}}, nil
}

// filled is a list that is never null.
func filled(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// A kindJSON is a kind of job that may be asked for.
type kindJSON topics.JobKind

// Schema implements huma.SchemaProvider: one of topics.Kinds.
func (kindJSON) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, k := range topics.Kinds {
		s.Enum = append(s.Enum, string(k))
	}
	return s
}

type createJobIn struct {
	ID   topics.HostID `path:"id"`
	Body struct {
		Kind        kindJSON            `json:"kind"`
		SourceGroup string              `json:"source_group,omitempty" doc:"backup: its name; without one, a job for each group of the host, and the first is answered"`
		Repository  topics.RepositoryID `json:"repository,omitempty" doc:"every kind but backup: its ID"`
		Snapshots   []string            `json:"snapshots,omitempty" doc:"forget: whole IDs of what to remove"`
		From        string              `json:"from,omitempty" doc:"diff: a snapshot"`
		To          string              `json:"to,omitempty" doc:"diff: a snapshot"`
		Snapshot    string              `json:"snapshot,omitempty" doc:"restore: which"`
		Paths       []string            `json:"paths,omitempty" doc:"restore: what to bring back, as the snapshot names it; none is all"`
		Target      string              `json:"target,omitempty" doc:"restore: an absolute directory of the host"`
		Overwrite   string              `json:"overwrite,omitempty" enum:"never,if-newer,if-changed,always" doc:"restore: what happens to files that are there; never if not said"`
		DryRun      bool                `json:"dry_run,omitempty" doc:"restore, prune: only say what would happen"`
		Pattern     string              `json:"pattern,omitempty" doc:"find: of file names, as restic knows them"`
		ReadData    bool                `json:"read_data,omitempty" doc:"check: read every pack"`
		Subset      string              `json:"subset,omitempty" doc:"check: n/t, the nth of t slices of the packs"`
		All         bool                `json:"all,omitempty" doc:"unlock: locks of live processes, too"`
	}
}

type jobRefOut struct {
	Body struct {
		ID    topics.JobID    `json:"id"`
		State topics.JobState `json:"state"`
	}
}

func (s *Server) createJob(ctx context.Context, in *createJobIn) (*jobRefOut, error) {
	b := in.Body
	j, _, err := s.Jobs.Start(ctx, session.Of(ctx).Actor(), jobs.Request{Host: in.ID, Kind: topics.JobKind(b.Kind), SourceGroup: b.SourceGroup,
		Repository: b.Repository,
		Operation: topics.Operation{
			Snapshots: b.Snapshots,
			From:      b.From,
			To:        b.To,
			Snapshot:  b.Snapshot,
			Paths:     b.Paths,
			Target:    b.Target,
			Overwrite: b.Overwrite,
			DryRun:    b.DryRun,
			Pattern:   b.Pattern,
			ReadData:  b.ReadData,
			Subset:    b.Subset,
			All:       b.All,
		}})
	if err != nil {
		return nil, err
	}
	out := &jobRefOut{}
	out.Body.ID, out.Body.State = j.ID, j.State
	return out, nil
}

type jobIn struct {
	ID topics.JobID `path:"id"`
}

type cancelOut struct {
	Body struct {
		ID      topics.JobID    `json:"id"`
		State   topics.JobState `json:"state"`
		Message string          `json:"message" doc:"for people: what is to be expected"`
	}
}

func (s *Server) cancel(ctx context.Context, in *jobIn) (*cancelOut, error) {
	if err := s.Jobs.Cancel(ctx, session.Of(ctx).Name, in.ID); err != nil {
		return nil, err
	}
	j, err := s.job(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &cancelOut{}
	out.Body.ID, out.Body.State, out.Body.Message = j.ID, j.State, jobs.CancelWords(j, s.Presence.Reachable(j.Host))
	return out, nil
}

// A jobJSON is a job as the API and the WebSocket tell it.
type jobJSON struct {
	ID            topics.JobID        `json:"id"`
	Host          topics.HostID       `json:"host"`
	Kind          topics.JobKind      `json:"kind"`
	SourceGroup   string              `json:"source_group" doc:"its name"`
	Repository    topics.RepositoryID `json:"repository"`
	State         topics.JobState     `json:"state" enum:"queued,dispatched,running,succeeded,warnings,failed,cancelled,interrupted,abandoned"`
	RequestedBy   string              `json:"requested_by"`
	CancelAsked   bool                `json:"cancel_asked"`
	Stalled       bool                `json:"stalled" doc:"it runs, and nothing was heard of it for long"`
	Waiting       *waitingJSON        `json:"waiting" doc:"what a queued job waits for, else null"`
	Cause         topics.Cause        `json:"cause" doc:"class of the failure, or empty"`
	Message       string              `json:"message" doc:"the evidence, or empty"`
	Reason        string              `json:"reason" doc:"the cause in words, or empty"`
	Effect        string              `json:"effect" doc:"what that means for the data, or empty"`
	Remedies      []string            `json:"remedies" nullable:"false" doc:"what to do, the likeliest first"`
	ExitCode      *int64              `json:"exit_code"`
	Lines         int                 `json:"lines" doc:"of the log, kept or not"`
	SnapshotID    string              `json:"snapshot_id" doc:"or empty"`
	ResticVersion string              `json:"restic_version"`
	Operation     *topics.Operation   `json:"operation" doc:"what was asked for, null for a backup"`
	Summary       *topics.Summary     `json:"summary" doc:"of a backup, else null"`
	Result        *topics.Result      `json:"result" doc:"of any other kind; what it found out in full is its report"`
	QueuedAt      *time.Time          `json:"queued_at"`
	StartedAt     *time.Time          `json:"started_at"`
	FinishedAt    *time.Time          `json:"finished_at"`
	NotAfter      *time.Time          `json:"not_after" doc:"it is not started later than this"`
}

// A waitingJSON is why a queued job has not begun.
type waitingJSON struct {
	Reason protocol.Wait `json:"reason" enum:"host,job,repository,limit,plan" doc:"the host is away, it has another job, the repository is busy, as many jobs run as may, or what it is to do is being worked out"`
	Job    topics.JobID  `json:"job" doc:"the job it waits for, or empty"`
}

func (s *Server) jobJSON(ctx context.Context, j store.Job) (jobJSON, error) {
	g, err := s.groupOf(ctx, j)
	if err != nil {
		return jobJSON{}, err
	}
	var waits map[topics.JobID]protocol.Turn
	if j.State == topics.Queued {
		open, err := s.Store.OpenJobs(ctx, "")
		if err != nil {
			return jobJSON{}, err
		}
		waits = s.Jobs.Waits(open)
	}
	return s.jobWith(j, g.Name, waits), nil
}

// jobWith is a job whose group's name and whose turn are known.
func (s *Server) jobWith(j store.Job, group string, waits map[topics.JobID]protocol.Turn) jobJSON {
	out := jobJSON{ID: j.ID, Host: j.Host, Kind: j.Kind, SourceGroup: group, Repository: j.Repository, State: j.State, RequestedBy: j.RequestedBy,
		CancelAsked: j.CancelAsked, Cause: j.Cause, Message: j.Message, Remedies: []string{}, Lines: j.Lines, SnapshotID: j.SnapshotID,
		ResticVersion: j.ResticVersion, Operation: j.Operation.V, Summary: j.Summary.V, Result: j.Result.V, QueuedAt: moment(j.QueuedAt), StartedAt: moment(j.StartedAt),
		FinishedAt: moment(j.FinishedAt), NotAfter: moment(j.NotAfter)}
	_, out.Stalled = s.silent(j)
	if turn := waits[j.ID]; turn.Wait != "" {
		out.Waiting = &waitingJSON{turn.Wait, turn.For}
	}
	if j.ExitCode.Valid {
		out.ExitCode = &j.ExitCode.Int64
	}
	if j.State.Ended() && j.State != topics.Succeeded {
		e := jobs.Explain(j.Kind, j.Cause, j.State)
		out.Reason, out.Effect, out.Remedies = e.Cause, e.Effect, e.Texts()
	}
	return out
}

type jobOut struct{ Body jobJSON }

func (s *Server) getJob(ctx context.Context, in *jobIn) (*jobOut, error) {
	j, err := s.job(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	b, err := s.jobJSON(ctx, j)
	return &jobOut{b}, err
}

// getReport answers with everything a job found out.
func (s *Server) getReport(ctx context.Context, in *jobIn) (*reportOut, error) {
	if _, err := s.job(ctx, in.ID); err != nil {
		return nil, err
	}
	parts, err := s.Store.Reports(ctx, in.ID)
	out := &reportOut{Body: reportJSON{Snapshots: []topics.Snapshot{}, Keys: []topics.Key{}, Locks: []topics.Lock{}, Matches: []topics.Match{}, Changes: []topics.Change{}}}
	for _, p := range parts {
		out.Body.Snapshots = append(out.Body.Snapshots, p.Snapshots...)
		out.Body.Keys = append(out.Body.Keys, p.Keys...)
		out.Body.Locks = append(out.Body.Locks, p.Locks...)
		out.Body.Matches = append(out.Body.Matches, p.Matches...)
		out.Body.Changes = append(out.Body.Changes, p.Changes...)
	}
	return out, err
}

type reportOut struct{ Body reportJSON }

// A reportJSON is what a job found out, its parts put together.
type reportJSON struct {
	Snapshots []topics.Snapshot `json:"snapshots" nullable:"false"`
	Keys      []topics.Key      `json:"keys" nullable:"false"`
	Locks     []topics.Lock     `json:"locks" nullable:"false"`
	Matches   []topics.Match    `json:"matches" nullable:"false"`
	Changes   []topics.Change   `json:"changes" nullable:"false"`
}

type listJobsIn struct {
	State []string     `query:"state" enum:"queued,dispatched,running,succeeded,warnings,failed,cancelled,interrupted,abandoned" doc:"only in one of these states, with commas between"`
	Host  string       `query:"host" doc:"only of this host: ID or name"`
	Kind  string       `query:"kind" doc:"only of this kind, backup for example"`
	Limit int          `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"how many at most"`
	After topics.JobID `query:"after" pattern:"^[a-z0-9-]{8,40}$" doc:"the ID of the last job the client has: what was asked for before it follows"`
}

// listJobs lists jobs. Their order never changes, so that a program that goes on
// after the last it has neither misses nor repeats one.
func (s *Server) listJobs(ctx context.Context, in *listJobsIn) (*list1[jobJSON], error) {
	f := store.JobFilter{Kind: topics.JobKind(in.Kind)}
	for _, st := range in.State {
		f.States = append(f.States, topics.JobState(st))
	}
	m, err := s.moment(ctx)
	if err != nil {
		return nil, err
	}
	if in.Host != "" {
		h := m.Find(in.Host)
		if h == nil {
			return nil, problem.NoHost
		}
		f.Search = &store.JobSearch{Hosts: []topics.HostID{h.ID}}
	}
	rows, err := s.Store.JobList(ctx, f, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	q, err := s.queue(ctx, m, rows...)
	if err != nil {
		return nil, err
	}
	out := make([]jobJSON, len(rows))
	for i, j := range rows {
		out[i] = s.jobWith(j, q.groups[j.SourceGroup], q.waits)
	}
	return &list1[jobJSON]{out}, nil
}

type snapshotJSON struct {
	ID         string              `json:"id"`
	Repository topics.RepositoryID `json:"repository"`
	Job        topics.JobID        `json:"job"`
	Time       *time.Time          `json:"time"`
	Hostname   string              `json:"hostname"`
	Paths      []string            `json:"paths" nullable:"false"`
	Tags       []string            `json:"tags" nullable:"false"`
	Files      uint64              `json:"files"`
	Bytes      uint64              `json:"bytes"`
	Host       topics.HostID       `json:"host" doc:"whose job made it, or empty"`
	Foreign    bool                `json:"foreign" doc:"no job of ours made it"`
}

func sayRow(n store.Snapshot) snapshotJSON {
	return snapshotJSON{n.ID, n.Repository, n.Job, moment(n.Time), n.Hostname, filled(n.Paths), filled(n.Tags), n.Files, n.Bytes, n.Host, n.Foreign()}
}

type listSnapshotsIn struct {
	ID    topics.HostID `path:"id"`
	Limit int           `query:"limit" default:"1000" minimum:"1" maximum:"10000" doc:"how many at most"`
}

func (s *Server) listSnapshots(ctx context.Context, in *listSnapshotsIn) (*list1[snapshotJSON], error) {
	if _, err := s.host(ctx, in.ID); err != nil {
		return nil, err
	}
	rows, err := s.Store.Snapshots(ctx, in.ID, in.Limit)
	if err != nil {
		return nil, err
	}
	out := make([]snapshotJSON, len(rows))
	for i, n := range rows {
		out[i] = sayRow(n)
	}
	return &list1[snapshotJSON]{out}, nil
}

// A lineJSON is a line of a log: n, at, level and text; or a gap: n to to, with
// the reason.
type lineJSON struct {
	N     int          `json:"n"`
	To    int          `json:"to,omitempty"`
	Gap   string       `json:"gap,omitempty"`
	At    *time.Time   `json:"at,omitempty"`
	Level topics.Level `json:"level,omitempty"`
	Text  *string      `json:"text,omitempty"`
}

func lineOf(e store.LogEntry) lineJSON {
	if e.GapTo > 0 {
		return lineJSON{N: e.N, To: e.GapTo, Gap: e.Text}
	}
	return lineJSON{N: e.N, At: moment(e.At), Level: e.Level, Text: &e.Text}
}

type getLogIn struct {
	ID    topics.JobID `path:"id"`
	After int          `query:"after" minimum:"0" doc:"the last line the client has; without it, all of the log"`
}

// getLog sends a log as it is read.
func (s *Server) getLog(ctx context.Context, in *getLogIn) (*huma.StreamResponse, error) {
	if _, err := s.job(ctx, in.ID); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		w.Header().Set("Content-Type", "application/x-ndjson")
		s.sendLog(r.Context(), w, in.ID, in.After, putJSON)
	}}, nil
}
