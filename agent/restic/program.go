package restic

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// A Program is another program that runs beside restic and in the same way: in its
// own process group, which ends with it, marked with the job, without a shell.
type Program struct {
	process.Program
	Env   []string      // NAME=value, beside PATH and the like; no secrets
	Tell  []byte        // what stands in a file whose path is in the variable Details; nil is no file
	Limit time.Duration // after which it is interrupted; 0 is none
	Mark  string        // before each line it says
}

// Details names the file that says in full what the variables of a hook say in letters
// that no shell takes for more.
const Details = "RESTIC_MANAGER_DETAILS"

// Run runs the program to its end. It succeeds with exit code 0. Lines of its
// stderr are warnings to the sink.
func (p Program) Run(ctx context.Context, t Timing, place Place, sink Sink) Ending {
	if _, err := topics.ParseJobID(string(place.Job)); err != nil {
		return failed(topics.CauseHook, err)
	}
	how, file, err := p.Open()
	if err != nil {
		return failed(topics.CauseHook, err)
	}
	defer file.Close()
	dir, err := place.temporary("hook-")
	if err != nil {
		return failed(topics.CauseHook, fmt.Errorf("make a directory for its temporary files: %w", err))
	}
	defer os.RemoveAll(dir)
	if p.Tell != nil {
		told := filepath.Join(dir, "details.json")
		if err := os.WriteFile(told, p.Tell, 0o600); err != nil {
			return failed(topics.CauseHook, fmt.Errorf("write down what it is told: %w", err))
		}
		p.Env = append(slices.Clone(p.Env), Details+"="+told)
	}
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
			o.say(level, p.Mark+clean(string(process.Decode(l[:min(len(l), topics.MaxLine)]))), size)
		}}
	}
	stdout, stderr := stream(false), stream(true)
	t = t.orDefault()
	x := process.Run(ctx, process.Spec{
		Path:        how.Path,
		Args:        how.Args,
		CommandLine: how.CommandLine,
		Files:       how.Files,
		Env:         slices.Concat(process.Inherited(), process.Temporary(dir), p.Env, []string{process.Mark(place.Job)}),
		Dir:         dir,
		Stdout:      stdout,
		Stderr:      stderr,
		CancelGrace: t.CancelGrace,
		PipeGrace:   t.PipeGrace,
		Job:         place.Job,
		Started:     sink.Started,
		Loose:       func(err error) { sink.Line(topics.Warn, p.Mark+unenclosed(err)) },
	})
	stdout.end()
	stderr.end()
	if text := leftBehind(x.Left); text != "" {
		sink.Line(topics.Warn, p.Mark+text)
	}
	e := Ending{State: topics.Failed, Cause: topics.CauseHook, Signal: x.Signal, Killed: x.Killed}
	if x.Err == nil && x.Signal == "" {
		e.ExitCode = &x.Code
	}
	switch {
	case outer.Err() != nil && x.Cancelled:
		e.State, e.Cause, e.Message = topics.Cancelled, topics.CauseCancelled, "cancelled"
	case x.Cancelled:
		e.Message = fmt.Sprintf("it did not end within %v", p.Limit)
	case x.Err != nil:
		e.Message = cut(clean("it cannot be started: "+x.Err.Error()), maxMessage)
	case x.Signal != "":
		e.Message = "it was ended by a signal: " + x.Signal
	case x.Code != 0:
		e.Message = fmt.Sprintf("it ended with exit code %d", x.Code)
	default:
		e.State, e.Cause = topics.Succeeded, topics.CauseNone
	}
	return e
}

// unenclosed says what it means that a program has no job object on Windows.
func unenclosed(err error) string {
	return cut(clean("Windows gave it no job object, so that what it starts may go on if the agent is killed: "+err.Error()), maxMessage)
}

// leftBehind says which processes a program left, and that they are gone. It is "" if it
// left none.
func leftBehind(names []string) string {
	if len(names) == 0 {
		return ""
	}
	count := map[string]int{}
	for _, n := range names {
		count[cut(clean(n), 64)]++
	}
	var told []string
	for _, n := range slices.Sorted(maps.Keys(count)) {
		if c := count[n]; c > 1 {
			n += fmt.Sprintf(" (%d)", c)
		}
		if told = append(told, n); len(told) == 10 && len(count) > 10 {
			told = append(told, fmt.Sprintf("%d others", len(count)-10))
			break
		}
	}
	were := "processes it had started were"
	if len(names) == 1 {
		were = "process it had started was"
	}
	how := "as with systemd-run"
	if runtime.GOOS == "windows" {
		how = "as a service or a scheduled task"
	}
	return fmt.Sprintf("%d %s still running, and ended with it: %s. What is to go on has to be started by the system, %s.",
		len(names), were, strings.Join(told, ", "), how)
}

type silentProgram struct{ silent }

func (silentProgram) args(Version, string) ([]string, error) { return nil, nil }
func (silentProgram) words() string                          { return "" }
