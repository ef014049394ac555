package restic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// jobVariable marks every process of a job, restic's children included.
const jobVariable = "RESTIC_MANAGER_JOB"

// run prepares an operation, runs it and judges how it ended.
func (b Binary) run(ctx context.Context, place Place, repository Repository, op operation, sink Sink) Ending {
	if _, err := topics.ParseJobID(string(place.Job)); err != nil {
		return failed(topics.CauseUsage, err)
	}
	a, err := repository.access(b.Version)
	if err != nil {
		return failed(topics.CauseUsage, err)
	}
	redactor := newRedactor(a.secrets)
	if err := os.MkdirAll(place.CacheDir, 0o700); err != nil { // 0.19 fails without one
		return failed(causeOf(err), fmt.Errorf("make restic's cache directory: %w", err))
	}
	dir, err := os.MkdirTemp(place.TempDir, "restic-"+string(place.Job)+"-")
	if err != nil {
		return failed(causeOf(err), fmt.Errorf("make a directory for restic's temporary files: %w", err))
	}
	defer os.RemoveAll(dir)
	args, err := op.args(b.Version, dir)
	if err != nil {
		return failed(causeOf(err), errors.New(redactor.redact(err.Error())))
	}
	t := b.Timing.orDefault()
	o := newOutput(op, redactor, sink, t)
	o.info("restic %s %s, repository %s", b.Version, op.words(), a.shown)
	stdout, stderr, end := o.streams()
	x := execute(ctx, execution{
		path: b.Path,
		args: slices.Concat(a.flags, b.Limits.flags(), args),
		env:  slices.Concat(inherited(), a.env, temporary(dir), []string{"RESTIC_CACHE_DIR=" + place.CacheDir, "RESTIC_PROGRESS_FPS=1", jobVariable + "=" + string(place.Job)}),
		dir:  dir, stdout: stdout, stderr: stderr, timing: t, job: place.Job, started: sink.Started, low: b.Limits.LowPriority,
	})
	end()
	return o.ending(x, b.Version, a.bare, context.Cause(ctx))
}

// causeOf is the cause of a failure of our own beside restic.
func causeOf(err error) topics.Cause {
	switch {
	case errors.Is(err, os.ErrPermission):
		return topics.CausePermission
	case fullDisk(err):
		return topics.CauseDiskFull
	case errors.As(err, new(*os.PathError)):
		return topics.CauseUnknown
	}
	return topics.CauseUsage
}

// execution is one program to be run, job and started optional.
type execution struct {
	path           string
	args, env      []string
	dir            string
	stdout, stderr io.Writer
	timing         Timing
	job            topics.JobID
	started        func(Process)
	low            bool       // priority
	files          []*os.File // open in the program from descriptor 3 on; not on Windows
}

// exit is how a program ended.
type exit struct {
	err       error // it could not be started
	code      int   // -1 after a signal
	signal    string
	cancelled bool // ctx ended first, and we interrupted it
	killed    bool // it outlived the grace
}

// execute runs a program in a process group of its own and returns when it and
// the rest of its group are gone and nothing more will be written. stdin is empty.
func execute(ctx context.Context, x execution) exit {
	if ctx.Err() != nil {
		return exit{code: -1, cancelled: true, err: context.Cause(ctx)}
	}
	cmd := exec.Command(x.path, x.args...)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = x.env, x.dir, x.files
	streams, err := newPumps(cmd, x.stdout, x.stderr)
	if err != nil {
		return exit{code: -1, err: err}
	}
	g, err := start(cmd, x.low)
	if err != nil {
		return exit{code: -1, err: err}
	}
	streams.start()
	if x.started != nil {
		x.started(Process{PID: cmd.Process.Pid, Start: startOf(cmd.Process.Pid)})
	}
	// The watcher is the only one to signal the group, and stops before the
	// group's number can belong to anybody else.
	var end exit
	gone, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-gone:
			return
		case <-ctx.Done():
		}
		end.cancelled = true
		g.interrupt()
		grace := time.NewTimer(x.timing.CancelGrace)
		defer grace.Stop()
		select {
		case <-gone:
		case <-grace.C:
			end.killed = true
			g.kill()
		}
	}()
	g.await() // the leader is a zombie now, or gone
	close(gone)
	<-watched
	g.kill()         // what it left behind
	reap := func() { // some of its children have groups of their own
		if x.job != "" {
			_ = Reap(context.WithoutCancel(ctx), x.job, Process{}, time.Second) // best effort; the agent does it again at its start
		}
	}
	streams.finish(x.timing.PipeGrace, reap)
	_ = cmd.Wait() // how it ended, ProcessState says
	g.close()
	if end.killed {
		reap()
	}
	end.code, end.signal = cmd.ProcessState.ExitCode(), signalOf(cmd.ProcessState)
	return end
}

// ending judges a run by its exit code, then by what was said. why is the reason
// ctx ended, if it did.
func (o *output) ending(x exit, v Version, bare []string, why error) (e Ending) {
	o.mu.Lock() // both streams are at their end; for the race detector's sake
	defer o.mu.Unlock()
	o.bare = bare
	if x.err != nil {
		if x.cancelled {
			return Ending{State: topics.Cancelled, Cause: topics.CauseCancelled, Message: "cancelled before restic was started"}
		}
		cause := causeOf(x.err)
		if errors.Is(x.err, os.ErrNotExist) {
			cause = topics.CauseNoRestic
		}
		return failed(cause, fmt.Errorf("start restic: %w", x.err))
	}
	e = Ending{Signal: x.signal, Killed: x.killed, Summary: o.summary}
	defer func() { // whatever it came to
		o.operation.found(o, &e)
		e.Message = cut(e.Message, maxMessage)
	}()
	if x.signal == "" {
		e.ExitCode = &x.code
	}
	if o.summary != nil {
		o.summary.Unreadable = o.unread
	}
	_, backup := o.operation.(Backup)
	done := x.signal == "" && (x.code == 0 || x.code == 3 && backup)
	switch {
	case done && backup && o.snapshot != "":
		e.SnapshotID = o.snapshot
		e.State = topics.Succeeded
		if x.code == 3 || o.missing > 0 { // before 0.19 a path that is not there is no reason for exit code 3
			e.State, e.Cause, e.Message = topics.Warnings, topics.CauseUnreadable, o.incomplete()
		}
		return e
	case done && !backup && (o.answered || !o.operation.answers(v)):
		e.State = topics.Succeeded
		return e
	}
	e.State = topics.Failed
	cause, line := o.evidence.judge(bare)
	switch {
	case x.cancelled && (backup || !errors.Is(why, context.DeadlineExceeded)):
		e.State, e.Cause, e.Message = topics.Cancelled, topics.CauseCancelled, "cancelled"
		if x.killed {
			e.Message = "cancelled; restic did not stop in time and was killed"
		}
		return e
	case x.cancelled: // our own limit, most often of a server that does not answer
		if cause == topics.CauseUnknown {
			cause = topics.CauseUnreachable
		}
		e.Cause, e.Message = cause, or(line, "restic found no answer in time")
	case x.signal != "":
		e.Cause, e.Message = topics.CauseKilled, "restic was ended by a signal: "+x.signal
	case x.code == 130 || x.code == 1 && o.evidence.signalled: // 0.17 and 0.18 say 1
		e.Cause, e.Message = topics.CauseKilled, "restic was interrupted by a signal"
	case done && backup:
		e.Cause, e.Message = topics.CauseUnknown, "restic ended without an error, but named no snapshot"
	case done:
		e.Cause, e.Message = topics.CauseUnknown, "restic ended without an error, but gave no answer that can be read"
	default:
		if e.Cause = cause; cause == topics.CauseUnknown && !backup && o.itemCause != topics.CauseNone {
			e.Cause = o.itemCause
		}
		if certain, known := codes[x.code]; known && v.AtLeast(0, 17, 0) {
			e.Cause = certain
		}
		e.Message = or(line, fmt.Sprintf("restic ended with exit code %d and said nothing", x.code))
	}
	return e
}

// codes are the exit codes that name a cause, 10 and 11 since 0.17.0, 12 since 0.17.1.
var codes = map[int]topics.Cause{
	10: topics.CauseNoRepository,
	11: topics.CauseLocked,
	12: topics.CausePassword,
}

// incomplete words the warning of a snapshot that lacks something.
func (o *output) incomplete() string {
	if o.unread == 0 {
		return "restic could not read all of the source"
	}
	s := several(int(o.unread), "item") + " could not be read"
	if o.unread > 1 {
		s += ", the first is "
	} else {
		s += ": "
	}
	return cut(s+o.firstUnread, maxMessage)
}

func or(a, b string) string {
	if strings.TrimSpace(a) != "" {
		return a
	}
	return b
}
