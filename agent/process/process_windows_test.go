package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/restic-manager/restic-manager/topics"
)

// The test's own program is what is run, as one of these.
const acts = "RESTIC_MANAGER_TEST_ACTS"

func TestMain(m *testing.M) {
	switch os.Getenv(acts) {
	case "":
		os.Exit(m.Run())
	case "polite": // ends when it is asked to
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, os.Interrupt)
		fmt.Println("ready")
		<-asked
		fmt.Println("asked")
		os.Exit(3)
	case "deaf": // starts another, and hears nobody
		signal.Ignore(os.Interrupt)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), acts+"=child")
		if err := child.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("child", child.Process.Pid)
		time.Sleep(time.Hour)
	case "child":
		signal.Ignore(os.Interrupt)
		time.Sleep(time.Hour)
	case "agent": // without a console: runs one that is deaf, and is told to cancel it
		began := time.Now()
		said, end := cancelled("deaf", 90*time.Second)
		fmt.Printf("killed %t after %v; %s\n", end.Killed, time.Since(began), said)
		os.Exit(0)
	case "service": // gives itself a console, and cancels one that listens
		if err := Console(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		said, end := cancelled("polite", 3*time.Second)
		fmt.Printf("killed %t, code %d; %s\n", end.Killed, end.Code, said)
		os.Exit(0)
	}
	panic(os.Getenv(acts))
}

// A told writer is what a program said, and closes ready with the first of it.
type told struct {
	bytes.Buffer
	ready chan struct{}
}

func (w *told) Write(b []byte) (int, error) {
	first := w.Len() == 0
	n, err := w.Buffer.Write(b)
	if first {
		close(w.ready)
	}
	return n, err
}

// cancelled runs an act, cancels it once it speaks, and returns what it said.
func cancelled(act string, grace time.Duration) (string, Exit) {
	ctx, cancel := context.WithCancel(context.Background())
	out := &told{ready: make(chan struct{})}
	go func() {
		<-out.ready
		cancel()
	}()
	end := Run(ctx, Spec{
		Path: os.Args[0], Env: append(Inherited(), acts+"="+act), Stdout: out, Stderr: out,
		CancelGrace: grace, PipeGrace: time.Second, Job: topics.JobID(topics.NewID(time.Now())),
	})
	return out.String(), end
}

func childOf(t *testing.T, said string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(said, "child ")))
	if err != nil {
		t.Fatalf("it said %q", said)
	}
	return pid
}

// TestAServiceGivesItselfAConsole asks through it. Wine says that it has told a program,
// and has not, as long as there is no display: there the program is ended after the grace.
func TestAServiceGivesItselfAConsole(t *testing.T) {
	out, err := detached("service")
	if wine := windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version"); wine.Find() == nil && err == nil &&
		strings.HasPrefix(out, "killed true") {
		t.Logf("Wine does not pass on what is sent through a console: %s", out)
		return
	}
	if err != nil || !strings.HasPrefix(out, "killed false, code 3; ready") || !strings.Contains(out, "asked") {
		t.Errorf("%v: %s", err, out)
	}
}

// detached runs an act without a console, as a service or a scheduled task is run.
func detached(act string) (string, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), acts+"="+act)
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestWhatCannotBeAskedIsEndedAtOnce(t *testing.T) {
	real := sendBreak
	sendBreak = func(uint32) error { return errors.New("there is no console") }
	t.Cleanup(func() { sendBreak = real })
	began := time.Now()
	said, end := cancelled("deaf", 90*time.Second)
	if took := time.Since(began); took > 5*time.Second || !end.Killed || !end.Cancelled || end.Signal != "killed" {
		t.Errorf("after %v it ended %+v", took, end)
	}
	if Alive(childOf(t, said)) {
		t.Error("what it had started still runs")
	}
}

func TestWithoutAJobObjectTheTreeIsEndedAllTheSame(t *testing.T) {
	realBreak, realJob := sendBreak, newJob
	sendBreak = func(uint32) error { return errors.New("there is no console") }
	newJob = func() (windows.Handle, error) { return 0, windows.ERROR_ACCESS_DENIED }
	t.Cleanup(func() { sendBreak, newJob = realBreak, realJob })
	ctx, cancel := context.WithCancel(t.Context())
	out := &told{ready: make(chan struct{})}
	go func() {
		<-out.ready
		cancel()
	}()
	var loose error
	end := Run(ctx, Spec{Path: os.Args[0], Env: append(Inherited(), acts+"=deaf"), Stdout: out, Stderr: out,
		CancelGrace: 90 * time.Second, PipeGrace: time.Second, Loose: func(err error) { loose = err }})
	if !errors.Is(loose, windows.ERROR_ACCESS_DENIED) {
		t.Errorf("that there is no job object was told as %v", loose)
	}
	if !end.Killed || Alive(childOf(t, out.String())) {
		t.Errorf("it ended %+v, and its child still runs: %t", end, Alive(childOf(t, out.String())))
	}
}

func TestAnAgentWithoutAConsoleEndsItAtOnce(t *testing.T) {
	began := time.Now()
	out, err := detached("agent")
	if err != nil || !strings.HasPrefix(out, "killed true") || time.Since(began) > 10*time.Second {
		t.Errorf("after %v, %v: %s", time.Since(began), err, out)
	}
}

// TestABatchFileIsRunAsItIs has a path and values that the command interpreter reads
// commands in.
func TestABatchFileIsRunAsItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "R&D ^ (1) !x!")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	pwned := filepath.Join(t.TempDir(), "pwned")
	path := filepath.Join(dir, "dump.cmd")
	script := "@echo off\r\necho group %RESTIC_MANAGER_GROUP%\r\nset X=%RESTIC_MANAGER_GROUP%\r\necho again %X% \x81\r\nexit /b 7\r\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	how, err := runnable(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"docs&echo x>" + pwned, "a|b", "a>" + pwned, "%PATH%", "a^&b", `"&echo x>` + pwned + `&"`, "docs"} {
		var out bytes.Buffer
		end := Run(t.Context(), Spec{Path: how.Path, Args: how.Args, CommandLine: how.CommandLine, Dir: dir,
			Env: append(Inherited(), "RESTIC_MANAGER_GROUP="+Harmless(name)), Stdout: &out, Stderr: &out, CancelGrace: time.Second,
			PipeGrace: time.Second})
		if end.Code != 7 || end.Err != nil || !strings.Contains(out.String(), "group "+Harmless(name)+"\r\n") ||
			!strings.Contains(out.String(), "again "+Harmless(name)) {
			t.Errorf("%q: it ended %+v and said %q", name, end, out.String())
		}
		if _, err := os.Stat(pwned); err == nil {
			t.Fatalf("%q ran a command", name)
		}
	}
}

func TestCodePages(t *testing.T) {
	for page, c := range map[uint32]struct{ is, want string }{850: {"\x81ber", "über"}, 1252: {"\xfcber", "über"}, 437: {"\x9c5", "£5"}} {
		if got := string(decode(page, []byte(c.is))); got != c.want {
			t.Errorf("%q of code page %d is %q, want %q", c.is, page, got, c.want)
		}
	}
	if got := string(Decode([]byte("über"))); got != "über" {
		t.Errorf("UTF-8 is read as %q", got)
	}
}
