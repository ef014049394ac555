package restic

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// A Program is run beside restic, and like it: in a process group of its own that
// ends with it, with the job's mark, without a shell. It is run only if it is the
// very file whose digest is given, and nobody but the administrator and the agent's
// own user could have written to it.
type Program struct {
	Path   string // absolute
	SHA256 [32]byte
	Env    []string      // NAME=value, beside PATH and the like; no secrets
	Limit  time.Duration // after which it is interrupted; 0 is none
	Mark   string        // before each line it says
}

// Run runs the program to its end. It succeeds with exit code 0. Lines of its
// stderr are warnings to the sink.
func (p Program) Run(ctx context.Context, t Timing, place Place, sink Sink) Ending {
	if _, err := topics.ParseJobID(string(place.Job)); err != nil {
		return failed(topics.CauseHook, err)
	}
	file, err := p.open()
	if err != nil {
		return failed(topics.CauseHook, err)
	}
	defer file.Close()
	dir, err := os.MkdirTemp(place.TempDir, "hook-"+string(place.Job)+"-")
	if err != nil {
		return failed(topics.CauseHook, fmt.Errorf("make a directory for its temporary files: %w", err))
	}
	defer os.RemoveAll(dir)
	outer := ctx
	if p.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Limit)
		defer cancel()
	}
	o := newOutput(silentProgram{}, newRedactor(nil), sink, t.orDefault())
	stream := func(stderr bool) *splitter {
		return &splitter{line: func(l []byte, lost int) {
			o.mu.Lock()
			defer o.mu.Unlock()
			level, size := topics.Info, 0
			if stderr {
				level = topics.Warn
			}
			if lost > 0 || len(l) > topics.MaxLine {
				size = len(l) + lost
			}
			o.say(level, p.Mark+clean(string(l[:min(len(l), topics.MaxLine)])), size)
		}}
	}
	stdout, stderr := stream(false), stream(true)
	path, files := runnable(p.Path, file)
	x := execute(ctx, execution{
		path: path, files: files, dir: dir, stdout: stdout, stderr: stderr, timing: t.orDefault(), job: place.Job, started: sink.Started,
		env: slices.Concat(inherited(), temporary(dir), p.Env, []string{jobVariable + "=" + string(place.Job)}),
	})
	stdout.end()
	stderr.end()
	e := Ending{State: topics.Failed, Cause: topics.CauseHook, Signal: x.signal, Killed: x.killed}
	if x.err == nil && x.signal == "" {
		e.ExitCode = &x.code
	}
	switch {
	case outer.Err() != nil && x.cancelled:
		e.State, e.Cause, e.Message = topics.Cancelled, topics.CauseCancelled, "cancelled"
	case x.cancelled:
		e.Message = fmt.Sprintf("it did not end within %v", p.Limit)
	case x.err != nil:
		e.Message = cut(clean("it cannot be started: "+x.err.Error()), maxMessage)
	case x.signal != "":
		e.Message = "it was ended by a signal: " + x.signal
	case x.code != 0:
		e.Message = fmt.Sprintf("it ended with exit code %d", x.code)
	default:
		e.State, e.Cause = topics.Succeeded, topics.CauseNone
	}
	return e
}

type silentProgram struct{ silent }

func (silentProgram) args(Version, string) ([]string, error) { return nil, nil }
func (silentProgram) words() string                          { return "" }

// open returns the file if it may be run. What is run later is what was read here.
func (p Program) open() (*os.File, error) {
	file, err := openProgram(p.Path)
	if err != nil {
		return nil, err
	}
	digest := sha256.New()
	if _, err = io.Copy(digest, file); err == nil && [32]byte(digest.Sum(nil)) != p.SHA256 {
		err = errors.New("it is not the file that the host's policy allows: its SHA-256 is another. If you changed it, write the new one into the policy file")
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
