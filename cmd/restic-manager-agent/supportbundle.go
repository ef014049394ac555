package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/service"
	"github.com/restic-manager/restic-manager/doctor"
	"github.com/restic-manager/restic-manager/manual"
)

type supportBundle struct {
	File string `arg:"" optional:"" help:"A new file; by default restic-manager-agent-support-TIME.tar.gz in this directory."`
	doctorFlags
}

// Run writes the bundle and says where it is.
func (c *supportBundle) Run(ctx context.Context, s streams) error {
	r, err := c.report(ctx)
	if err != nil {
		return err
	}
	state, err := agent.Located(c.State)
	if err != nil {
		return err
	}
	logs := doctor.Logs(service.Name)
	if text, err := os.ReadFile(service.LogPath(state)); err == nil { // where no manager keeps one
		logs.Make = func(context.Context) (string, error) { return string(text), nil }
	}
	parts := append(doctor.Reported(r), doctor.Settled(service.Name), logs,
		doctor.Part{Name: "state.txt", Make: func(context.Context) (string, error) { return listed(state) }})
	path, err := doctor.BundleFile(ctx, c.File, "restic-manager-agent", r.At, parts)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.errs, "Passwords, keys and tokens are left out; addresses and paths are in it where policy and log have them. "+
		"Look at it before "+
		"you hand it on: tar -xzf %s\n", path)
	_, err = fmt.Fprintln(s.out, path)
	return err
}

// listed are the files of a state directory, without what is in them.
func listed(state string) (string, error) {
	entries, err := os.ReadDir(state)
	var b strings.Builder
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			fmt.Fprintf(&b, "%s %10d %s %s\n", info.Mode(), info.Size(), info.ModTime().UTC().Format(time.RFC3339), filepath.Base(e.Name()))
		}
	}
	return b.String(), err
}

type man struct{}

// Run prints the manual page.
func (man) Run(s streams, app *kong.Kong) error {
	return manual.Page{
		Exit: []string{"It was done; of doctor: all is well.", "It failed; of doctor: there are warnings.",
			"The command line makes no sense; of doctor: something does not work."},
		Files: [][2]string{{"/etc/restic-manager-agent/environment", "Settings of the service: variables named after the flags of run."},
			{"/var/lib/restic-manager-agent", "This host's identity, policy and journal, and what was restored to restored/."}},
		See: []string{"restic-manager(1)", "restic(1)"},
	}.Write(s.out, app.Model)
}
