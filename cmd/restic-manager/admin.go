package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// actor is the audit log's name for the command line.
const actor = "cli"

// database is the flags of commands that open the database, also beside a running
// control plane.
type database struct {
	Data    string `required:"" placeholder:"DIR" help:"Directory of the database."`
	KeyFile string `placeholder:"FILE" help:"Key of the secrets, if not systemd's restic-manager-key, RESTIC_MANAGER_KEY or DIR.key."`
	Mark    string `placeholder:"FILE" help:"Where it is noted how far the database has come; by default beside the key's file, or DIR.mark."`
}

// with opens an existing database. It does not create one, so that a mistyped
// directory is an error.
func (d database) with(ctx context.Context, do func(*store.Store) error) error {
	if err := d.there(); err != nil {
		return err
	}
	return d.begin(ctx, do)
}

func (d database) there() error {
	if store.Exists(d.Data) {
		return nil
	}
	return fmt.Errorf("there is no database in %s; give --data the directory that restic-manager serve is given", d.Data)
}

// begin is like with but creates the database if there is none, for commands that
// may run before the first serve.
func (d database) begin(ctx context.Context, do func(*store.Store) error) error {
	key, err := d.key()
	if err != nil {
		return err
	}
	s, err := store.OpenWith(ctx, d.Data, store.Options{Key: key, Mark: d.Mark})
	if err != nil {
		return err
	}
	for _, said := range s.Mended {
		say(os.Stderr, "restic-manager: %s", said)
	}
	return errors.Join(do(s), s.Close())
}

type enrollTokenCmd struct {
	Name string        `placeholder:"HOST" xor:"whom" help:"Name for the host; its own hostname by default."`
	For  string        `placeholder:"HOST" xor:"whom" help:"Enrol this existing host again, by name or ID, instead of a new one."`
	TTL  time.Duration `name:"ttl" default:"15m" help:"How long the token is valid, at most 24h."`
	// It says nothing of a host that is enrolled again: its plan stays.
	Drill bool `default:"true" negatable:"" help:"A new host proves weekly that it can be restored, unless the fleet has a plan of drills."`
	database
}

func (c *enrollTokenCmd) Run(ctx context.Context) error {
	return c.begin(ctx, func(s *store.Store) error {
		ca, err := enroll.OpenCA(ctx, s, time.Now)
		if err != nil {
			return err
		}
		desk := enroll.Desk{Store: s, CA: ca}
		var token topics.EnrollToken
		if c.For == "" {
			_, token, err = desk.Offer(ctx, actor, enroll.Input{Name: c.Name, Life: c.TTL, Drill: c.Drill})
		} else {
			var h store.Host
			if h, err = hostNamed(ctx, s, c.For); err == nil {
				_, token, err = desk.Reissue(ctx, actor, h.ID, c.TTL)
			}
		}
		if err != nil {
			return err
		}
		server, err := dialled(ctx, s, "")
		if err != nil {
			return err
		}
		command := enroll.Command
		if c.For != "" {
			command = enroll.Again
		}
		say(os.Stderr, "On the host, where the agent is installed, run: %s", command(server, token, ""))
		fmt.Println(token.Reveal())
		return nil
	})
}

type hostRevokeCmd struct {
	Host string `arg:"" help:"The host's name or ID."`
	database
}

func (c *hostRevokeCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		if h, err = s.Revoke(ctx, actor, h.ID); err != nil {
			return err
		}
		say(os.Stdout, "%s is not trusted any more; a control plane that runs ends its connection within seconds", h.Name)
		return nil
	})
}

type hostTwinsCmd struct {
	Host   string `arg:"" help:"The host's name or ID."`
	Stays  string `placeholder:"MACHINE" help:"The machine that stays this host, as the list names it. For the other one a token is printed."`
	Server string `placeholder:"HOST:PORT" help:"Where agents reach the control plane, for the printed command; agents-public by default."`
	database
}

func (c *hostTwinsCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		if c.Stays == "" {
			return c.list(ctx, s, h)
		}
		ca, err := enroll.OpenCA(ctx, s, time.Now)
		if err != nil {
			return err
		}
		server, err := dialled(ctx, s, c.Server)
		if err != nil {
			return err
		}
		desk := enroll.Desk{Store: s, CA: ca}
		_, token, err := desk.Stay(ctx, actor, h.ID, c.Stays)
		if err != nil {
			return err
		}
		say(os.Stderr, "That machine stays %s. The other one is refused; stop its agent, and run this there to make it a host of its own:",
			h.Name)
		say(os.Stdout, "%s", enroll.Again(server, token, ""))
		return nil
	})
}

func (c *hostTwinsCmd) list(ctx context.Context, s *store.Store, h store.Host) error {
	if h.TwinsSince == 0 {
		say(os.Stdout, "One machine uses the identity of %s.", h.Name)
		return nil
	}
	lanes, err := s.Machines(ctx, h.ID)
	for _, l := range lanes {
		if l.RefusedAt == 0 {
			say(os.Stdout, "%s\tlast heard %s", l.Named(), time.UnixMilli(l.HeardAt).UTC().Format(time.RFC3339))
		}
	}
	return err
}

// A role is one of store.Roles.
type role store.Role

// UnmarshalText implements encoding.TextUnmarshaler, for the command line.
func (r *role) UnmarshalText(b []byte) error {
	*r = role(b)
	if text := people.CheckRole(store.Role(*r)); text != "" {
		return errors.New(text)
	}
	return nil
}
