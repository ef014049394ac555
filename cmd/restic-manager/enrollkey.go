package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/store"
)

type enrollKeyCmd struct {
	Create   enrollKeyCreateCmd   `cmd:"" help:"Make a key that lets many hosts in, and print it."`
	List     enrollKeyListCmd     `cmd:"" default:"withargs" help:"List the keys."`
	Withdraw enrollKeyWithdrawCmd `cmd:"" help:"Have a key let nobody in any more; the hosts it let in stay."`
	Held     enrollHeldCmd        `cmd:"" help:"List hosts that wait for approval: host approve lets one in."`
}

type enrollKeyCreateCmd struct {
	Name    string        `arg:"" help:"What it is for; the audit log names it with each host."`
	Uses    int           `env:"-" default:"50" help:"How many hosts it lets in."`
	TTL     time.Duration `env:"-" name:"ttl" default:"720h" help:"For how long, at most 8784h."`
	Tag     []string      `env:"-" placeholder:"TAG" help:"A tag that its hosts get."`
	Policy  string        `env:"-" default:"backup" placeholder:"NAME" help:"The widest it accepts: backup, restore, keeper or managed."`
	Approve bool          `env:"-" help:"Have each host wait until somebody approves it."`
	Drill   bool          `env:"-" default:"true" negatable:"" help:"Its hosts prove weekly that they can be restored."`
	database
}

func (c *enrollKeyCreateCmd) Run(ctx context.Context) error {
	return c.begin(ctx, func(s *store.Store) error {
		d, err := desk(ctx, s)
		if err != nil {
			return err
		}
		_, token, err := d.OfferKey(ctx, actor, enroll.KeyInput{Name: c.Name, Uses: c.Uses, Life: c.TTL, Tags: c.Tag, Policy: c.Policy,
			Approve: c.Approve, Drill: c.Drill})
		if err != nil {
			return err
		}
		server, err := dialled(ctx, s, "")
		if err != nil {
			return err
		}
		say(os.Stderr, "On each host, where the agent is installed, run: %s", enroll.Command(server, token, ""))
		fmt.Println(token.Reveal())
		return nil
	})
}

type enrollKeyListCmd struct{ database }

// Run prints a line for each key.
func (c *enrollKeyListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		plane, err := s.PlaneOf(ctx)
		if err != nil {
			return err
		}
		list, err := s.Admission().Keys(ctx)
		if err != nil {
			return err
		}
		return columns("KEY\tID\tHOSTS\tPOLICY\tTAGS\tAPPROVAL\tUNTIL\tREFUSES", len(list), func(i int) string {
			k := list[i]
			approve := "no"
			if k.Approve {
				approve = "yes"
			}
			return row(k.Name, k.ID, fmt.Sprintf("%d of %d", k.Used, k.Uses), k.Policy, strings.Join(k.Tags, " "), approve,
				time.UnixMilli(k.ExpiresAt).UTC().Format(time.DateOnly), enroll.StateOf(k, s.Now(), plane.RestoredAt))
		})
	})
}

type enrollKeyWithdrawCmd struct {
	Key string `arg:"" help:"The key's name or ID."`
	database
}

func (c *enrollKeyWithdrawCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		list, err := s.Admission().Keys(ctx)
		if err != nil {
			return err
		}
		id := c.Key
		for _, k := range list {
			if k.Name == c.Key && k.WithdrawnAt == 0 {
				id = k.ID
			}
		}
		return (&enroll.Desk{Store: s}).WithdrawKey(ctx, actor, id)
	})
}

type enrollHeldCmd struct{ database }

// Run prints a line for each host that waits.
func (c *enrollHeldCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		list, err := s.Admission().Held(ctx)
		if err != nil {
			return err
		}
		return columns("HOST\tID\tPLATFORM\tPOLICY\tKEY\tSINCE", len(list), func(i int) string {
			h := list[i]
			return row(h.Name, string(h.Host), h.Platform, h.Policy, h.Key, ago(s, h.HeldAt))
		})
	})
}

type hostApproveCmd struct {
	Host string `arg:"" help:"The host's name or ID."`
	database
}

func (c *hostApproveCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		if h, err = (&enroll.Desk{Store: s}).Approve(ctx, actor, h.ID); err != nil {
			return err
		}
		say(os.Stdout, "%s is trusted; its agent connects within a minute or two", h.Name)
		return nil
	})
}
