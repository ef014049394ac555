package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a program of ours that runs, and what it has said so far.
type process struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	out    *text
	errs   *text
	exited chan struct{}
}

// start runs a program until it ends by itself or the test is over.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, out: &text{}, errs: &text{}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.errs
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is asked of cmd.ProcessState
	}()
	t.Cleanup(func() {
		if p.running() {
			p.kill9()
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.errs.tail(6000))
		}
		if strings.Contains(p.errs.String(), "DATA RACE") {
			t.Errorf("%s has a data race:\n%s", name, p.errs.tail(6000))
		}
	})
	return p
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
}

// kill9 ends it as a power failure would, and returns when it is gone.
func (p *process) kill9() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// wait returns the exit status, and fails the test if there is none in time.
func (p *process) wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		p.signal(syscall.SIGQUIT) // its goroutines go to its log
		<-p.exited
		p.t.Fatalf("%s did not end within %v", p.name, within)
	}
	return p.cmd.ProcessState.ExitCode()
}

// mustStop asks it to end, and insists on exit status 0.
func (p *process) mustStop(within time.Duration) time.Duration {
	p.t.Helper()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.wait(within); code != 0 {
		p.t.Errorf("%s ended with exit status %d, want 0", p.name, code)
	}
	return time.Since(began)
}

// await waits until what it said on stderr matches, and answers with the
// pattern's groups.
func (p *process) await(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	Await(p.t, p.name+" to say "+pattern, func() error {
		if found = re.FindStringSubmatch(p.errs.String()); found != nil {
			return nil
		}
		if !p.running() {
			return Stop(fmt.Errorf("it ended with exit status %d: %s", p.cmd.ProcessState.ExitCode(), p.errs.tail(2000)))
		}
		return errors.New("not yet")
	})
	return found
}

// text is what a process writes, readable meanwhile.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func (t *text) tail(n int) string {
	s := t.String()
	return s[max(0, len(s)-n):]
}

// Await tries until it works, and fails with the last reason.
func Await(t *testing.T, what string, attempt func() error) {
	t.Helper()
	AwaitWithin(t, 60*time.Second, what, attempt)
}

// AwaitWithin is Await with another deadline.
func AwaitWithin(t *testing.T, within time.Duration, what string, attempt func() error) {
	t.Helper()
	began := time.Now()
	if err := try(within, attempt); err != nil {
		t.Fatalf("waited %v in vain for %s: %v", time.Since(began).Round(time.Millisecond), what, err)
	}
}

// try repeats an attempt until it works, there is no hope, or the time is over,
// and answers with the last reason.
func try(within time.Duration, attempt func() error) error {
	deadline, tick := time.After(within), time.NewTicker(25*time.Millisecond)
	defer tick.Stop()
	for {
		err := attempt()
		if err == nil || errors.As(err, new(stopError)) {
			return err
		}
		select {
		case <-deadline:
			return err
		case <-tick.C:
		}
	}
}

type stopError struct{ error }

// Stop says that waiting longer will not help.
func Stop(err error) error { return stopError{err} }

// resticsBelow lists the processes that run restic for an agent whose state is
// below dir.
func resticsBelow(dir string) (pids []int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	for _, path := range environs {
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, []byte("RESTIC_MANAGER_JOB=")) || !bytes.Contains(b, []byte("RESTIC_CACHE_DIR="+dir)) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/environ", &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
