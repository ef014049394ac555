// Package service has the system's own manager start the agent with the machine, look
// after it and stop it: systemd on Linux, the service control manager on Windows.
//
// Nothing here guesses whether it was started by one: the command line that is installed
// says so.
package service

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Name is what the service is called on every system.
const Name = "restic-manager-agent"

// DisplayName and Description are what people read in the list of services.
const (
	DisplayName = "restic-manager agent"
	Description = "Backs this host up with restic, as its control plane asks."
)

// A Service is what is to be run.
type Service struct {
	Program string // full path of the agent's own program
	State   string // its state directory, in full
	Restic  string // full path of restic
}

// A Status is what the system's manager says of the service.
type Status struct {
	Installed bool
	Running   bool
	Words     string // a line for people
}

var (
	// ErrNotInstalled says that there is no service of this name.
	ErrNotInstalled = errors.New("the service is not installed: run restic-manager-agent install")
	// ErrNoManager says that this system has no manager that is known here.
	ErrNoManager = errors.New("this system is run neither by systemd nor by Windows' own service manager")
)

// Arguments are those of the agent's program when the manager starts it.
func (s Service) Arguments() []string {
	args := []string{"run", "--service", "--state", s.State}
	if s.Restic != "" {
		args = append(args, "--restic", s.Restic)
	}
	return args
}

// check says what is wrong with a service that would be installed.
func (s Service) check() error {
	for _, p := range []struct{ what, path string }{{"the program", s.Program}, {"the state directory", s.State}, {"restic", s.Restic}} {
		if p.path == "" && p.what == "restic" {
			continue
		}
		if !filepath.IsAbs(p.path) {
			return fmt.Errorf("%s, %q, is no full path", p.what, p.path)
		}
		if strings.ContainsAny(p.path, "\n\r\x00\"") {
			return fmt.Errorf("%s, %q, holds what no command line of a service can", p.what, p.path)
		}
	}
	return nil
}

// FindRestic is the full path of restic: where it is said to be, on PATH, or beside the
// agent's program. A service has another PATH than the one who installs it.
func FindRestic(said, program string) (string, error) {
	if said != "" {
		found, err := exec.LookPath(said)
		if err != nil {
			return "", fmt.Errorf("there is no restic at %s: %w", said, err)
		}
		return filepath.Abs(found)
	}
	if found, err := exec.LookPath("restic"); err == nil {
		return filepath.Abs(found)
	}
	beside := filepath.Join(filepath.Dir(program), "restic"+filepath.Ext(program))
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	return "", errors.New("restic is neither on PATH nor beside the agent: install it, or say with --restic where it is")
}

// quoted is a command line as Windows takes it apart: each part in quotes.
func quoted(program string, args []string) string {
	var b strings.Builder
	for i, arg := range append([]string{program}, args...) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte('"')
		slashes := 0
		for _, c := range []byte(arg) {
			switch c {
			case '\\':
				slashes++
			case '"':
				b.WriteString(strings.Repeat(`\`, slashes+1)) // those before, twice in all, and its own
				slashes = 0
			default:
				slashes = 0
			}
			b.WriteByte(c)
		}
		b.WriteString(strings.Repeat(`\`, slashes)) // the quote that follows is no part of it
		b.WriteByte('"')
	}
	return b.String()
}
