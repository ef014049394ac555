package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/deploy"
)

const unitPath = "/etc/systemd/system/" + Name + ".service"

// packagedPaths are where packages put the unit.
var packagedPaths = []string{"/usr/lib/systemd/system/" + Name + ".service", "/lib/systemd/system/" + Name + ".service"}

// Install writes the unit and has systemd start it with the machine. said tells what was
// done, a sentence each.
func Install(s Service) (said []string, err error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	unit, err := unitOf(deploy.AgentUnit, s)
	if err != nil {
		return nil, err
	}
	if err := manager(); err != nil {
		return nil, fmt.Errorf("%w. Have what starts programs here run: %s", err,
			strings.Join(append([]string{s.Program}, s.Arguments()...), " "))
	}
	there, err := os.ReadFile(unitPath)
	switch {
	case err == nil && !strings.HasPrefix(string(there), written):
		return nil, fmt.Errorf("%s was written by somebody: remove it, or use it as it is (systemctl enable --now %s)", unitPath, Name)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	if string(there) != unit {
		if err := os.WriteFile(unitPath, []byte(unit), 0o644); err != nil { //nolint:gosec // everybody may read a unit
			return nil, fmt.Errorf("write the unit: %w", err)
		}
		said = append(said, "wrote "+unitPath)
	}
	if err := systemctl("daemon-reload"); err != nil {
		return said, err
	}
	if err := systemctl("enable", Name); err != nil {
		return said, err
	}
	return append(said, "the agent starts with the machine from now on"), nil
}

// Uninstall stops the service and removes the unit that Install wrote.
func Uninstall() (said []string, err error) {
	if err := manager(); err != nil {
		return nil, err
	}
	status, err := Query()
	if err != nil {
		return nil, err
	}
	if !status.Installed {
		return nil, ErrNotInstalled
	}
	if err := systemctl("disable", "--now", Name); err != nil {
		return nil, err
	}
	said = append(said, "stopped the agent, and it starts with the machine no more")
	if there, err := os.ReadFile(unitPath); err == nil && strings.HasPrefix(string(there), written) {
		if err := os.Remove(unitPath); err != nil {
			return said, err
		}
		said = append(said, "removed "+unitPath)
	}
	return said, systemctl("daemon-reload")
}

// Start starts the service.
func Start() error { return installed("start") }

// Stop stops the service, and returns when it has ended.
func Stop() error { return installed("stop") }

func installed(verb string) error {
	status, err := Query()
	if err != nil {
		return err
	}
	if !status.Installed {
		return ErrNotInstalled
	}
	return systemctl(verb, Name)
}

// Query asks systemd for the service.
func Query() (Status, error) {
	if err := manager(); err != nil {
		return Status{}, err
	}
	out, err := exec.Command("systemctl", "show", "--property=LoadState,ActiveState,SubState,UnitFileState,MainPID,Result", Name).Output()
	if err != nil {
		return Status{}, fmt.Errorf("ask systemd: %w", err)
	}
	return shown(string(out)), nil
}

// shown reads what systemctl show says.
func shown(out string) Status {
	is := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		is[name] = value
	}
	s := Status{Installed: is["LoadState"] == "loaded", Running: is["ActiveState"] == "active"}
	starts := "it starts with the machine"
	if is["UnitFileState"] != "enabled" {
		starts = "it does not start with the machine (systemctl enable " + Name + " has it do so)"
	}
	switch {
	case !s.Installed:
		s.Words = "not installed"
	case s.Running:
		s.Words = "running as process " + is["MainPID"] + "; " + starts
	case is["ActiveState"] == "activating" && is["SubState"] == "auto-restart":
		s.Words = "ended (" + is["Result"] + ") and is started again soon; journalctl -u " + Name + " says why; " + starts
	case is["ActiveState"] == "failed":
		s.Words = "failed (" + is["Result"] + "); journalctl -u " + Name + " says why; " + starts
	default:
		s.Words = "stopped; " + starts
	}
	return s
}

// manager returns an error where systemd does not run the system.
func manager() error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return ErrNoManager
	}
	return nil
}

func systemctl(args ...string) error {
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Run runs the agent as its manager started it, until ctx ends: systemd sends signals, and
// has its own log of what is said.
func Run(ctx context.Context, run func(context.Context) error) error { return run(ctx) }

// Down reports whether the machine goes down, as systemd has it.
func Down(context.Context) bool {
	if manager() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	said, _ := exec.CommandContext(ctx, "systemctl", "is-system-running").Output() // its status is 0 for one word alone
	return strings.TrimSpace(string(said)) == "stopping"
}

// Settle returns the program as it is to be installed: where it is.
func Settle(program string) (string, error) { return program, nil }

// Recommend says what else whoever installs should know.
func Recommend(Service) (said []string) {
	for _, path := range packagedPaths {
		if _, err := os.Stat(path); err == nil {
			said = append(said, path+" is a package's, and the one that was written goes before it")
			break
		}
	}
	return said
}
