package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/replace"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/words"
)

type hostReplaceCmd struct {
	Host    string        `arg:"" help:"The host's name or ID."`
	Server  string        `placeholder:"HOST:PORT" help:"Where agents reach us, for the command that is printed; agents-public by default."`
	TTL     time.Duration `name:"ttl" default:"15m" help:"How long the token is valid, at most 24h."`
	CallOff bool          `env:"-" help:"Call it off, before the new machine is enrolled."`
	database
}

func (c *hostReplaceCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		service, err := replacingIn(ctx, s)
		if err != nil {
			return err
		}
		if c.CallOff {
			return service.CallOff(ctx, actor, h.ID)
		}
		token, err := service.Begin(ctx, actor, h.ID, c.TTL)
		if err != nil {
			return err
		}
		st, err := service.Of(ctx, h.ID)
		if err != nil {
			return err
		}
		server, err := dialled(ctx, s, c.Server)
		if err != nil {
			return err
		}
		command, err := service.Command(ctx, st, server, token.Secret)
		if err != nil {
			return err
		}
		say(os.Stderr, "Run this on the new machine until %s. From then on the old one is refused, backups of %s wait, and nothing of it "+
			"is forgotten, until restic-manager host replaced says that its files are restored, or to start without them:",
			time.UnixMilli(token.Expires).UTC().Format(time.RFC3339), h.Name)
		say(os.Stdout, "%s", command)
		return nil
	})
}

func replacingIn(ctx context.Context, s *store.Store) (*replace.Service, error) {
	ca, err := enroll.OpenCA(ctx, s, time.Now)
	return &replace.Service{Store: s, Desk: &enroll.Desk{Store: s, CA: ca}}, err
}

type hostReplacedCmd struct {
	Host         string   `arg:"" help:"The host's name or ID."`
	Restored     bool     `env:"-" xor:"decision" help:"Its files are on the new machine again, as far as they are wanted."`
	StartWithout bool     `env:"-" xor:"decision" help:"Backups begin without what the old machine held."`
	Group        []string `env:"-" placeholder:"NAME" help:"Of this source group alone; without it, of all that wait."`
	database
}

func (c *hostReplacedCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		service, err := replacingIn(ctx, s)
		if err != nil {
			return err
		}
		switch {
		case c.Restored:
			err = service.Decide(ctx, actor, h.ID, replace.Input{Decision: new(replace.Restored), Groups: c.Group})
		case c.StartWithout:
			err = service.Decide(ctx, actor, h.ID, replace.Input{Decision: new(replace.Without), Groups: c.Group})
		case len(c.Group) > 0:
			err = field.Errors{"decision": "Say --restored or --start-without."}
		}
		if err != nil {
			return err
		}
		return listReplacement(ctx, service, h)
	})
}

// listReplacement prints how far the replacement of a host's machine has come.
func listReplacement(ctx context.Context, service *replace.Service, h store.Host) error {
	st, err := service.Of(ctx, h.ID)
	if err != nil {
		return err
	}
	switch {
	case st.CalledOff:
		say(os.Stdout, "%s\tcalled off by %s", h.Name, st.EndedBy)
	case st.EndedAt > 0:
		say(os.Stdout, "%s\tall is decided", h.Name)
	case st.EnrolledAt > 0:
		say(os.Stdout, "%s\tthe new machine is enrolled", h.Name)
	default:
		say(os.Stdout, "%s\tthe new machine is not enrolled yet", h.Name)
	}
	for _, g := range st.Groups {
		is := "waits"
		switch {
		case st.EnrolledAt == 0:
			is = "is backed up as before"
		case !g.Held:
			is = strings.TrimSpace(g.Decision + " by " + g.DecidedBy)
		}
		newest := "no snapshot"
		if g.Snapshot != "" {
			newest = g.Snapshot[:min(8, len(g.Snapshot))] + " of " + time.UnixMilli(g.SavedAt).UTC().Format(time.RFC3339)
		}
		say(os.Stdout, "%s\t%s\t%s", words.Visible(g.Name), newest, is)
	}
	return nil
}
