package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/discovery"
	"github.com/restic-manager/restic-manager/store"
)

type homeAssistantCmd struct {
	Show homeAssistantShowCmd `cmd:"" default:"withargs" help:"Show what Home Assistant is told."`
	Set  homeAssistantSetCmd  `cmd:"" help:"Say what Home Assistant is told; what is left out stays as it is."`
}

func discoveryOf(s *store.Store) *discovery.Service {
	return &discovery.Service{Store: s, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

type homeAssistantShowCmd struct{ database }

// Run prints what is set, and how much that makes.
func (c *homeAssistantShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error { return showHomeAssistant(ctx, s) })
}

func showHomeAssistant(ctx context.Context, s *store.Store) error {
	service := discoveryOf(s)
	set, _, err := service.Get(ctx)
	if err != nil {
		return err
	}
	how, err := service.Preview(ctx, set)
	if err != nil {
		return err
	}
	status, err := service.Status(ctx)
	if err != nil {
		return err
	}
	of, buttons, makes := "all", "no", "would make"
	if len(set.Tags) > 0 {
		of = "tagged " + strings.Join(set.Tags, ", ")
	}
	if set.Buttons {
		buttons = "yes, where commands are taken"
	}
	state := "off"
	if set.Enabled {
		state, makes = "on", "makes"
	}
	return table([][]string{
		{"Home Assistant", state},
		{"Prefix", set.Prefix},
		{"Hosts", of},
		{"Buttons and switches", buttons},
		{"This " + makes, fmt.Sprintf("%d devices with %d entities: %d hosts, %d repositories, and one for all of them",
			how.Devices, how.Entities, how.Hosts, how.Repositories)},
		{"Last started", moment(status.BornAt(), "it never said so")},
	})
}

type homeAssistantSetCmd struct {
	On      *bool    `negatable:"off" help:"Tell it of hosts and repositories; --off takes back what it was told."`
	Prefix  *string  `placeholder:"WORD" help:"Of the topics in which it looks for devices, as it is set there: homeassistant by default."`
	Tag     []string `placeholder:"TAG" help:"Only of hosts with this tag; may be repeated. An empty one is all hosts."`
	Buttons *bool    `negatable:"" help:"Give it buttons and switches, where commands are taken."`
	database
}

func (c *homeAssistantSetCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		service := discoveryOf(s)
		set, version, err := service.Get(ctx)
		if err != nil {
			return err
		}
		if c.On != nil {
			set.Enabled = *c.On
		}
		if c.Prefix != nil {
			set.Prefix = *c.Prefix
		}
		if len(c.Tag) > 0 {
			set.Tags = slices.DeleteFunc(slices.Clone(c.Tag), func(t string) bool { return t == "" })
		}
		if c.Buttons != nil {
			set.Buttons = *c.Buttons
		}
		if err := service.Put(ctx, actor, set, version); err != nil {
			return err
		}
		say(os.Stderr, "A control plane that runs tells it within seconds.")
		return showHomeAssistant(ctx, s)
	})
}
