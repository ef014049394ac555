package main

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
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
	tuningFlags
	database
}

// tuningFlags are how restic makes the backups; what is not said stays as it is.
type tuningFlags struct {
	Compression     *string  `placeholder:"WORD" help:"auto, off, max, or with restic 0.19 fastest or better; empty for restic's own."`
	PackSize        *int     `placeholder:"MIB" help:"Size of the files in the repository, 4 to 128; 0 for restic's own."`
	ReadConcurrency *int     `placeholder:"N" help:"Files read at once, 1 to 32; 0 for restic's own."`
	ExcludeCaches   *bool    `negatable:"" help:"Leave out folders that a CACHEDIR.TAG says are caches."`
	ExcludeLarger   *string  `name:"exclude-larger-than" placeholder:"SIZE" help:"Leave out larger files, as in 500M; empty for none."`
	IfPresent       []string `name:"exclude-if-present" sep:"none" placeholder:"FILE" help:"Leave out folders with such a file in them."`
	WithATime       *bool    `name:"with-atime" negatable:"" help:"Save when each file was last read."`
	Scan            *bool    `negatable:"" help:"Look first how much there is; without, no percentage is known."`
}

// of is what was before, as the flags change it; nil if they do not.
func (f tuningFlags) of(t topics.Tuning) *topics.Tuning {
	was := t
	t.ExcludeIfPresent = slices.Clone(t.ExcludeIfPresent)
	put(&t.Compression, f.Compression)
	put(&t.PackSizeMiB, f.PackSize)
	put(&t.ReadConcurrency, f.ReadConcurrency)
	put(&t.ExcludeCaches, f.ExcludeCaches)
	put(&t.ExcludeLarger, f.ExcludeLarger)
	put(&t.WithATime, f.WithATime)
	if f.IfPresent != nil {
		t.ExcludeIfPresent = slices.DeleteFunc(slices.Clone(f.IfPresent), func(name string) bool { return name == "" })
	}
	if f.Scan != nil {
		t.NoScan = !*f.Scan
	}
	if reflect.DeepEqual(was, t) {
		return nil
	}
	return &t
}

func put[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
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
		service := &sources.Service{Store: s}
		before, err := service.Find(ctx, h.ID, c.Name)
		if err != nil && !errors.Is(err, sources.ErrNotFound) {
			return err
		}
		in.Tuning = c.of(before.Topic().Tuning)
		saved, err := service.Put(ctx, actor, h.ID, c.Name, in)
		if err != nil {
			return err
		}
		warnings := sources.Warnings(saved)
		if said := repositories.OlderAgent(h, saved.Topic().Tuning); said != "" {
			warnings = append(warnings, said)
		}
		for _, warning := range warnings {
			say(os.Stderr, "Warning: %s", row(warning))
		}
		return nil
	})
}
