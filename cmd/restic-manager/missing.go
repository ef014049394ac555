package main

import (
	"context"
	"os"

	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type repositoryMissingCmd struct {
	Repository string `arg:"" help:"Name or ID."`
	database
}

func (c *repositoryMissingCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return err
		}
		rows, err := (&repositories.Service{Store: s}).Missing(ctx, r.ID)
		if err != nil {
			return err
		}
		hosts, groups := map[topics.HostID]string{}, map[topics.SourceGroupID]string{}
		for _, n := range rows {
			hosts[n.Host], groups[n.SourceGroup] = string(n.Host), string(n.SourceGroup)
		}
		if err := addNames(ctx, hosts, s.HostNames); err != nil {
			return err
		}
		if err := addNames(ctx, groups, s.GroupNames); err != nil {
			return err
		}
		return columns("SNAPSHOT\tHOST\tSOURCE GROUP\tMADE\tMISSING SINCE\tACKNOWLEDGED", len(rows), func(i int) string {
			n := rows[i]
			return row(n.ID, hosts[n.Host], groups[n.SourceGroup], moment(n.Time, "-"), moment(n.GoneAt, "-"), moment(n.AcknowledgedAt, "-"))
		})
	})
}

// addNames reads the names of all that is in a map.
func addNames[ID comparable](ctx context.Context, of map[ID]string, read func(context.Context, []ID, map[ID]string) error) error {
	ids := make([]ID, 0, len(of))
	for id := range of {
		ids = append(ids, id)
	}
	return read(ctx, ids, of)
}

type repositoryAcknowledgeCmd struct {
	Repository string   `arg:"" help:"Name or ID."`
	Snapshots  []string `arg:"" optional:"" help:"IDs of missing snapshots, or beginnings of them."`
	All        bool     `help:"All snapshots that are missing now."`
	database
}

func (c *repositoryAcknowledgeCmd) Run(ctx context.Context) error {
	in := repositories.Known{}
	if c.All {
		in.All = &c.All
	}
	if len(c.Snapshots) > 0 {
		in.Snapshots = &c.Snapshots
	}
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return err
		}
		n, err := (&repositories.Service{Store: s}).AcknowledgeMissing(ctx, actor, r.ID, in)
		if err == nil {
			say(os.Stdout, "Acknowledged %d missing snapshots of %s.\n", n, r.Name)
		}
		return err
	})
}
