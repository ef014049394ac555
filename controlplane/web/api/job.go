package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

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

// An itemJSON is what a restore brings back of one snapshot.
type itemJSON struct {
	Snapshot string   `json:"snapshot" doc:"its ID, or the beginning of it"`
	Paths    []string `json:"paths,omitempty" doc:"as the snapshot names them, or as a Windows host does; none is all of it"`
}

type createJobIn struct {
	ID   topics.HostID `path:"id"`
	Body struct {
		Kind        kindJSON            `json:"kind"`
		SourceGroup string              `json:"source_group,omitempty" doc:"backup: its name; every group if left out"`
		Repository  topics.RepositoryID `json:"repository,omitempty" doc:"every kind but backup: its ID"`
		Snapshots   []string            `json:"snapshots,omitempty" doc:"forget: whole; copy: all if left out; find: where; others: which"`
		From        string              `json:"from,omitempty" doc:"diff: a snapshot; init: ID of the repository to cut files like"`
		To          string              `json:"to,omitempty" doc:"diff: a snapshot; copy: ID of the repository that the snapshots go to"`
		Snapshot    string              `json:"snapshot,omitempty" doc:"restore: which"`
		Paths       []string            `json:"paths,omitempty" doc:"restore: what to bring back, as the snapshot names it; none is all"`
		Target      string              `json:"target,omitempty" doc:"restore: an absolute directory of the host; a new one if left out"`
		Overwrite   string              `json:"overwrite,omitempty" enum:"never,if-newer,if-changed,always" doc:"restore; default never"`
		DryRun      bool                `json:"dry_run,omitempty" doc:"restore, prune, rewrite, repair: only say what would happen"`
		Pattern     string              `json:"pattern,omitempty" doc:"find: of file names, as restic knows them; Windows paths, too"`
		Host        topics.HostID       `json:"host,omitempty" doc:"find: only in the snapshots of this host"`
		IgnoreCase  bool                `json:"ignore_case,omitempty" doc:"find, rewrite: in capitals or not"`
		ReadData    bool                `json:"read_data,omitempty" doc:"check: read every pack; repair: believe nothing of the index"`
		Subset      string              `json:"subset,omitempty" doc:"check: n/t, the nth of t slices of the packs"`
		WithCache   bool                `json:"with_cache,omitempty" doc:"check: by the host's cache: sees no damaged index or trees"`
		All         bool                `json:"all,omitempty" doc:"unlock: locks of live processes, too"`
		Files       int                 `json:"files,omitempty" doc:"drill: at most so many files of each source group; default 20"`
		Bytes       int64               `json:"bytes,omitempty" doc:"drill: at most so much of each source group; default 100 MiB"`
		Seed        int64               `json:"seed,omitempty" doc:"drill: that of an earlier one takes the same sample again; anew if left out"`
		Full        bool                `json:"full,omitempty" doc:"drill: all of the newest snapshot of each source group"`
		Keep        bool                `json:"keep,omitempty" doc:"drill: what a full one restored to its target stays there"`
		Items       []itemJSON          `json:"items,omitempty" doc:"restore: of several snapshots of one repository, without snapshot and paths"`
		Owners      *bool               `json:"owners,omitempty" doc:"restore: false leaves them out; default true"`
		InPlace     bool                `json:"in_place,omitempty" doc:"restore: each file to where it was, without target; takes confirm"`
		Confirm     string              `json:"confirm,omitempty" doc:"restore in place, or to the root of a file system: the host's name"`
		DryRunJob   topics.JobID        `json:"dry_run_job,omitempty" doc:"restore, rewrite, repair: a dry run; acts only if it finds that"`
		Reason      string              `json:"reason,omitempty" doc:"why, for the audit log; at most 200 bytes"`
		Give        bool                `json:"give_repository,omitempty" doc:"the host gets a repository that it does not have, for this job"`
		Add         []string            `json:"add,omitempty" doc:"tag: tags that the snapshots get"`
		Remove      []string            `json:"remove,omitempty" doc:"tag: tags that they lose"`
		Set         *[]string           `json:"set,omitempty" doc:"tag: all that they are to have; an empty list is none; plan=… always stays"`
		Exclude     []string            `json:"exclude,omitempty" doc:"rewrite: restic's patterns of what goes"`
		What        string              `json:"what,omitempty" enum:"index,snapshots,packs" doc:"repair: what"`
		Packs       []string            `json:"packs,omitempty" doc:"repair of packs: their whole IDs, as a check names them"`
		Anyway      bool                `json:"anyway,omitempty" doc:"init: also in a directory that looks like a mount point without its disk"`
	}
}

type jobRefOut struct {
	Body struct {
		ID    topics.JobID    `json:"id"`
		State topics.JobState `json:"state"`
		Note  string          `json:"note,omitempty" doc:"of a restore: what the host's restic cannot do, and its faults; a line each"`
		Rest  []jobRefJSON    `json:"rest,omitempty" doc:"of a drill: those in the host's other repositories, which take their turns"`
	}
}

type jobRefJSON struct {
	ID         topics.JobID        `json:"id"`
	State      topics.JobState     `json:"state"`
	Repository topics.RepositoryID `json:"repository"`
}

func (a *API) CreateJob(ctx context.Context, in *createJobIn) (*jobRefOut, error) {
	b := in.Body
	var items []topics.Item
	for _, i := range b.Items {
		items = append(items, topics.Item(i))
	}
	groups, err := a.groupsOf(ctx, b.Repository, b.Host)
	if err != nil {
		return nil, err
	}
	if b.Kind == kindJSON(topics.FindJob) {
		b.Pattern = search.Pattern(b.Pattern)
	}
	q := jobs.Request{Host: in.ID, Kind: topics.JobKind(b.Kind), SourceGroup: b.SourceGroup,
		Repository: b.Repository,
		Give:       b.Give,
		Confirm:    b.Confirm,
		DryRunJob:  b.DryRunJob,
		Reason:     b.Reason,
		Operation: topics.Operation{
			Items:      items,
			NoOwners:   b.Owners != nil && !*b.Owners,
			InPlace:    b.InPlace,
			Snapshots:  b.Snapshots,
			From:       b.From,
			To:         b.To,
			Snapshot:   b.Snapshot,
			Paths:      b.Paths,
			Target:     b.Target,
			Overwrite:  b.Overwrite,
			DryRun:     b.DryRun,
			Pattern:    b.Pattern,
			IgnoreCase: b.IgnoreCase,
			Groups:     groups,
			ReadData:   b.ReadData,
			Subset:     b.Subset,
			WithCache:  b.WithCache,
			All:        b.All,
			Anyway:     b.Anyway,
			Add:        b.Add,
			Remove:     b.Remove,
			Exclude:    b.Exclude,
			What:       b.What,
			Packs:      b.Packs,
		}.WithDrill(topics.JobKind(b.Kind), topics.Drill{Files: b.Files, Bytes: b.Bytes, Seed: b.Seed, Full: b.Full, Keep: b.Keep})}
	if b.Set != nil {
		q.Operation.Set, q.Operation.NoTags = *b.Set, len(*b.Set) == 0
	}
	if q.Kind == topics.DrillJob {
		return a.askDrill(ctx, q)
	}
	j, _, err := a.Jobs.Start(ctx, session.Of(ctx).Actor(), q)
	if err != nil {
		return nil, err
	}
	out := &jobRefOut{}
	out.Body.ID, out.Body.State = j.ID, j.State
	if j.Kind == topics.RestoreJob && j.Operation.V != nil {
		h, err := a.Store.Host(ctx, j.Host)
		if err != nil {
			return nil, err
		}
		out.Body.Note = restores.Warnings(h, *j.Operation.V)
	}
	return out, nil
}

type jobIn struct {
	ID topics.JobID `path:"id" doc:"or a beginning of it that no other job's ID has"`
}

type cancelOut struct {
	Body struct {
		ID      topics.JobID    `json:"id"`
		State   topics.JobState `json:"state"`
		Message string          `json:"message" doc:"for people: what is to be expected"`
	}
}

func (a *API) Cancel(ctx context.Context, in *jobIn) (*cancelOut, error) {
	j, err := a.Job(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.Jobs.Cancel(ctx, session.Of(ctx).Name, j.ID); err != nil {
		return nil, err
	}
	if j, err = a.Job(ctx, j.ID); err != nil {
		return nil, err
	}
	out := &cancelOut{}
	out.Body.ID, out.Body.State, out.Body.Message = j.ID, j.State, jobs.CancelWords(j, a.Presence.Reachable(j.Host))
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
	DryRun        bool                `json:"dry_run" doc:"it only says what would happen"`
	Did           string              `json:"did" doc:"what it really did, in words; empty until it ended, and where reason says it"`
	SavedFiles    *uint64             `json:"saved_files" doc:"how many files a backup saved; null until it ended, and for any other kind"`
	RequestedBy   string              `json:"requested_by"`
	GivenBy       string              `json:"given_by" doc:"who gave the host the repository for this job alone; empty if the host has it"`
	CancelAsked   bool                `json:"cancel_asked"`
	Stalled       bool                `json:"stalled" doc:"it runs, and has done nothing for long"`
	Silence       *silenceJSON        `json:"silence" doc:"how long a running job has done nothing; null while it does something"`
	Waiting       *waitingJSON        `json:"waiting" doc:"what a job waits for that was not begun, or for whose lock; else null"`
	Progress      *progressJSON       `json:"progress" doc:"of a running job, how far it is; null if nothing was heard yet"`
	LastTook      int64               `json:"last_took" doc:"seconds that the last success of the same there took; 0 is not known"`
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
	Restore       *topics.Restored    `json:"restore" doc:"of a restore that ended: what came, or would; else null"`
	QueuedAt      *time.Time          `json:"queued_at"`
	StartedAt     *time.Time          `json:"started_at"`
	FinishedAt    *time.Time          `json:"finished_at"`
	NotAfter      *time.Time          `json:"not_after" doc:"it is not started later than this"`
}

// A silenceJSON is how long a running job has done nothing.
type silenceJSON struct {
	Seconds   int64  `json:"seconds"`
	Watched   bool   `json:"watched" doc:"its agent counts bytes and processor time, too; else nobody ends it"`
	EndsAfter int64  `json:"ends_after" doc:"seconds after which its agent ends it; 0 is never by itself"`
	Last      string `json:"last" doc:"what restic said last, as far as the agent tells"`
	Text      string `json:"text" doc:"for people"`
}

// A waitingJSON is why a queued job has not begun: "host", which cannot be reached;
// "job", another of its host in the same repository; "busy", when the host runs as many
// as it may at once; "repository", one that has to be alone there, or those before it;
// "limit", when as many run as may in all or in the repository; "plan", while what to
// remove is being decided; "host-disk", until there is space again on its host's disk;
// "plane-disk", until there is on the control plane's;
// "twins", until somebody has said which of two machines with the host's identity stays;
// "unconfirmed", until its host is confirmed after the control plane was restored from a copy;
// "unheard", until every host has told what it did since that copy, or ten minutes went by;
// "making", until the repository is made: the job that does, or that is in the way, or the
// last that could not;
// "lock", of a job that runs, until whoever has the repository's lock lets go of it: progress
// says who, and job is set if it is one of ours.
type waitingJSON struct {
	Reason protocol.Wait `json:"reason" enum:"host,host-disk,plane-disk,job,busy,repository,limit,plan,twins,unconfirmed,making,unheard,lock"`
	Job    topics.JobID  `json:"job" doc:"the job it waits for, or empty"`
	Text   string        `json:"text" doc:"for people"`
}

func (a *API) jobOf(ctx context.Context, j store.Job) (jobJSON, error) {
	g, err := a.GroupOf(ctx, j)
	if err != nil {
		return jobJSON{}, err
	}
	var waits map[topics.JobID]protocol.Turn
	if j.State == topics.Queued || j.State == topics.Dispatched {
		open, err := a.Store.OpenJobs(ctx, "")
		if err != nil {
			return jobJSON{}, err
		}
		if waits, err = a.Jobs.Waits(ctx, open); err != nil {
			return jobJSON{}, err
		}
	}
	out := a.jobWith(j, g.Name, waits)
	if p, ok := a.Hub.Progress(j.ID); ok && p.Waits != nil && out.Waiting != nil {
		holders, err := jobs.Waited(ctx, a.Store, j, *p.Waits)
		if err != nil {
			return jobJSON{}, err
		}
		for _, h := range holders {
			if h.OfJob != "" {
				out.Waiting.Job = h.OfJob
				break
			}
		}
	}
	return out, nil
}

// jobWith is a job whose group's name and whose turn are known.
func (a *API) jobWith(j store.Job, group string, waits map[topics.JobID]protocol.Turn) jobJSON {
	out := jobJSON{
		ID:            j.ID,
		Host:          j.Host,
		Kind:          j.Kind,
		SourceGroup:   group,
		Repository:    j.Repository,
		State:         j.State,
		RequestedBy:   j.RequestedBy,
		GivenBy:       j.GivenBy,
		CancelAsked:   j.CancelAsked,
		Cause:         j.Cause,
		Message:       j.Message,
		Remedies:      []string{},
		Lines:         j.Lines,
		SnapshotID:    j.SnapshotID,
		ResticVersion: j.ResticVersion,
		Operation:     j.Operation.V,
		Summary:       j.Summary.V,
		Result:        j.Result.V,
		QueuedAt:      base.JSONTime(j.QueuedAt),
		StartedAt:     base.JSONTime(j.StartedAt),
		FinishedAt:    base.JSONTime(j.FinishedAt),
		SavedFiles:    outcome.SavedFiles(j),
		NotAfter:      base.JSONTime(j.NotAfter),
	}
	if r := j.Result.V; r != nil {
		out.Restore = r.Restore
	}
	did := outcome.Of(j)
	out.DryRun, out.Did = did.DryRun, did.Text
	silence, stalled := a.Silent(j)
	if out.Stalled = stalled; silence.For >= time.Minute {
		out.Silence = &silenceJSON{Seconds: int64(silence.For.Seconds()), Watched: silence.Watched, EndsAfter: int64(silence.Limit.Seconds()),
			Last: silence.Last, Text: silence.Words()}
	}
	if turn := waits[j.ID]; turn.Wait != "" {
		out.Waiting = &waitingJSON{Reason: turn.Wait, Job: turn.For, Text: jobs.WaitWords(turn.Wait)}
	}
	if p, ok := a.Hub.Progress(j.ID); ok && j.State == topics.Running {
		out.Progress = progressOf(j, p, a.Now())
		if p.Waits != nil {
			out.Waiting = &waitingJSON{Reason: protocol.WaitLock, Text: out.Progress.Text + "."}
		}
	}
	out.LastTook = j.LastTook / 1000
	if j.ExitCode.Valid {
		out.ExitCode = &j.ExitCode.Int64
	}
	if j.State.Ended() && j.State != topics.Succeeded {
		e := jobs.ExplainJob(j)
		out.Reason, out.Effect, out.Remedies = e.Cause, e.Effect, e.Texts()
	}
	return out
}

type jobOut struct{ Body jobJSON }

func (a *API) GetJob(ctx context.Context, in *jobIn) (*jobOut, error) {
	j, err := a.Job(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	b, err := a.jobOf(ctx, j)
	return &jobOut{b}, err
}

// GetReport answers with everything a job found out.
func (a *API) GetReport(ctx context.Context, in *jobIn) (*reportOut, error) {
	j, err := a.Job(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	parts, err := a.Store.Reports(ctx, j.ID)
	out := &reportOut{
		Body: reportJSON{
			Snapshots: []topics.Snapshot{},
			Keys:      []topics.Key{},
			Locks:     []topics.Lock{},
			Matches:   []topics.Match{},
			Proofs:    []topics.Proof{},
			Changes:   []topics.Change{},
			Planned:   []topics.Planned{},
			Failures:  []topics.Failure{},
		},
	}
	if base.NamesFiles(j.Kind) && !session.Of(ctx).May(rights.Find) {
		return nil, a.lacks(ctx, rights.Find)
	}
	for _, p := range parts {
		out.Body.Snapshots = append(out.Body.Snapshots, p.Snapshots...)
		out.Body.Keys = append(out.Body.Keys, p.Keys...)
		out.Body.Locks = append(out.Body.Locks, p.Locks...)
		out.Body.Matches = append(out.Body.Matches, p.Matches...)
		out.Body.Proofs = append(out.Body.Proofs, p.Proofs...)
		out.Body.Changes = append(out.Body.Changes, p.Changes...)
		out.Body.Planned = append(out.Body.Planned, p.Planned...)
		out.Body.Failures = append(out.Body.Failures, p.Failures...)
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
	Proofs    []topics.Proof    `json:"proofs" nullable:"false" doc:"of a drill, those that were not proven first"`
	Changes   []topics.Change   `json:"changes" nullable:"false"`
	Planned   []topics.Planned  `json:"planned" nullable:"false" doc:"of a restore's dry run: what would happen to each file, 10,000 at most"`
	Failures  []topics.Failure  `json:"failures" nullable:"false" doc:"of a restore: what did not come back, and why; 10,000 at most"`
}

type listJobsIn struct {
	State []string     `query:"state" enum:"queued,dispatched,running,succeeded,warnings,failed,cancelled,interrupted,abandoned"`
	Host  string       `query:"host" doc:"only of this host: ID or name"`
	Kind  string       `query:"kind" doc:"only of this kind, backup for example"`
	Limit int          `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"how many at most"`
	After topics.JobID `query:"after" pattern:"^[a-z0-9-]{8,40}$" doc:"the ID of the last job of the page before"`
}

// ListJobs lists jobs. Their order never changes, so that a program that goes on
// after the last it has neither misses nor repeats one.
func (a *API) ListJobs(ctx context.Context, in *listJobsIn) (*list1[jobJSON], error) {
	f := store.JobFilter{Kind: topics.JobKind(in.Kind)}
	for _, st := range in.State {
		f.States = append(f.States, topics.JobState(st))
	}
	m, err := a.Moment(ctx)
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
	rows, err := a.Store.JobList(ctx, f, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	q, err := a.Queue(ctx, m, rows...)
	if err != nil {
		return nil, err
	}
	out := make([]jobJSON, len(rows))
	for i, j := range rows {
		out[i] = a.jobWith(j, q.Groups[j.SourceGroup], q.Waits)
	}
	return &list1[jobJSON]{out}, nil
}

type getLogIn struct {
	ID    topics.JobID `path:"id" doc:"or a beginning of it that no other job's ID has"`
	After int          `query:"after" minimum:"0" doc:"the last line the client has; without it, all of the log"`
}

// GetLog sends a log as it is read.
func (a *API) GetLog(ctx context.Context, in *getLogIn) (*huma.StreamResponse, error) {
	j, err := a.Job(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		w.Header().Set("Content-Type", "application/x-ndjson")
		a.SendLog(r.Context(), w, j.ID, in.After, base.PutJSON)
	}}, nil
}
