package main

import (
	"context"
	"os"

	"github.com/restic-manager/restic-manager/store"
)

type repositoryReleaseCmd struct {
	Repository string `arg:"" help:"Name or ID."`
	database
}

// Run takes the making of a repository from a host that does not answer. Do it only if
// that host is not at work: two that make one at once destroy it.
func (c *repositoryReleaseCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return err
		}
		id, err := engine(s).Release(ctx, actor, r.ID)
		if err == nil {
			say(os.Stdout, "Released %s: job %s was taken from its host.\n", r.Name, id)
		}
		return err
	})
}
