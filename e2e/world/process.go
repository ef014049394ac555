package world

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Process is a program of ours that runs, and what it has said so far.
type Process struct {
	Name      string
	Cmd       *exec.Cmd
	Out, Errs *Text
	Patience  time.Duration // of Await and AwaitDeath

	t      testing.TB
	exited chan struct{}
}

// Start runs a program until it ends by itself or the test is over. A data race
// that it reports fails the test.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, Name: name, Cmd: cmd, Out: &Text{}, Errs: &Text{}, Patience: 2 * time.Minute, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.Out, p.Errs
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is asked of cmd.ProcessState
	}()
	t.Cleanup(func() {
		if p.Running() {
			p.Kill9()
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.Errs.Tail(6000))
		}
		if strings.Contains(p.Errs.String(), "DATA RACE") {
			t.Errorf("%s has a data race:\n%s", name, p.Errs.Tail(6000))
		}
	})
	return p
}

// Played stands for a program whose part the test itself plays: it runs.
func Played() *Process { return &Process{exited: make(chan struct{})} }

// Running reports whether it has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends it one, unless it has ended.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("signal %s: %v", p.Name, err)
	}
}

// Kill9 ends it as a power failure would, and returns when it is gone.
func (p *Process) Kill9() {
	p.t.Helper()
	p.Signal(syscall.SIGKILL)
	<-p.exited
}

// Wait returns the exit status, and fails the test if there is none in time.
func (p *Process) Wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		p.Signal(syscall.SIGQUIT) // its goroutines go to its log
		<-p.exited
		p.t.Fatalf("%s did not end within %v", p.Name, within)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// MustStop asks it to end, and insists on exit status 0.
func (p *Process) MustStop(within time.Duration) time.Duration {
	p.t.Helper()
	began := time.Now()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(within); code != 0 {
		p.t.Errorf("%s ended with exit status %d, want 0", p.Name, code)
	}
	return time.Since(began)
}

// AwaitDeath waits until it was ended by SIGKILL, as by a failpoint.
func (p *Process) AwaitDeath() {
	p.t.Helper()
	AwaitWithin(p.t, p.Patience, p.Name+" to die", func() error {
		if p.Running() {
			return errors.New("it lives")
		}
		return nil
	})
	if status, ok := p.Cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		p.t.Fatalf("%s ended with %v, and was not killed", p.Name, p.Cmd.ProcessState)
	}
}

// Await waits until what it said on stderr matches, and answers with the
// pattern's groups.
func (p *Process) Await(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	AwaitWithin(p.t, p.Patience, p.Name+" to say "+pattern, func() error {
		if found = re.FindStringSubmatch(p.Errs.String()); found != nil {
			return nil
		}
		if !p.Running() {
			return Stop(fmt.Errorf("it ended with exit status %d: %s", p.Cmd.ProcessState.ExitCode(), p.Errs.Tail(2000)))
		}
		return errors.New("it has not: " + p.Errs.Tail(1000))
	})
	return found
}

// Peak is the most memory it ever had, in MiB, as the kernel counts.
func (p *Process) Peak() int {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		p.t.Fatalf("%s has no VmHWM", p.Name)
	}
	kib, _ := strconv.Atoi(string(m[1])) // it matched
	return kib >> 10
}

// A Text is what somebody writes, readable meanwhile.
type Text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// Tail is its end.
func (t *Text) Tail(n int) string {
	s := t.String()
	return s[max(0, len(s)-n):]
}
