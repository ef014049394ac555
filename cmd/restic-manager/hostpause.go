package main

import (
	"context"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/store"
)

type hostPauseCmd struct {
	Host  string        `arg:"" help:"The host's name or ID."`
	For   time.Duration `xor:"end" help:"For how long, such as 8h; a day if no end is given, at most 7 days."`
	Until string        `xor:"end" placeholder:"TIME" help:"Until when, as 2026-11-30T07:00:00Z."`
	database
}

// Run pauses the host, and says until when.
func (c *hostPauseCmd) Run(ctx context.Context) error {
	var until time.Time
	if c.For != 0 || c.Until != "" {
		at, err := later(c.For, c.Until)
		if err != nil {
			return err
		}
		until = time.UnixMilli(at)
	}
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		p, err := (&pause.Service{Store: s}).Pause(ctx, actor, h.ID, until)
		if err != nil {
			return err
		}
		say(os.Stdout, "%s is paused until %s.", h.Name, moment(p.Until, ""))
		return nil
	})
}

type hostResumeCmd struct {
	Host string `arg:"" help:"The host's name or ID."`
	database
}

// Run has the host's schedules go on.
func (c *hostResumeCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		was, ended, err := (&pause.Service{Store: s}).Resume(ctx, actor, h.ID)
		switch {
		case err != nil:
			return err
		case ended:
			say(os.Stdout, "%s goes on; %s had paused it until %s.", h.Name, was.By, moment(was.Until, ""))
		default:
			say(os.Stdout, "%s is not paused.", h.Name)
		}
		return nil
	})
}
