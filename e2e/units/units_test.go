// Package units boots a machine with the systemd units of deploy/, and has them do what
// they are for. systemd-analyze counts how little they may do; only this sees that it is
// enough.
//
// It needs root and systemd-nspawn, and is played by make check-all alone, as what
// else RESTIC_MANAGER_SOAK asks for.
package units

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// module is the path all our packages begin with.
const module = "github.com/restic-manager/restic-manager"

// inside is set in the machine that was booted.
const inside = "RESTIC_MANAGER_INSIDE"

// TestMain plays the tests in a machine of their own: it boots one, in which this
// program runs again.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	if n, err := strconv.Atoi(os.Getenv("RESTIC_MANAGER_SOAK")); err != nil || n <= 0 {
		fmt.Println("A machine with the real units is booted by make check-all.")
		return
	}
	if err := boot(); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

// driver is the one unit that the machine boots for. What ends it ends the machine.
const driver = `[Unit]
Description=the tests of restic-manager's units
[Service]
Type=oneshot
Environment=` + inside + `=1
ExecStart=/usr/local/bin/units.test -test.v -test.timeout 4m
ExecStopPost=/bin/sh -c 'echo "$SERVICE_RESULT" >/out/result'
ExecStopPost=systemctl --force poweroff
StandardOutput=file:/out/log
StandardError=inherit
`

// people are those of the machine, which has nothing in its /etc but what it is given.
const (
	people = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n" +
		"restic-manager-agent:x:998:998::/root:/usr/sbin/nologin\n"
	groups = "root:x:0:\nada:x:1000:\nnogroup:x:65534:\nrestic-manager-agent:x:998:\n"
	shadow = "root:*:19000:0:99999:7:::\nada:*:19000:0:99999:7:::\n"
)

// boot boots this machine's /usr with an empty rest and no network, prints what the
// tests said in there, and answers with an error unless they passed.
func boot() (err error) {
	if os.Getuid() != 0 {
		return errors.New("only root can boot a machine with systemd-nspawn")
	}
	dir, err := os.MkdirTemp("", "restic-manager-units-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs, out := filepath.Join(dir, "bin"), filepath.Join(dir, "out")
	for _, d := range []string{programs, out} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", programs+"/",
		module+"/cmd/restic-manager", module+"/cmd/restic-manager-agent")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the programs: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := copyFile(self, filepath.Join(programs, "units.test"), 0o755); err != nil {
		return err
	}
	if err := copyFile("../../deploy/restic-manager-agent-backup.conf", filepath.Join(programs, "backup.conf"), 0o644); err != nil {
		return err
	}
	args := []string{"--quiet", "--directory=/", "--volatile=yes", "--register=no", "--keep-unit", "--boot", "--private-network",
		"--link-journal=no", "--bind=" + out + ":/out", "--bind-ro=" + programs + ":/usr/local/bin"}
	for name, text := range map[string]string{"/etc/passwd": people, "/etc/group": groups, "/etc/shadow": shadow,
		"/etc/pam.d/other":                "account sufficient pam_permit.so\nauth sufficient pam_rootok.so\nsession sufficient pam_permit.so\n",
		"/etc/systemd/system/try.service": driver} {
		file := filepath.Join(dir, filepath.Base(name))
		mode := os.FileMode(0o644)
		if name == "/etc/shadow" {
			mode = 0o600
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			return err
		}
		args = append(args, "--bind-ro="+file+":"+name)
	}
	for _, unit := range []string{"restic-manager.service", "restic-manager-agent.service"} {
		file := filepath.Join(dir, unit)
		if err := copyFile(filepath.Join("../../deploy", unit), file, 0o644); err != nil {
			return err
		}
		args = append(args, "--bind-ro="+file+":/etc/systemd/system/"+unit)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	machine := exec.CommandContext(ctx, "systemd-nspawn", append(args, "--", "systemd.unit=try.service")...)
	machine.Cancel = func() error { return machine.Process.Signal(syscall.SIGTERM) } // it powers the machine off
	machine.WaitDelay = 20 * time.Second
	console, err := machine.CombinedOutput()
	log, _ := os.ReadFile(filepath.Join(out, "log")) // without one, the result is missing too
	fmt.Print(string(log))
	result, rerr := os.ReadFile(filepath.Join(out, "result"))
	if err = errors.Join(err, rerr); err != nil {
		return fmt.Errorf("boot a machine: %w\n%s", err, console)
	}
	if strings.TrimSpace(string(result)) != "success" || !strings.Contains(string(log), "\nPASS\n") {
		return fmt.Errorf("the tests in the machine ended with %s", result)
	}
	return nil
}

func copyFile(from, to string, mode os.FileMode) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}
