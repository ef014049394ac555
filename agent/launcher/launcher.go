package launcher

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/topics"
)

// ErrReplace is what an agent returns that makes room for another release: the launcher
// looks again what to run.
var ErrReplace = errors.New("another release is to run")

// ReplaceStatus is the exit status by which a child says so.
const ReplaceStatus = 75

// Timing holds the durations of a launcher.
type Timing struct {
	Trial time.Duration // for a new release to be welcomed
	Stop  time.Duration // for what runs to end when it is told to
	Hang  time.Duration // the same for a release that failed its trial
	Look  time.Duration // between two looks whether somebody went back
}

// TrialFor is how long a new release has to be welcomed. Tests link programs with less.
var TrialFor = "90s"

// DefaultTiming is what a launcher uses unless a test says otherwise.
func DefaultTiming() Timing {
	trial, err := time.ParseDuration(TrialFor)
	if err != nil {
		trial = 90 * time.Second
	}
	return Timing{Trial: trial, Stop: 140 * time.Second, Hang: 10 * time.Second, Look: 2 * time.Second}
}

// A Launcher runs the release that is kept or on trial as its child, and the installed
// program within this process if there is none.
type Launcher struct {
	State     string                      // the agent's directory
	Own       int64                       // number of the installed program
	Keys      func() ([]string, error)    // those that count on this host
	Installed func(context.Context) error // runs the agent here; see ErrReplace
	Args      []string                    // of the child, such as run --state DIR
	Errs      io.Writer                   // where the child's log goes
	Log       *slog.Logger
	Timing    Timing
	Now       func() time.Time

	tries int // in a row, to begin a child, each of which failed by what passes
}

// Run runs what is to run until ctx ends or it ends by itself.
func (l *Launcher) Run(ctx context.Context) error {
	if l.Timing.Trial == 0 {
		l.Timing = DefaultTiming()
	}
	if l.Now == nil {
		l.Now = time.Now
	}
	for ctx.Err() == nil {
		number, trial := l.choose()
		err := error(nil)
		if number == 0 {
			err = l.Installed(ctx)
		} else {
			err = l.child(ctx, number, trial)
		}
		if !errors.Is(err, ErrReplace) {
			return err
		}
	}
	return nil
}

// choose says what is to run now: 0 is the installed program. It never fails: that one can
// always be run.
func (l *Launcher) choose() (number int64, trial *Trial) {
	if s, err := Load(l.State); err == nil && s.Kept == 0 && s.Trial == nil {
		return 0, nil // as most of the time: nothing is written
	}
	keys, err := l.Keys()
	if err != nil {
		l.Log.Error("what an update brought is not run, as the host's policy cannot be used", "err", err)
		return 0, nil
	}
	_, err = Change(l.State, func(s *State) bool {
		changed := false
		if t := s.Trial; t != nil {
			changed = true
			if why := l.fit(t, keys); why != nil {
				s.back(t.Number, t.Version, l.to(s.Kept), t.Job, why, l.Now())
				l.Log.Error("an update is given up", "release", t.Number, "why", why.Message)
			} else {
				t.Attempts++
				number, trial = t.Number, t
				return true
			}
		}
		for s.Kept != 0 {
			if release.Newer(s.Kept, l.Own) <= 0 {
				l.Log.Info("the installed program is as new as what an update brought, and runs from now on", "release", s.Kept)
				s.Kept, s.Before, changed = 0, 0, true
				break
			}
			_, err := Verify(l.State, s.Kept, keys)
			for try := 0; err != nil && passes(err) && try < patience; try++ {
				time.Sleep(l.Timing.Look)
				_, err = Verify(l.State, s.Kept, keys)
			}
			if err == nil {
				number = s.Kept
				break
			}
			l.Log.Error("what an update brought is not run any more", "release", s.Kept, "why", err)
			from := s.Kept
			s.Kept, s.Before, changed = s.Before, 0, true
			s.back(from, "", l.to(s.Kept), "", Failed(err), l.Now())
		}
		return changed
	})
	if err != nil {
		l.Log.Error("what is known of updates cannot be written; the installed program runs", "err", err)
		return 0, nil
	}
	failpoint.Here("launcher-chosen")
	return number, trial
}

// fit says why a trial is not begun, nil if it is.
func (l *Launcher) fit(t *Trial, keys []string) *Failure {
	if t.Attempts >= Attempts {
		return &Failure{Cause: topics.CauseNotWelcomed, Message: fmt.Sprintf(
			"its trial was begun %d times, and each time it was cut short before it was welcomed", t.Attempts)}
	}
	if release.Newer(t.Number, l.Own) <= 0 {
		return &Failure{Cause: topics.CauseOldManifest, Message: "the installed program was replaced by one that is as new"}
	}
	if _, err := Verify(l.State, t.Number, keys); err != nil {
		return Failed(err)
	}
	return nil
}

// to is the number that runs if this is kept.
func (l *Launcher) to(kept int64) int64 {
	if kept == 0 {
		return l.Own
	}
	return kept
}

// child runs a release until ctx ends, or it does, or another is to run.
func (l *Launcher) child(ctx context.Context, number int64, trial *Trial) error {
	path := Program(l.State, number)
	cmd := exec.Command(path, l.Args...)
	cmd.Env = append(os.Environ(), Variable+"="+strconv.FormatInt(number, 10)+" "+strconv.FormatInt(l.Own, 10))
	if os.Getenv(failpoint.Variable) != "" { // a power failure spares neither
		cmd.Env = append(cmd.Env, failpoint.Parent+"="+strconv.Itoa(os.Getpid()))
	}
	cmd.Stderr = l.Errs
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer in.Close()
	out, said := io.Pipe()
	cmd.Stdout = said
	cmd.WaitDelay = 5 * time.Second // for what it left behind with our pipe
	failpoint.Here("launcher-begins")
	ended, err := begin(cmd)
	if err != nil && passes(err) && l.tries < patience {
		l.tries++
		l.Log.Warn("a release cannot be begun just now, and is tried again", "release", number, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(l.Timing.Look):
		}
		return ErrReplace
	}
	if err != nil {
		l.failed(number, trial, &Failure{Cause: topics.CauseCannotRun, Message: "it cannot be run: " + Reason(path, err)})
		return ErrReplace
	}
	l.tries = 0
	failpoint.Here("launcher-began")
	lines := make(chan string)
	stop := make(chan struct{})
	defer close(stop)
	defer said.Close()
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			select {
			case lines <- scan.Text():
			case <-stop:
			}
		}
		_, _ = io.Copy(io.Discard, out) // a line that is too long
	}()
	l.Log.Info("another release than the installed one runs", "release", number, "trial", trial != nil, "process", cmd.Process.Pid)
	end := func(limit time.Duration) error { // as it is told by the end of its standard input
		_ = in.Close()
		select {
		case err := <-ended:
			return err
		case <-time.After(limit):
			_ = cmd.Process.Kill()
			return errors.Join(errors.New("it had not ended, and was killed"), <-ended)
		}
	}
	var late <-chan time.Time
	if trial != nil {
		late = time.After(l.Timing.Trial)
	}
	look := time.NewTicker(l.Timing.Look)
	defer look.Stop()
	for {
		var why *Failure
		select {
		case <-ctx.Done():
			if err := end(l.Timing.Stop); err != nil && trial == nil {
				return fmt.Errorf("release %d: %w", number, err)
			}
			return nil
		case err := <-ended:
			if trial == nil {
				return l.over(number, err)
			}
			select { // one signal, or the end of the system, may have ended both: that is no fault of the release
			case <-ctx.Done():
				return nil
			case <-time.After(together):
			}
			why = &Failure{Cause: topics.CauseCannotRun, Message: fmt.Sprintf("it ended by itself while it was on trial: %v", ending(err))}
			l.failed(number, trial, why)
			return ErrReplace
		case <-late:
			why = &Failure{Cause: topics.CauseNotWelcomed,
				Message: fmt.Sprintf("the control plane had not welcomed it after %v", l.Timing.Trial)}
		case line := <-lines:
			word, rest, _ := strings.Cut(line, " ")
			switch {
			case trial == nil: // it has nothing to say any more
			case word == saysWelcomed:
				failpoint.Here("launcher-welcomed")
				if err := l.keep(number); err != nil {
					why = &Failure{Cause: topics.CauseHostDisk, Message: "that it proved itself cannot be written down: " + err.Error()}
					break
				}
				failpoint.Here("launcher-kept")
				trial, late = nil, nil
				_, _ = io.WriteString(in, tellsKept+"\n") // one that does not read it finds it when it starts again
			case word == saysLost:
				why = &Failure{Cause: topics.CauseLostRestic, Message: "it found no restic, and the one before did: " + rest}
			}
		case <-look.C:
			if s, err := Load(l.State); err == nil && (trial == nil && s.Kept != number || trial != nil && s.Trial == nil) {
				l.Log.Warn("somebody on this host goes back from a release", "release", number)
				_ = end(l.Timing.Stop)
				return ErrReplace
			}
		}
		if why != nil {
			_ = end(l.Timing.Hang)
			l.failed(number, trial, why)
			return ErrReplace
		}
	}
}

// patience is how often what passes is waited for, a look's time each, before a release is
// left for it.
const patience = 5

// passes reports whether an error says of the machine that it has no room just now, or of
// the program that somebody looks through it: nothing of the release itself.
func passes(err error) bool {
	for _, e := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY} {
		if errors.Is(err, e) {
			return true
		}
	}
	return inUse(err)
}

// together is how much later than its child a launcher may hear that both are to end.
const together = time.Second

// over is what the end of a release means that is kept.
func (l *Launcher) over(number int64, err error) error {
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == ReplaceStatus:
		return ErrReplace
	case err != nil:
		return fmt.Errorf("release %d ended: %v", number, ending(err))
	}
	return nil
}

func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// keep notes that a release proved itself.
func (l *Launcher) keep(number int64) error {
	_, err := Change(l.State, func(s *State) bool {
		if s.Trial == nil || s.Trial.Number != number {
			return false
		}
		s.Before, s.Kept, s.Trial, s.Highest = s.Kept, number, nil, max(s.Highest, number)
		s.Back, s.BackJob = nil, ""
		return true
	})
	return err
}

// failed notes that a release is not run any more.
func (l *Launcher) failed(number int64, trial *Trial, why *Failure) {
	l.Log.Error("a release is not run any more, and what ran before runs again", "release", number, "why", why.Message)
	_, err := Change(l.State, func(s *State) bool {
		switch {
		case trial != nil && s.Trial != nil && s.Trial.Number == number:
			s.back(number, s.Trial.Version, l.to(s.Kept), s.Trial.Job, why, l.Now())
		case trial == nil && s.Kept == number:
			s.Kept, s.Before = s.Before, 0
			s.back(number, "", l.to(s.Kept), "", why, l.Now())
		default:
			return false
		}
		return true
	})
	if err != nil {
		l.Log.Error("that cannot be written down", "err", err)
	}
	failpoint.Here("launcher-back")
}

// Reason says why a program cannot be run, as far as that is known.
func Reason(path string, err error) string {
	if noexec(filepath.Dir(path)) {
		return fmt.Sprintf("the file system of %s is mounted noexec, so that nothing in it can be run", filepath.Dir(path))
	}
	return err.Error()
}
