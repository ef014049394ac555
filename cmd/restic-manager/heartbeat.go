package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/asked"
	"github.com/restic-manager/restic-manager/controlplane/heartbeat"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/heartbeats"
)

type heartbeatCmd struct {
	Show heartbeatShowCmd `cmd:"" default:"withargs" help:"Show which services are told, and how that goes."`
	Set  heartbeatSetCmd  `cmd:"" help:"Say which address is pinged while the control plane works, or a host, tag or schedule backs up."`
}

func heartbeatService(s *store.Store) *heartbeat.Service {
	return &heartbeat.Service{Store: s, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

type heartbeatShowCmd struct{ database }

// Run prints a line for each address. The addresses are secrets.
func (c *heartbeatShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		list, err := s.Heartbeats(ctx)
		if err != nil {
			return err
		}
		names, err := asked.NamesOf(ctx, s)
		if err != nil {
			return err
		}
		return columns("OF\tSERVICE\tLAST HEARD\tFAILS SINCE\tLAST ANSWER", len(list), func(i int) string {
			h, of := list[i], "the control plane"
			switch h.Scope {
			case heartbeats.OfHost:
				of = names.HostName(h.Subject)
			case heartbeats.OfTag, heartbeats.OfSchedule:
				of = string(h.Scope) + " " + h.Subject
			case heartbeats.OfPlane:
			}
			return row(of, heartbeat.Kind(h.Kind).Label(), ago(s, h.LastOKAt), moment(h.FailingSince, "it does not"), h.LastAnswer)
		})
	})
}

type heartbeatSetCmd struct {
	File     string        `arg:"" name:"url-file" help:"File with the address; - is standard input. An empty one takes it away."`
	Every    time.Duration `placeholder:"SPAN" help:"Between two pings of the control plane, such as 60s."`
	Kind     string        `placeholder:"SERVICE" help:"healthchecks, uptime-kuma, cronitor or plain; found from the address if not said."`
	Host     string        `xor:"whose" help:"Of this host's good backups instead: name or ID."`
	Tag      string        `xor:"whose" help:"Of those of the hosts with this tag."`
	Schedule string        `xor:"whose" help:"Of those of this schedule: its ID."`
	database
}

func (c *heartbeatSetCmd) Run(ctx context.Context) error {
	text, err := readSecret(c.File)
	if err != nil {
		return fmt.Errorf("read the address: %w", err)
	}
	address := strings.TrimSpace(text)
	return c.with(ctx, func(s *store.Store) error {
		service := heartbeatService(s)
		if c.Host == "" && c.Tag == "" && c.Schedule == "" {
			set, version, err := service.Get(ctx)
			if err != nil && address == "" && version == 0 {
				return err
			}
			set.URL, set.Kind = address, heartbeat.Kind(c.Kind)
			if c.Every > 0 {
				set.Every = int64(c.Every / time.Second)
			}
			return service.Set(ctx, actor, set, version)
		}
		p := heartbeat.Ping{Scope: heartbeats.OfTag, Subject: c.Tag, URL: address, Kind: heartbeat.Kind(c.Kind)}
		switch {
		case c.Host != "":
			h, err := hostNamed(ctx, s, c.Host)
			if err != nil {
				return err
			}
			p.Scope, p.Subject = heartbeats.OfHost, string(h.ID)
		case c.Schedule != "":
			p.Scope, p.Subject = heartbeats.OfSchedule, c.Schedule
		}
		list, err := service.Pings(ctx)
		if err != nil {
			return err
		}
		for _, one := range list {
			if one.Scope == p.Scope && one.Subject == p.Subject {
				p.Version = one.Version
			}
		}
		if err := service.SetPing(ctx, actor, p); err != nil {
			return err
		}
		say(os.Stderr, "A control plane that runs tells it from the next backup on.")
		return nil
	})
}
