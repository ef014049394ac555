package agent

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/link"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// Queries are answered beside the jobs: they are in no journal, nothing of them is
// durable, and all of them end with their session. running belongs to the loop.
type queries struct {
	running map[topics.QueryID]context.CancelCauseFunc
	parts   chan answering
	over    chan topics.QueryID
}

func newQueries() queries {
	return queries{
		running: map[topics.QueryID]context.CancelCauseFunc{},
		parts:   make(chan answering),
		over:    make(chan topics.QueryID),
	}
}

// An answering is a part of an answer that waits to be sent.
type answering struct {
	query topics.QueryID
	conn  *link.Conn // of the session that asked
	part  topics.Answer
	sent  chan sending
}

type sending int

const (
	sentPart sending = iota
	sendLater
	sendNever // the session is over
)

var errUnasked = errors.New("nobody waits for the answer any more")

// patience is how long restic has to end when a query is over: it has no lock to remove.
const patience = 200 * time.Millisecond

// queried begins a query, or ends one. Called by the loop.
func (r *runner) queried(conn *link.Conn, id topics.QueryID, q topics.Query) {
	if q.Cancel {
		if cancel := r.queries.running[id]; cancel != nil {
			cancel(errUnasked)
		}
		return
	}
	if _, again := r.queries.running[id]; again {
		return
	}
	if len(r.queries.running) >= topics.MaxQueries || r.stopping || r.updating != "" || r.onTrial() {
		a := topics.Answer{Part: 1, Last: true, Cause: topics.CauseTooMany, Message: "This host answers as many questions at once as it may."}
		if r.updating != "" || r.onTrial() {
			a.Message = "The agent of this host is being updated. Ask again in a few minutes."
		}
		r.work.Go(func() { r.answer(r.quit, conn, id, a) })
		return
	}
	limit := time.Duration(q.Limit) * time.Second
	if limit <= 0 {
		limit = 30 * time.Second
	}
	ctx, cancel := context.WithCancelCause(r.quit)
	r.queries.running[id] = cancel
	r.work.Go(func() {
		defer cancel(nil)
		timed, stop := context.WithTimeout(ctx, limit)
		out := &answerParts{send: func(part topics.Answer) bool { return r.answer(ctx, conn, id, part) }}
		out.end(r.lookUp(timed, id, q, out))
		stop()
		select {
		case r.queries.over <- id:
		case <-r.quit.Done():
		}
	})
}

// unasked ends all queries: nobody gets their answers. Called by the loop.
func (r *runner) unasked() {
	for _, cancel := range r.queries.running {
		cancel(errUnasked)
	}
}

// answer sends a part, and waits while the connection has much to send. It returns false
// if nobody waits for it any more.
func (r *runner) answer(ctx context.Context, conn *link.Conn, id topics.QueryID, part topics.Answer) bool {
	for {
		one := answering{query: id, conn: conn, part: part, sent: make(chan sending, 1)}
		select {
		case r.queries.parts <- one:
		case <-ctx.Done():
			return false
		}
		switch <-one.sent {
		case sentPart:
			return true
		case sendNever:
			return false
		case sendLater:
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// sendAnswer sends a part if there is room beside what jobs have to say. Called by the
// loop.
func (r *runner) sendAnswer(a answering) {
	switch {
	case r.conn == nil || r.conn != a.conn:
		a.sent <- sendNever
		return
	case r.conn.Busy():
		a.sent <- sendLater
		return
	}
	t := r.topic(topics.KindAnswer)
	t.Query = a.query
	a.part.Stamp = r.conn.Stamp()
	if r.conn.Send(t, a.part) {
		a.sent <- sentPart
	} else {
		a.sent <- sendLater
	}
}

// lookUp finds out what is asked. What is given to out as it comes is not in the answer.
func (r *runner) lookUp(ctx context.Context, id topics.QueryID, q topics.Query, out *answerParts) topics.Answer {
	policy, err := r.policy()
	if err != nil {
		return topics.Answer{Cause: topics.CausePolicy, Message: err.Error()}
	}
	a := topics.Answer{Cause: topics.CauseRefused, Message: "This agent does not know what is asked, update it."}
	switch q.Kind {
	case topics.DirectoriesQuery:
		a = policy.directories(r.state, q.Path)
	case topics.SSHLook:
		var what topics.SSHQuery
		if q.SSH != nil {
			what = *q.SSH
		}
		a = policy.ssh(r.state, r.identity.Hostname, what)
		if what.MakeKey || what.Accept != nil {
			r.log.Info("asked by the control plane", "make_key", what.MakeKey, "accept", what.Accept, "refused", a.Message)
		}
	case topics.TestQuery:
		if err := policy.tests(r.state, *q.Repository); err != nil {
			r.log.Warn("query refused", "kind", q.Kind, "why", err)
			return topics.Answer{Cause: topics.CausePolicy, Message: err.Error()}
		}
		a = r.test(ctx, id, *q.Repository)
	case topics.FilesQuery, topics.VersionsQuery:
		if err := policy.browses(r.state, *q.Repository); err != nil {
			r.log.Warn("query refused", "kind", q.Kind, "repository", q.Repository.ID, "why", err)
			return topics.Answer{Cause: topics.CausePolicy, Message: err.Error()}
		}
		a = r.browse(ctx, id, q, out)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && a.Cause != "" {
		return topics.Answer{Cause: topics.CauseSlow, Message: "The time for an answer was over, and restic was ended."}
	}
	return a
}

// browsing are the kinds of job of which any lets somebody see names in a repository.
var browsing = []topics.JobKind{topics.FindJob, topics.RestoreJob, topics.SnapshotsJob}

// browses refuses a repository in which this host may not look. Who may search a
// repository, list it or restore from it may see the names in it.
func (p Policy) browses(state string, repository topics.Repository) error {
	if !slices.ContainsFunc(browsing, func(k topics.JobKind) bool { return slices.Contains(p.Kinds, k) }) {
		return forbid("This host's policy %s allows neither find nor restore nor snapshots.", p.Name)
	}
	if p.managed() {
		return nil
	}
	return p.decideRepository(state, topics.Run{Kind: topics.FindJob, Repository: repository})
}

// browse asks restic.
func (r *runner) browse(ctx context.Context, id topics.QueryID, q topics.Query, out *answerParts) topics.Answer {
	binary, err := r.program.find(ctx)
	if err != nil {
		return topics.Answer{Cause: topics.CauseNoRestic, Message: err.Error()}
	}
	binary.Timing.CancelGrace, binary.Timing.PipeGrace = patience, patience
	place := r.place
	place.Job = topics.JobID(id)
	repository := opened(*q.Repository)
	if e := binary.Reach(ctx, repository, mute{}); e.State != topics.Succeeded {
		return topics.Answer{Cause: e.Cause, Message: e.Message}
	}
	if q.Kind == topics.VersionsQuery {
		snapshots := q.Snapshots
		if q.Whole {
			snapshots = nil
		}
		found, e := binary.Versions(ctx, place, repository, snapshots, q.Path, mute{})
		return topics.Answer{Versions: found, Whole: q.Whole, Cause: e.Cause, Message: e.Message}
	}
	nodes, truncated, e, err := binary.Files(ctx, place, repository, q.Snapshot, q.Path, topics.MaxAnswerEntries, out.entries, mute{})
	switch {
	case err != nil:
		return topics.Answer{Cause: topics.CauseNotFound, Message: err.Error()}
	case e.State != topics.Succeeded:
		return topics.Answer{Cause: e.Cause, Message: e.Message}
	}
	return topics.Answer{Entries: nodes, Truncated: truncated}
}

// mostDirectories is how many directories of the host one answer names.
const mostDirectories = 10_000

// directories lists the directories below one of the host's that restores may write to, by
// where links lead; with "" those that the policy names. The agent's own files are never
// shown, but for its directory for restores.
func (p Policy) directories(state, path string) topics.Answer {
	refused := func(format string, args ...any) topics.Answer {
		return topics.Answer{Cause: topics.CausePolicy, Message: forbid(format, args...).Error()}
	}
	if !slices.Contains(p.Kinds, topics.RestoreJob) {
		return refused("This host's policy %s does not allow %s.", p.Name, topics.RestoreJob)
	}
	allowed := p.RestoreRoots
	if p.managed() {
		allowed = roots()
	}
	mine := ownDirectories(state, nil, location.Address{})
	safe, err := resolve(filepath.Join(state, quarantine))
	hidden := func(real string) bool {
		if err == nil && within(real, safe) {
			return false
		}
		_, ours := holds(mine, real)
		return ours
	}
	if path == "" {
		var a topics.Answer
		for _, root := range allowed {
			if real, err := filepath.EvalSymlinks(root); err == nil && !hidden(real) {
				a.Directories = append(a.Directories, topics.Directory{Name: root, Writable: writable(real)})
			}
		}
		return a
	}
	missing := topics.Answer{Cause: topics.CauseNotFound, Message: "This host has no such directory."}
	if plainPath(path) == "" {
		return missing
	}
	if !below(path, allowed) {
		return refused("This host's policy %s lets restores write below %s only, and %.200q is not there.", p.Name,
			strings.Join(allowed, ", "), path)
	}
	real, err2 := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err2, fs.ErrNotExist):
		return missing
	case err2 != nil:
		return topics.Answer{Cause: topics.CausePermission, Message: err2.Error()}
	case !leads(real, allowed) || hidden(real):
		return refused("%.200q leads out of where this host lets restores write.", path)
	}
	return listDirectory(allowed, real, hidden)
}
