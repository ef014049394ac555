package main

import (
	"context"
	"fmt"

	"github.com/restic-manager/restic-manager/controlplane/kit"
	"github.com/restic-manager/restic-manager/store"
)

type kitCmd struct {
	Repository string `required:"" placeholder:"NAME" help:"The repository, by its name or ID."`
	database
}

// Run prints what is needed to read a repository with restic alone: a script for
// a POSIX shell, the commands in its comments.
func (c *kitCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return err
		}
		k, err := kit.Of(ctx, s, actor, r.ID)
		if err == nil {
			fmt.Print(k.Text())
		}
		return err
	})
}
