package restic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

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
	dir, err := place.temporary("restic-")
	if err != nil {
		return failed(causeOf(err), fmt.Errorf("make a directory for restic's temporary files: %w", err))
	}
	defer os.RemoveAll(dir)
	beside := repository            // as who looks at its locks opens it
	var from *Repository            // that it takes something from, and locks, too
	ssh := []Repository{repository} // whose servers are reached by ssh, if any is
	if two, ok := op.(interface{ other() *Repository }); ok && two.other() != nil {
		if a, ssh, err = both(repository, *two.other(), b.Version, dir); err != nil {
			return failed(topics.CauseUsage, err)
		}
		redactor, from = newRedactor(a.secrets), two.other()
		repository.Files = nil // they are written, and told of
	}
	pasted, certificates, err := repository.paste(b.Version, dir)
	if err != nil {
		return failed(causeOf(err), err)
	}
	args, err := op.args(b.Version, dir)
	if err != nil {
		return failed(causeOf(err), errors.New(redactor.redact(err.Error())))
	}
	flags, err := b.sshFlags(ctx, ssh, dir)
	if err != nil {
		return failed(topics.CauseUsage, err)
	}
	t := b.Timing.orDefault()
	o := newOutput(op, redactor, sink, t)
	said := op.words()
	if backup, is := op.(Backup); is {
		if tuned, _ := tuning(b.Version, backup.Tuning); len(tuned) > 0 {
			said += ", " + strings.Join(tuned, " ")
		}
	}
	o.info("restic %s %s, repository %s", b.Version, said, a.shown)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	o.silence = b.watch(op, args, t, stop)
	o.stop, o.version = stop, b.Version
	in := bounds{repository: a.bare, host: []string{dir, place.TempDir, place.CacheDir}}
	switch op := op.(type) {
	case Backup:
		in.source = op.Paths
	case *restore:
		in.source = []string{op.Target, or(op.Shown, op.Target)}
	case *bring:
		in.source = []string{op.Target, or(op.Shown, op.Target)}
	}
	o.bounds = in
	o.track = newTrack(stagesOf(args))
	stdout, stderr, end := o.streams()
	var files []*os.File
	switch op := op.(type) {
	case *restore:
		files = op.Files
	case *bring:
		files = op.Files
	}
	guard := &vigil{b: b, place: place, repository: beside, from: from, o: o, mode: lockOf(args), mute: untold[command(args)],
		limit: lockWait(args)}
	watching, enough := context.WithCancel(ctx)
	var guarded sync.WaitGroup
	owner := place.Job
	if place.aside {
		owner = ""
	}
	o.begun = time.Now()
	x := process.Run(ctx, process.Spec{
		Files: files,
		Path:  b.Path,
		Args:  slices.Concat(a.flags, certificates, flags, b.Limits.flags(), args),
		Env: slices.Concat(process.Inherited(), a.env, pasted, process.Temporary(dir),
			[]string{"RESTIC_CACHE_DIR=" + place.CacheDir, "RESTIC_PROGRESS_FPS=1", process.Mark(place.Job)}),
		Dir:         dir,
		Stdout:      raw(op, stdout),
		Stderr:      stderr,
		CancelGrace: t.CancelGrace,
		PipeGrace:   t.PipeGrace,
		Job:         owner,
		Started: func(p process.ID) {
			sink.Started(p)
			if guard.pid.Store(int64(p.PID)); !place.aside {
				guarded.Go(func() { guard.keep(watching) })
			}
		},
		Loose:       func(err error) { sink.Line(topics.Warn, unenclosed(err)) },
		LowPriority: b.Limits.LowPriority,
		Used:        o.silence.used,
		Every:       o.silence.window(),
	})
	enough()
	guarded.Wait()
	end()
	o.hearSSH(dir)
	return o.ending(x, b.Version, in, context.Cause(ctx))
}

// raw returns where restic's stdout goes: to the operation itself if it is no text, else to
// the lines.
func raw(op operation, lines io.Writer) io.Writer {
	if d, ok := op.(*dump); ok {
		return d.into
	}
	return lines
}

// causeOf returns the cause of an error that did not come from restic.
func causeOf(err error) topics.Cause {
	switch {
	case errors.Is(err, os.ErrPermission):
		return topics.CausePermission
	case process.FullDisk(err):
		return topics.CauseHostDisk
	case errors.As(err, new(*os.PathError)):
		return topics.CauseUnknown
	}
	return topics.CauseUsage
}

// ending decides how a run ended, by its exit code first, then by its output. why is
// the reason ctx ended, if it did.
func (o *output) ending(x process.Exit, v Version, in bounds, why error) (e Ending) {
	o.mu.Lock() // both streams are at their end; for the race detector's sake
	defer o.mu.Unlock()
	o.bounds = in
	if x.Err != nil {
		if x.Cancelled {
			return Ending{State: topics.Cancelled, Cause: topics.CauseCancelled, Message: "cancelled before restic was started"}
		}
		cause := causeOf(x.Err)
		if errors.Is(x.Err, os.ErrNotExist) {
			cause = topics.CauseNoRestic
		}
		return failed(cause, fmt.Errorf("start restic: %w", x.Err))
	}
	e = Ending{Signal: x.Signal, Killed: x.Killed, Summary: o.summary}
	defer func() { // whatever it came to
		o.operation.found(o, &e)
		e.Message = cut(e.Message, maxMessage)
	}()
	if x.Signal == "" {
		e.ExitCode = &x.Code
	}
	if o.summary != nil {
		o.summary.Unreadable = o.unread
		if uint64(len(o.items)) == o.unread && len(o.items) <= topics.MaxSources {
			o.summary.Items = o.items
		}
	}
	_, backup := o.operation.(Backup)
	done := x.Signal == "" && (x.Code == 0 || x.Code == 3 && backup)
	switch {
	case done && backup && o.snapshot != "":
		e.SnapshotID = o.snapshot
		e.State = topics.Succeeded
		if x.Code == 3 && (o.healed == 0 || o.unread > 0) || o.missing > 0 { // before 0.19 a path that is not there is no reason for exit code 3
			e.State, e.Cause, e.Message = topics.Warnings, topics.CauseUnreadable, o.incomplete()
		} else if o.live != "" {
			e.State, e.Cause, e.Message = topics.Warnings, topics.CauseShadowCopy, o.live
		}
		return e
	case done && !backup && (o.answered || !o.operation.answers(v)):
		e.State = topics.Succeeded
		return e
	}
	e.State = topics.Failed
	cause, line := o.evidence.judge(in)
	var silent *stalled
	var no *refusal
	var bare *unshadowed
	switch {
	case x.Cancelled && errors.As(why, &bare):
		e.Cause, e.Message = topics.CauseShadowCopy, bare.Error()
		return e
	case x.Cancelled && errors.As(why, &no):
		e.Cause, e.Message = no.cause, no.line
		return e
	case x.Cancelled && errors.As(why, &silent):
		e.Cause, e.Message = topics.CauseStalled, o.safe(silent.Error())
		if silent.trouble != nil {
			if e.Cause = classify(silent.trouble.Words, in); e.Cause == topics.CauseUnknown {
				e.Cause = topics.CauseUnreachable
			}
		}
		return e
	case x.Cancelled && (backup || !errors.Is(why, context.DeadlineExceeded)):
		e.State, e.Cause, e.Message = topics.Cancelled, topics.CauseCancelled, "cancelled"
		if o.waited != nil && !o.worked() {
			e.Message = cancelledWaiting
		}
		if x.Killed {
			e.Message = "cancelled; restic did not stop in time and was killed"
		}
		return e
	case x.Cancelled: // our own limit, most often of a server that does not answer
		if t := o.tries.now(); t != nil { // what restic says once it is interrupted is not the reason: 0.19 calls the password wrong
			cause = classify(t.Words, in)
			line = "restic did not get into the repository in time. The storage's last words: " + t.Words
		}
		if cause == topics.CauseUnknown {
			cause = topics.CauseUnreachable
		}
		e.Cause, e.Message = cause, or(line, "restic found no answer in time")
	case x.Signal != "":
		e.Cause, e.Message = topics.CauseKilled, "restic was ended by a signal: "+x.Signal
	case x.Code == 130 || x.Code == 1 && o.evidence.signalled: // 0.17 and 0.18 say 1
		e.Cause, e.Message = topics.CauseKilled, "restic was interrupted by a signal"
	case done && backup:
		e.Cause, e.Message = topics.CauseUnknown, "restic ended without an error, but named no snapshot"
	case o.vanished != "":
		e.Cause, e.Message = topics.CauseNoSnapshot, noSnapshotWords(o.vanished)
	case done:
		e.Cause, e.Message = topics.CauseUnknown, "restic ended without an error, but gave no answer that can be read"
	default:
		if e.Cause = cause; cause == topics.CauseUnknown && !backup && o.itemCause != topics.CauseNone {
			e.Cause = o.itemCause
		}
		if certain, known := codes[x.Code]; known && v.Has(since.Exits) {
			e.Cause = certain
		}
		e.Message = or(line, fmt.Sprintf("restic ended with exit code %d and said nothing", x.Code))
		if e.Cause == topics.CauseSourceMissing && o.barred != "" { // restic calls it missing, and may not look
			e.Cause, e.Message = topics.CauseUnreadable, o.barred+" cannot be accessed"
		}
		if e.Cause == topics.CauseLocked && o.waited != nil && !o.worked() {
			e.Message = waitedWords(*o.waited, o.now().Sub(time.UnixMilli(o.waited.Since))) + ": " + e.Message
		}
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
	s := several(o.unread, "item") + " could not be read"
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
