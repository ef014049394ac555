package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/agent/fetched"
	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/agent/restoring"
	"github.com/restic-manager/restic-manager/agent/sftp"
	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// retryLock is how long restic waits for another's lock; 0.14 cannot.
const retryLock = 10 * time.Minute

// start runs a job on a goroutine of its own. Called by the loop.
func (r *runner) start(s protocol.Start) {
	ctx, cancel := context.WithCancelCause(r.quit)
	r.jobs[s.Job] = cancel
	r.log.Info("job accepted", "job", s.Job, "kind", s.Run.Kind, "repository", s.Run.Repository.ID)
	r.work.Go(func() {
		defer cancel(nil)
		out := &sink{runner: r, job: s.Job, items: make(chan item, 256)}
		var gather sync.WaitGroup
		gather.Go(out.gather)
		var found []source
		made := restoring.Missing(targetOf(s.Run))
		end, ok := r.allowed(s)
		if ok {
			end, found = r.operate(ctx, s, out)
			r.restics.ended(s.Job, time.Now())
			r.pin(s, end)
		}
		if end.State == topics.Failed || end.State == topics.Cancelled {
			made.Tidy() // what was made for files of which none came
		}
		close(out.items)
		gather.Wait() // every line is on disk before the end
		failpoint.Here("agent-restic-ended")
		r.do(protocol.Ended{Job: s.Job, End: end, At: now()})
		failpoint.Here("agent-end-journalled")
		r.keep(s.Run.Group.ID, found, end)
		r.log.Info("job ended", "job", s.Job, "state", end.State, "cause", end.Cause)
	})
}

// targetOf is the directory that a job is to write files to and may make, "" if there is
// none.
func targetOf(run topics.Run) string {
	switch {
	case run.Kind == topics.RestoreJob && !run.DryRun && !run.InPlace:
		return run.Target
	case run.Kind == topics.DrillJob && run.Drill != nil:
		return run.Drill.Target
	}
	return ""
}

// policy reads the host's policy. Where the state directory is not the one that the agent
// was started with there is none, and the narrowest is not in its place: it names no
// repository.
func (r *runner) policy() (Policy, error) {
	if id, ok := idOf(r.state); r.home != (fileID{}) && (!ok || id != r.home) {
		return Policy{}, fmt.Errorf("the agent's state directory is not at %s any more, where it was when the agent was started: put it back, "+
			"or start the agent with where it is now", r.state)
	}
	return LoadPolicy(r.state)
}

// allowed checks, before the job does anything, that the policy permits where its
// paths lead. Symbolic links can only be followed now.
func (r *runner) allowed(s protocol.Start) (topics.Finished, bool) {
	policy, err := r.policy()
	if err == nil {
		if no := policy.refuse(r.state, s.Run); no != nil { // it may have been changed since the job was accepted
			err = forbidden(no.Message)
		} else {
			err = policy.prepare(r.state, s.Run)
		}
	}
	if err == nil {
		return topics.Finished{}, true
	}
	r.log.Warn("job refused", "job", s.Job, "kind", s.Run.Kind, "why", err)
	end := topics.Finished{State: topics.Failed, Cause: topics.CausePolicy, Message: err.Error()}
	if !errors.As(err, new(forbidden)) {
		end.Cause = topics.CausePermission
		if restoring.CauseOf(err) == topics.CauseHostDisk {
			end.Cause = topics.CauseHostDisk
		}
	}
	return end, false
}

// pin writes the first repository that worked into the policy, which allows no
// other from then on, and who this host is there.
func (r *runner) pin(s protocol.Start, end topics.Finished) {
	if !end.RepositoryReady && end.State != topics.Succeeded && end.State != topics.Warnings {
		return
	}
	r.pins.Lock()
	location, err := pin(r.state, s.Run.Kind, s.Run.Repository)
	r.pins.Unlock()
	if err != nil {
		r.log.Error("the repository could not be pinned", "err", err)
	}
	if location != "" {
		r.log.Info("this host's data goes to one repository from now on", "repository", location)
		if facts, err := r.facts(); err == nil { // before the end is told: what comes next is asked for by it
			r.do(protocol.Told{Facts: facts, At: now()})
		}
	}
}

func repository(run topics.Run) restic.Repository { return opened(run.Repository) }

// opened is a repository as it came, as restic is given it.
func opened(r topics.Repository) restic.Repository {
	return restic.Repository{URL: r.URL, Password: r.Password, Env: r.Env, Files: r.Files, Options: r.Options}
}

// unlock removes the job's own lock if restic could not: it was killed, or
// interrupted just after it created the lock, or could not reach the server any more. A lock that stays does not stop
// further backups, so a failure is only logged.
func (r *runner) unlock(ctx context.Context, e restic.Ending, binary restic.Binary, place restic.Place, repository restic.Repository) {
	if !e.LeavesLock() && e.State != topics.Cancelled && e.Cause != topics.CauseStalled && e.Cause != topics.CauseShadowCopy {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Unlock)
	defer cancel()
	if !binary.Answers(ctx, repository) { // then no lock can be removed, and whoever cancelled need not wait for that
		r.log.Warn("a lock may be left in the repository, whose server does not answer", "job", place.Job)
		return
	}
	if e := binary.Unlock(ctx, place, repository, mute{}); e.State != topics.Succeeded {
		r.log.Warn("a lock may be left in the repository", "job", place.Job, "cause", e.Cause, "message", e.Message)
	}
}

// reap ends the processes that an earlier run of the agent left behind for a job.
// It retries until none is left or the agent stops; the next start tries again.
func (r *runner) reap(j protocol.AgentJob) {
	if j.Run != nil && j.Run.Kind == topics.InitJob {
		r.awaitEnd(process.ID(j.Process))
	}
	r.log.Info("a job was interrupted; ending what is left of it", "job", j.ID)
	pids := process.Of(j.ID, process.ID(j.Process)) // a restic that was started and not written down as well
	if j.Process.PID > 0 && !slices.Contains(pids, j.Process.PID) {
		pids = append(pids, j.Process.PID)
	}
	for process.Reap(r.quit, j.ID, process.ID(j.Process), r.Reap) != nil {
		r.log.Error("restic of an earlier agent does not end", "job", j.ID)
		select {
		case <-time.After(r.Retry):
		case <-r.quit.Done():
			return
		}
	}
	if made, ok := topics.MadeAt(string(j.ID)); ok { // when they were started is not kept
		for _, pid := range pids {
			r.restics.started(j.ID, process.ID{PID: pid}, made)
		}
		r.restics.ended(j.ID, time.Now())
	}
	if j.Run != nil && j.Started {
		if binary, err := r.program.find(r.quit); err == nil {
			place := r.place
			place.Job = j.ID
			for _, pid := range pids { // until then its lock counts as one that is in use
				r.awaitGone(pid)
			}
			r.unlock(r.quit, restic.Ending{Killed: true}, binary, place, repository(*j.Run))
			if j.Run.Other != nil {
				r.unlock(r.quit, restic.Ending{Killed: true}, binary, place, opened(*j.Run.Other))
			}
		}
	}
	if j.Run != nil && j.Run.Kind == topics.DrillJob { // restic may have gone on until now
		if err := removeTree(drillDir(r.state, *j.Run, j.ID)); err != nil {
			r.log.Error("what a drill restored cannot be removed", "job", j.ID, "err", err)
		}
		_ = os.Remove(filepath.Join(r.state, scratch))
	}
	did, err := restoring.Finish(r.state, j.ID)
	line := topics.Line{At: now(), Level: topics.Warn, Text: did}
	if err != nil {
		line.Level, line.Text = topics.Error, strings.ToValidUTF8("the restore that was interrupted could not be finished, and what came of "+
			"it may belong to whom it belonged in the snapshot: "+err.Error()+". The agent tries that again", "\uFFFD")
	}
	if line.Text != "" { // it stays open until it is reaped
		r.log.Warn("a restore was interrupted", "job", j.ID, "said", line.Text)
		r.do(protocol.Printed{Job: j.ID, Lines: []topics.Line{line}, At: now()})
	}
	failpoint.Here("agent-reaped")
	r.do(protocol.Reaped{Job: j.ID, At: now()})
}

// finishLeft tries again now and then to finish restores that could not be when they were
// reaped: a disk was not mounted, or full.
func (r *runner) finishLeft(ctx context.Context) {
	for {
		for _, said := range restoring.FinishLeft(r.state, time.Now()) {
			r.log.Warn("a restore was interrupted", "said", said)
		}
		select {
		case <-time.After(time.Hour):
		case <-ctx.Done():
			return
		}
	}
}

// awaitEnd lets the restic that makes a repository end by itself, for a while: a
// repository that is half made is in the way of the next.
func (r *runner) awaitEnd(p process.ID) {
	for end := time.Now().Add(r.Init); p.PID != 0 && process.StartOf(p.PID) == p.Start && time.Now().Before(end); {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.quit.Done():
			return
		}
	}
}

// awaitGone waits until no process has this pid, not even a zombie. Restic treats a
// lock as held while the process exists, and a process whose agent is gone is
// collected by init, which may take a moment.
func (r *runner) awaitGone(pid int) {
	if pid == 0 {
		return
	}
	limit, tick := time.NewTimer(r.Unlock), time.NewTicker(50*time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	for {
		if !process.Exists(pid) {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return
		case <-r.quit.Done():
			return
		}
	}
}

// A program finds the restic to use, and looks for it again when the file it found
// has changed.
type program struct {
	path   string
	state  string // the agent's state directory, with a restic that was fetched; "" is none
	timing restic.Timing
	ssh    sftp.Home

	mu    sync.Mutex
	found restic.Binary
	file  os.FileInfo
	held  fetched.Program // which found is, the zero value if it is the host's own
	why   string          // why one that was fetched is not used
	again time.Time       // until when it is not tried again then
	tried time.Time       // when refresh looked for it last
}

// fetchedAgain is how long a restic that was fetched and cannot be used is not tried again:
// what was in the way, such as a disk mounted noexec, may be gone.
const fetchedAgain = time.Minute

// afresh has the next find try a restic that was fetched and is not used.
func (p *program) afresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.again = time.Time{}
}

func (p *program) find(ctx context.Context) (restic.Binary, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	use, damaged := p.fetched()
	if p.file != nil && use == p.held && (p.why == "" && damaged == nil || time.Now().Before(p.again)) {
		if now, err := os.Stat(p.found.Path); err == nil && now.Size() == p.file.Size() && now.ModTime().Equal(p.file.ModTime()) {
			return p.found, nil
		}
	}
	p.found, p.file, p.why = restic.Binary{}, nil, ""
	path := p.path
	if damaged != nil {
		p.why = damaged.Error()
	}
	if p.held = use; use.SHA256 != "" {
		if err := fetched.Whole(p.state, use); err != nil {
			p.why = err.Error()
		} else {
			path = fetched.Path(p.state, use)
		}
	}
	binary, err := restic.Probe(ctx, path)
	if err != nil && path != p.path && ctx.Err() == nil && !restic.Passing(err) { // a backup by the host's own is better than none
		p.why = err.Error()
		binary, err = restic.Probe(ctx, p.path)
	}
	if p.why != "" {
		p.again = time.Now().Add(fetchedAgain)
	}
	if err != nil {
		return binary, err
	}
	binary.Timing, binary.SSH = p.timing, p.ssh
	if p.file, err = os.Stat(binary.Path); err != nil {
		return binary, err
	}
	p.found = binary
	return binary, nil
}

// fetched is the restic that was fetched and is to be used; its SHA256 is "" if there is none,
// or nobody knows.
func (p *program) fetched() (use fetched.Program, err error) {
	if p.state == "" {
		return use, nil
	}
	s, err := fetched.Load(p.state)
	if err == nil && s.Current != nil {
		use = *s.Current
	}
	return use, err
}

// used is the restic that was fetched and is used, and why one that was is not.
func (p *program) used() (use fetched.Program, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why != "" || p.file == nil {
		return use, p.why
	}
	return p.held, ""
}

// refresh finds restic again if it has been replaced, and one that is not there or does
// not run not more often than each ten seconds.
func (p *program) refresh(ctx context.Context) {
	p.mu.Lock()
	wait := p.file == nil && time.Since(p.tried) < 10*time.Second
	if !wait {
		p.tried = time.Now()
	}
	p.mu.Unlock()
	if !wait {
		_, _ = p.find(ctx) // that there is none, the version says
	}
}

// version of the restic found last, "" if there is none.
func (p *program) version() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return ""
	}
	return p.found.Version.String()
}

// maxEvent is how many bytes one event may have, so that a batch holds it beside
// some others.
const maxEvent = protocol.BatchBytes - 1<<10

// maxLines is how many log lines one event carries at most. It only gets there when
// restic prints faster than the disk writes.
const maxLines = 500

// full is how many bytes the journal keeps for a control plane that cannot be
// reached. Beyond that, log lines are only counted; all other events are kept.
const full = 64 << 20

// A sink writes restic's output to the journal. A slow journal makes restic wait.
type sink struct {
	*runner
	job     topics.JobID
	version string
	items   chan item
}

// An item is a line, or a process that was started.
type item struct {
	line    topics.Line
	process *process.ID
	done    chan struct{}
}

func (s *sink) Line(level topics.Level, text string) {
	s.items <- item{line: topics.Line{At: now(), Level: level, Text: text}}
}

// Started returns when the process is in the journal, so that the agent can end it
// after a crash.
func (s *sink) Started(p process.ID) {
	s.restics.started(s.job, p, time.Now())
	done := make(chan struct{})
	s.items <- item{process: &p, done: done}
	<-done
}

func (s *sink) Status(status restic.Status) {
	select {
	case s.progress <- progress{s.job, status}:
	default: // the next one says more
	}
}

// print hands lines to the loop, and returns when they are on disk. On a full disk it
// returns false: restic goes on without them.
func (s *sink) print(in protocol.Printed) bool {
	one := step{in, make(chan error, 1)}
	select {
	case s.steps <- one:
	case <-s.quit.Done():
		return true
	}
	err := <-one.done
	if err != nil && !errors.Is(err, spool.ErrFull) {
		s.do(in)
	}
	return !errors.Is(err, spool.ErrFull)
}

// gather writes lines to the journal in batches: a few at once, many together with
// those that arrive shortly after. It ends when items is closed and all is on disk.
func (s *sink) gather() {
	var (
		lines   []topics.Line
		size    int
		skipped int
		last    time.Time
		due     <-chan time.Time
	)
	flush := func() {
		due = nil
		if len(lines) == 0 {
			return
		}
		if _, n, err := s.journal.Size(); err == nil && n >= s.room {
			skipped += len(lines)
		} else {
			failpoint.Here("agent-lines")
			if s.print(protocol.Printed{Job: s.job, Skipped: skipped, Lines: lines, At: now()}) {
				skipped = 0
			} else {
				skipped += len(lines)
			}
			failpoint.Here("agent-lines-journalled")
		}
		lines, size, last = nil, 0, time.Now()
	}
	for {
		select {
		case i, more := <-s.items:
			if !more {
				flush()
				if skipped > 0 {
					s.do(protocol.Printed{Job: s.job, Skipped: skipped, At: now()})
				}
				return
			}
			if i.process != nil {
				flush()
				failpoint.Here("agent-spawned")
				s.do(protocol.Spawned{Job: s.job, Process: protocol.Process(*i.process), Restic: s.version, At: now()})
				failpoint.Here("agent-spawn-journalled")
				close(i.done)
				continue
			}
			line, n := fit(i.line)
			if size+n > maxEvent-200 {
				flush()
			}
			lines, size = append(lines, line), size+n
			wait := s.Flush - time.Since(last)
			switch {
			case len(lines) >= maxLines, wait <= 0 && len(s.items) == 0:
				flush()
			case due == nil:
				due = time.After(max(wait, 0))
			}
		case <-due:
			flush()
		}
	}
}

// fit returns a line that fits into one event, and how many bytes it takes
// there: JSON writes some characters as six bytes.
func fit(l topics.Line) (topics.Line, int) {
	const mark = "… [cut]"
	n := len(topics.Encode(l)) + 1
	for limit := maxEvent - 300; n > limit; n = len(topics.Encode(l)) + 1 {
		keep := max(0, len(l.Text)*limit/n-len(mark)-4)
		for keep > 0 && l.Text[keep]&0xc0 == 0x80 {
			keep-- // between two characters
		}
		l.Text = l.Text[:keep] + mark
	}
	return l, n
}

// mute is a sink that drops everything.
type mute struct{}

func (mute) Line(topics.Level, string) {}
func (mute) Started(process.ID)        {}
func (mute) Status(restic.Status)      {}
