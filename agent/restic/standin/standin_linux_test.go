package standin

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestAStandInSaysItsVersionItself(t *testing.T) {
	r := New(t, "0.18.1", func(*Run) { t.Error("the test was asked") })
	said, err := exec.Command(r.Path, "version").Output()
	if err != nil || !strings.HasPrefix(string(said), "restic 0.18.1 compiled with ") || len(r.Runs()) != 0 {
		t.Errorf("it says %q, %v", said, err)
	}
}

func TestAStandInDoesWhatTheTestSays(t *testing.T) {
	r := New(t, "0.18.1", func(run *Run) {
		switch {
		case run.Is("cat", "config"):
			run.Out("one")
			run.Err("two")
			run.Exit(11)
		case run.Is("echo"):
			run.Become("/bin/echo")
		}
	})
	cmd := exec.Command(r.Path, "--quiet", "cat", "--json", "config")
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=staple")
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if out.String() != "one\n" || said.String() != "two\n" || cmd.ProcessState.ExitCode() != 11 {
		t.Errorf("%q, %q, %v", &out, &said, err)
	}
	runs := r.Runs()
	if len(runs) != 1 || !slices.Equal(runs[0].Args, []string{"--quiet", "cat", "--json", "config"}) ||
		!slices.Contains(runs[0].Env, "RESTIC_PASSWORD=staple") || runs[0].PID != cmd.Process.Pid || runs[0].Is("config", "cat") {
		t.Errorf("it was run as %+v", runs)
	}
	if said, err := exec.Command(r.Path, "echo", "dear").Output(); err != nil || string(said) != "echo dear\n" {
		t.Errorf("the other program says %q, %v", said, err)
	}
	if err := exec.Command(r.Path, "prune").Run(); err != nil {
		t.Errorf("with nothing to do: %v", err)
	}
}

func TestAStandInCleansUpIfTheTestHasItDoSo(t *testing.T) {
	ready := make(chan struct{})
	r := New(t, "0.18.1", func(run *Run) {
		if run.Is("backup") {
			signals := run.Interrupted()
			close(ready)
			<-signals
			run.Err("signal interrupt received, cleaning up")
			run.Exit(130)
			return
		}
		<-run.Gone()
	})
	cmd := exec.Command(r.Path, "backup")
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-ready
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 130 || said.String() != "signal interrupt received, cleaning up\n" {
		t.Errorf("it ended with %v and %q", cmd.ProcessState, &said)
	}
	cmd = exec.Command(r.Path, "check") // and one that traps nothing
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}
