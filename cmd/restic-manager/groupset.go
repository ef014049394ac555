package main

import (
	"context"
	"os"

	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/store"
)

type groupSetCmd struct {
	Host          string   `arg:"" help:"Name or ID of the host."`
	Name          string   `arg:"" help:"Name of the source group, the host's own."`
	Repository    *string  `placeholder:"REPOSITORY" help:"Name or ID of where it is backed up to. A new one needs it."`
	Path          []string `sep:"none" placeholder:"PATH" help:"What to back up, in full; once for each path. A new one needs it."`
	Exclude       []string `sep:"none" placeholder:"PATTERN" help:"What to leave out, as restic's --exclude takes it; once for each pattern."`
	NoExcludes    bool     `help:"Leave out nothing."`
	OneFileSystem *bool    `negatable:"" help:"Stay on one file system."`
	LiveFiles     *bool    `negatable:"" help:"On Windows: read the files themselves, without a shadow copy."`
	ShadowOnly    *bool    `name:"shadow-copy-only" negatable:"" help:"On Windows: without a shadow copy the backup fails."`
	AllowEmpty    *bool    `negatable:"" help:"A backup of no files is a good one."`
	database
}

// Run adds a source group or changes one; what is not said stays as it is.
func (c *groupSetCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		in := sources.Input{Repository: c.Repository, OneFileSystem: c.OneFileSystem, AllowEmpty: c.AllowEmpty,
			LiveFiles: c.LiveFiles, ShadowOnly: c.ShadowOnly}
		if len(c.Path) > 0 {
			in.Paths = &c.Path
		}
		if len(c.Exclude) > 0 || c.NoExcludes {
			in.Excludes = &c.Exclude
		}
		saved, err := (&sources.Service{Store: s}).Put(ctx, actor, h.ID, c.Name, in)
		if err != nil {
			return err
		}
		for _, warning := range sources.Warnings(saved) {
			say(os.Stderr, "Warning: %s", row(warning))
		}
		return nil
	})
}
