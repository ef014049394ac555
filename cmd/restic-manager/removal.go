package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// keepSnapshots is how a removal treats snapshots.
type keepSnapshots struct {
	Snapshots string `default:"keep" env:"-" placeholder:"keep|retention" help:"Its snapshots stay, or go by the rules."`
}

type hostRenameCmd struct {
	Host string `arg:"" help:"The host's name or ID."`
	Name string `arg:"" help:"Its new name."`
	database
}

func (c *hostRenameCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error { return setHost(ctx, s, c.Host, hosts.Input{Name: &c.Name}) })
}

func setHost(ctx context.Context, s *store.Store, host string, in hosts.Input) error {
	h, err := hostNamed(ctx, s, host)
	if err != nil {
		return err
	}
	_, err = (&hosts.Settings{Store: s}).Put(ctx, actor, h.ID, in)
	return err
}

type hostSetCmd struct {
	Host         string `arg:"" help:"The host's name or ID."`
	Intermittent *bool  `env:"-" negatable:"" help:"It is not always on, such as a laptop."`
	OverdueDays  *int64 `env:"-" help:"The limit in days without a good backup; 0 is the default."`
	JobsAtOnce   *int   `env:"-" help:"How many jobs it may run at once, each in a repository of its own; 1 to 16."`
	database
}

func (c *hostSetCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		return setHost(ctx, s, c.Host, hosts.Input{Intermittent: c.Intermittent, OverdueDays: c.OverdueDays, JobsAtOnce: c.JobsAtOnce})
	})
}

type hostRetireCmd struct {
	Host string `arg:"" help:"The host's name or ID."`
	Undo bool   `env:"-" help:"Judge it again, and let its schedules fire."`
	database
}

func (c *hostRetireCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error { return setHost(ctx, s, c.Host, hosts.Input{Retired: new(!c.Undo)}) })
}

type hostRemoveCmd struct {
	Host string `arg:"" help:"The host's name or ID."`
	keepSnapshots
	database
}

func (c *hostRemoveCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		if err := (&removal.Service{Store: s}).RemoveHost(ctx, actor, h.ID, removal.Input{Snapshots: c.Snapshots}); err != nil {
			return err
		}
		say(os.Stdout, "%s was removed; restic-manager host restore %s brings it back until %s", h.Name, h.ID, end())
		return nil
	})
}

// end is the last day on which what is removed now can be brought back.
func end() string { return time.Now().Add(removal.Life).Format(time.DateOnly) }

// renamed is under which name something comes back.
type renamed struct {
	Name *string `env:"-" help:"Another name, if the last one is taken."`
}

func restored(ctx context.Context, s *store.Store, kind removal.Kind, host topics.HostID, which string, name *string) error {
	service := &removal.Service{Store: s}
	r, err := service.Find(ctx, kind, host, which)
	if err != nil {
		return err
	}
	left, err := service.Restore(ctx, actor, r, removal.Back{Name: name})
	if err == nil && len(left) > 0 {
		say(os.Stdout, "These source groups stay removed, because their repository or host is gone: %s", strings.Join(left, ", "))
	}
	return err
}

type hostRestoreCmd struct {
	Host string `arg:"" help:"Name or ID of the removed host."`
	renamed
	database
}

func (c *hostRestoreCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error { return restored(ctx, s, removal.Host, "", c.Host, c.Name) })
}

type removedListCmd struct{ database }

func (c *removedListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		rows, err := s.AllRemoved(ctx, removal.Host, 1000)
		if err != nil {
			return err
		}
		more, err := s.AllRemoved(ctx, removal.Repository, 1000)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
		return columns("KIND\tNAME\tID\tREMOVED\tBY\tUNTIL", len(rows), func(i int) string {
			r := rows[i]
			return row(string(r.Kind), r.Name, r.ID, ago(s, r.At), r.By, removal.Until(r).Format(time.DateOnly))
		})
	})
}

// groupArgs name a source group.
type groupArgs struct {
	Host  string `arg:"" help:"The host's name or ID."`
	Group string `arg:"" help:"The source group's name."`
}

type groupRenameCmd struct {
	groupArgs
	Name string `arg:"" help:"Its new name."`
	database
}

func (c *groupRenameCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		_, err = (&sources.Service{Store: s}).Change(ctx, actor, h.ID, c.Group, sources.Input{Name: &c.Name})
		return err
	})
}

type groupRemoveCmd struct {
	groupArgs
	keepSnapshots
	database
}

func (c *groupRemoveCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		id, schedules, err := (&removal.Service{Store: s}).RemoveGroup(ctx, actor, h.ID, c.Group, removal.Input{Snapshots: c.Snapshots})
		if err != nil {
			return err
		}
		with := ""
		if len(schedules) > 0 {
			with = fmt.Sprintf(" with the schedules %s, which backed up nothing else", strings.Join(schedules, ", "))
		}
		say(os.Stdout, "%s was removed%s; restic-manager group restore %s %s brings it back until %s", c.Group, with, h.ID, id, end())
		return nil
	})
}

type groupRestoreCmd struct {
	Host  string `arg:"" help:"The host's name or ID."`
	Group string `arg:"" help:"Name or ID of the removed source group."`
	renamed
	database
}

func (c *groupRestoreCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		return restored(ctx, s, removal.Group, h.ID, c.Group, c.Name)
	})
}

type repositoryRemoveCmd struct {
	Repository string `arg:"" help:"Name or ID."`
	Groups     string `env:"-" placeholder:"remove" help:"remove: the source groups that back up into it go with it."`
	database
}

func (c *repositoryRemoveCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return err
		}
		if err := (&removal.Service{Store: s}).RemoveRepository(ctx, actor, r.ID, removal.Input{Groups: c.Groups}); err != nil {
			return err
		}
		say(os.Stdout, "%s was removed, its data is untouched; restic-manager repository restore %s brings it back until %s", r.Name, r.ID,
			end())
		return nil
	})
}

type repositoryRestoreCmd struct {
	Repository string `arg:"" help:"Name or ID of the removed repository."`
	renamed
	database
}

func (c *repositoryRestoreCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error { return restored(ctx, s, removal.Repository, "", c.Repository, c.Name) })
}
