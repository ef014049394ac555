package main

import (
	"context"
	"os"

	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/store"
)

type agentsPublicCmd struct {
	Address *string `arg:"" optional:"" help:"HOST:PORT, such as backups.example.net:8883; an empty one takes it away. None prints it."`
	database
}

// Run prints or sets the address that agents dial.
func (c *agentsPublicCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		service := &reach.Service{Store: s}
		if c.Address != nil {
			return service.Set(ctx, actor, *c.Address)
		}
		at, err := service.Of(ctx)
		if err != nil {
			return err
		}
		say(os.Stdout, "%s", at.Set)
		return nil
	})
}

// dialled is the address that agents dial, unless somebody says another.
func dialled(ctx context.Context, s *store.Store, said string) (string, error) {
	if said != "" {
		return said, nil
	}
	at, err := (&reach.Service{Store: s}).Of(ctx)
	return at.Dial, err
}
