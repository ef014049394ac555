package main

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/asked"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
)

type alertPauseCmd struct {
	List   alertPauseListCmd   `cmd:"" default:"withargs" help:"List the pauses that are not over."`
	Add    alertPauseAddCmd    `cmd:"" help:"Have nobody told for a while of a host, of hosts with a tag, or at all; print the pause's ID."`
	Remove alertPauseRemoveCmd `cmd:"" help:"End pauses now."`
}

type alertPauseListCmd struct{ database }

func (c *alertPauseListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		list, err := alertService(s).Pauses(ctx)
		if err != nil {
			return err
		}
		names, err := asked.NamesOf(ctx, s)
		if err != nil {
			return err
		}
		return columns("ID\tOF\tFROM\tUNTIL\tBY\tREASON", len(list), func(i int) string {
			p, of := list[i], "everything"
			switch p.Kind {
			case "tag":
				of = "tag " + p.Subject
			case "host":
				of = names.HostName(p.Subject)
			}
			return row(p.ID, of, moment(p.From, ""), moment(p.Until, ""), p.CreatedBy, p.Reason)
		})
	})
}

type alertPauseAddCmd struct {
	Host   string        `xor:"whose" required:"" help:"Of this host: name or ID."`
	Tag    string        `xor:"whose" required:"" help:"Of the hosts with this tag."`
	All    bool          `xor:"whose" required:"" help:"Of everything."`
	For    time.Duration `xor:"until" required:"" help:"For how long, such as 2h."`
	Until  string        `xor:"until" required:"" placeholder:"TIME" help:"Until when, as 2026-11-30T07:00:00Z."`
	From   string        `placeholder:"TIME" help:"From when on; now if not said."`
	Reason string        `required:"" help:"Why, for whoever looks at what is silent."`
	database
}

func (c *alertPauseAddCmd) Run(ctx context.Context) error {
	p := alerts.Pause{Kind: "all", Reason: c.Reason}
	var err error
	if c.From != "" {
		if p.From, err = later(0, c.From); err != nil {
			return err
		}
	}
	if p.Until, err = later(c.For, c.Until); err != nil {
		return err
	}
	return c.with(ctx, func(s *store.Store) error {
		switch {
		case c.Tag != "":
			p.Kind, p.Subject = "tag", c.Tag
		case c.Host != "":
			names, err := asked.NamesOf(ctx, s)
			if err != nil {
				return err
			}
			p.Kind, p.Subject = "host", string(names.Host(c.Host))
		}
		made, err := alertService(s).Pause(ctx, actor, p)
		if err == nil {
			fmt.Println(made.ID)
		}
		return err
	})
}

type alertPauseRemoveCmd struct {
	IDs []string `arg:"" name:"id" help:"IDs of pauses."`
	database
}

func (c *alertPauseRemoveCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		for _, id := range c.IDs {
			if _, err := alertService(s).Unpause(ctx, actor, id); err != nil {
				return err
			}
		}
		return nil
	})
}
