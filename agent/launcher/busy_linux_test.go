package launcher

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A logFunc is told each line of a log.
type logFunc func(line string)

func (f logFunc) Write(b []byte) (int, error) {
	f(string(b))
	return len(b), nil
}

// TestWhatPassesIsWaitedFor: somebody holds the program of a release that is kept, as one
// that looks for viruses may.
func TestWhatPassesIsWaitedFor(t *testing.T) {
	for name, passes := range map[string]bool{"it is let go": true, "it never is": false} {
		t.Run(name, func(t *testing.T) {
			h := newHeld(t)
			h.put(20)
			h.set(State{Kept: 20, Highest: 20})
			busy, err := os.OpenFile(Program(h.state, 20), os.O_RDWR, 0)
			h.must(err)
			defer busy.Close()
			tries, ran, note := 0, false, filepath.Join(t.TempDir(), "note")
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			l := Launcher{State: h.state, Own: 10, Keys: func() ([]string, error) { return []string{h.key}, nil },
				Args: []string{"ends", note}, Errs: os.Stderr,
				Timing: Timing{Trial: time.Minute, Stop: time.Minute, Hang: time.Millisecond, Look: time.Millisecond},
				Log: slog.New(slog.NewTextHandler(logFunc(func(line string) {
					if !strings.Contains(line, "is tried again") {
						return
					}
					if tries++; passes && tries == 2 {
						_ = busy.Close()
					}
				}), nil)),
				Installed: func(context.Context) error {
					ran = true
					return nil
				}}
			err = l.Run(ctx)
			said, _ := os.ReadFile(note)
			if s := h.is(); passes && (err == nil || string(said) != "ends" || s.Kept != 20 || tries != 2) {
				t.Errorf("after %d tries it ended with %v, and %d is kept; its program said %q", tries, err, s.Kept, said)
			} else if !passes && (err != nil || !ran || s.Kept != 0 || tries != patience) {
				t.Errorf("after %d tries it ended with %v, the installed one ran: %v, and %d is kept", tries, err, ran, s.Kept)
			}
		})
	}
}
