package service

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/deploy"
)

const suffix = ""

func TestTheUnitIsThePackagedOneWithItsOwnCommandLine(t *testing.T) {
	for _, s := range []Service{
		{Program: "/usr/local/bin/restic-manager-agent", State: "/var/lib/restic-manager-agent", Restic: "/usr/bin/restic"},
		{Program: "/opt/my agent/100%/$HOME/agent", State: `/srv/a "b"\c`},
	} {
		unit, err := unitOf(deploy.AgentUnit, s)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(unit, written+"\n") || strings.Count(unit, "ExecStart=") != 1 {
			t.Fatalf("the unit is\n%s", unit)
		}
		line := "ExecStart=" + s.Program + " run --service --state " + s.State + " --restic " + s.Restic + "\n"
		if !strings.Contains(s.State, `"`) && !strings.Contains(unit, line) {
			t.Errorf("it runs something else:\n%s", unit)
		}
		for line := range strings.Lines(deploy.AgentUnit) {
			if !strings.HasPrefix(line, "ExecStart=") && !strings.Contains(unit, line) {
				t.Errorf("it lacks %q", line)
			}
		}
		// systemd reads it as it was meant.
		program := filepath.Join(t.TempDir(), "agent")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		s.Program = program
		if unit, err = unitOf(deploy.AgentUnit, s); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), Name+".service")
		if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput(); err != nil ||
			strings.Contains(string(out), "restic-manager-agent.service:") {
			t.Errorf("systemd says %v: %s", err, out)
		}
	}
	if _, err := unitOf("[Service]\n", Service{}); err == nil {
		t.Error("a unit without a command line")
	}
}

func TestWhatSystemdSaysOfTheService(t *testing.T) {
	for _, c := range []struct {
		shown  string
		is     Status
		begins string
	}{
		{"LoadState=not-found\nActiveState=inactive\n", Status{}, "not installed"},
		{"LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=12\n", Status{Installed: true, Running: true},
			"running as process 12; it starts with the machine"},
		{"LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n", Status{Installed: true}, "stopped; it does not start"},
		{"LoadState=loaded\nActiveState=failed\nResult=exit-code\nUnitFileState=enabled\n", Status{Installed: true}, "failed (exit-code)"},
		{"LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nUnitFileState=enabled\n", Status{Installed: true},
			"ended (exit-code) and is started again"},
	} {
		got := shown(c.shown)
		if got.Installed != c.is.Installed || got.Running != c.is.Running || !strings.HasPrefix(got.Words, c.begins) {
			t.Errorf("%q is %+v", c.shown, got)
		}
	}
}
