package main

import (
	"context"
	"fmt"

	"github.com/restic-manager/restic-manager/controlplane/kit"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/kits"
)

type kitCmd struct {
	Repository string `required:"" xor:"of" placeholder:"NAME" help:"The repository, by its name or ID."`
	Host       string `required:"" xor:"of" env:"-" placeholder:"NAME" help:"All repositories in which this host has something."`
	All        bool   `required:"" xor:"of" env:"-" help:"All repositories."`
	database
}

// Run prints what is needed to read repositories with restic alone: for each a script for
// a POSIX shell, the commands in its comments.
func (c *kitCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		of := kits.Of{Kind: kits.OfAll}
		switch {
		case c.Repository != "":
			r, err := repositoryNamed(ctx, s, c.Repository)
			if err != nil {
				return err
			}
			of = kits.Of{Kind: kits.OfRepository, Subject: string(r.ID)}
		case c.Host != "":
			h, err := hostNamed(ctx, s, c.Host)
			if err != nil {
				return err
			}
			of = kits.Of{Kind: kits.OfHost, Subject: string(h.ID)}
		}
		set, err := kit.Show(ctx, s, actor, of)
		if err == nil {
			fmt.Print(set.Text())
		}
		return err
	})
}
