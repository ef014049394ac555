package main

import (
	"context"
	"fmt"

	"github.com/restic-manager/restic-manager/controlplane/kit"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type kitCmd struct {
	Repository string `required:"" placeholder:"NAME" help:"The repository, by its name or ID."`
	database
}

// Run prints what is needed to read a repository with restic alone: a script for
// a POSIX shell, the commands in its comments.
func (c *kitCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		rows, err := s.Repositories(ctx)
		if err != nil {
			return err
		}
		for _, by := range []func(store.Repository) bool{
			func(r store.Repository) bool { return r.ID == topics.RepositoryID(c.Repository) },
			func(r store.Repository) bool { return r.Name == c.Repository },
		} {
			for _, r := range rows {
				if by(r) {
					k, err := kit.Of(ctx, s, actor, r.ID)
					if err == nil {
						fmt.Print(k.Text())
					}
					return err
				}
			}
		}
		return fmt.Errorf("there is no repository %q in %s", c.Repository, c.Data)
	})
}
