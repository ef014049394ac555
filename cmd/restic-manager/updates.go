package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/handout"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/rollout"
	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type updatesCmd struct {
	Show  updatesShowCmd  `cmd:"" default:"withargs" help:"Show what agents can be updated to, which versions run, and what goes on."`
	Hosts updatesHostsCmd `cmd:"" help:"List the version of each host's agent, and why it cannot be updated from here."`
	Start updatesStartCmd `cmd:"" help:"Update agents to the release that lies here: one host first, then a tenth, then the rest."`
	Stop  updatesStopCmd  `cmd:"" help:"Have no further host begin; what is being updated goes on."`
	List  updatesListCmd  `cmd:"" help:"List rollouts, those that began last first."`
	Set   updatesSetCmd   `cmd:"" help:"Say whether newer versions begin by themselves; what is left out stays as it is."`
}

// agentsDir is where the agents lie, as serve has it.
type agentsDir struct {
	AgentsDir string `placeholder:"DIR" help:"Agents to hand out to hosts, as serve has it; the package's, or DATA/../agents."`
}

// rolloutsOf works in the database alone; a control plane that runs beside it goes on.
func rolloutsOf(ctx context.Context, s *store.Store, d agentsDir, data string) (*rollout.Service, error) {
	rows, err := s.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	service := handout.New(handout.Config{Dirs: handout.DirsOf(d.AgentsDir, data)})
	return &rollout.Service{Store: s, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Board:   fleet.NewBoard(s, hosts.NewPresence(hosts.DefaultTiming(), time.Now, rows), time.Now),
		Release: func() shelf.Release { return service.Release(release.Pinned()) }}, nil
}

type updatesShowCmd struct {
	agentsDir
	database
}

// Run prints how updates stand.
func (c *updatesShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		service, err := rolloutsOf(ctx, s, c.agentsDir, c.Data)
		if err != nil {
			return err
		}
		o, err := service.Overview(ctx)
		if err != nil {
			return err
		}
		lies := "nothing: " + o.Release.Say
		if o.Release.Number > 0 {
			lies = fmt.Sprintf("%s, number %d, signed by %s", o.Release.Version, o.Release.Number, o.Release.SignedBy)
			if o.Release.Say != "" {
				lies += ". " + o.Release.Say
			}
		}
		begin := "by hand"
		if o.Settings.Automatic {
			begin = "automatically, " + rollout.PlanWords("", o.Settings.Plan)
		}
		rows := [][]string{{"In " + o.Release.Dir, lies}, {"Updates begin", begin},
			{"Hosts", fmt.Sprintf("%d run that or a newer version, %d an older one; %d of these can be updated from here", o.Current, o.Behind,
				o.Can)}}
		for _, v := range o.Versions {
			rows = append(rows, []string{"Version " + v.Version, fmt.Sprintf("%d hosts", v.Hosts)})
		}
		for _, p := range o.Going {
			rows = append(rows, []string{"Rollout " + p.ID, fmt.Sprintf("to %s, %s: %d of %d updated, %d failed, %d at work. %s", p.Version,
				rollout.PlanWords(p.Name, p.Plan), p.Count.Updated, p.Count.Hosts, p.Count.Failed, p.Count.Updating, p.Waits)})
		}
		return table(rows)
	})
}

type updatesHostsCmd struct {
	agentsDir
	database
}

// Run prints a line for each host.
func (c *updatesHostsCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		service, err := rolloutsOf(ctx, s, c.agentsDir, c.Data)
		if err != nil {
			return err
		}
		list, err := s.Hosts(ctx)
		if err != nil {
			return err
		}
		lies := service.Release()
		return columns("HOST\tVERSION\tNUMBER\tLATEST\tCANNOT\tREMEDY", len(list), func(i int) string {
			h := list[i]
			why, do := rollout.Cannot(h, lies)
			return row(h.Name, h.AgentVersion, strconv.FormatInt(rollout.Number(h), 10), rollout.Latest(h, lies), why, do)
		})
	})
}

// planFlags are which hosts, when, and how many together.
type planFlags struct {
	Tag    *string `placeholder:"TAG" help:"Only hosts with this tag; an empty one is every host."`
	From   *string `placeholder:"HH:MM" help:"Updates begin from then on; with --until. Empty ones are at any time."`
	Until  *string `placeholder:"HH:MM" help:"And before then; may be past midnight."`
	Zone   *string `placeholder:"ZONE" help:"In which the hours are read, such as Europe/Berlin; UTC if never said."`
	AtOnce *int    `placeholder:"N" help:"How many hosts are updated together, from 1 to 50; 10 if never said."`
}

func (f planFlags) input() rollout.Input {
	return rollout.Input{Tag: f.Tag, From: f.From, Until: f.Until, Zone: f.Zone, AtOnce: f.AtOnce}
}

type updatesStartCmd struct {
	Host string `help:"One host alone: name or ID."`
	planFlags
	agentsDir
	database
}

// Run begins a rollout, and prints its ID.
func (c *updatesStartCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		service, err := rolloutsOf(ctx, s, c.agentsDir, c.Data)
		if err != nil {
			return err
		}
		in := c.input()
		in.Host = c.Host
		x, fresh, err := service.Begin(ctx, actor, in)
		if err != nil {
			return err
		}
		if !fresh {
			say(os.Stderr, "It goes on already.")
		}
		say(os.Stderr, "A control plane that runs begins within seconds.")
		say(os.Stdout, "%s", x.ID)
		return nil
	})
}

type updatesStopCmd struct {
	Rollout string `arg:"" help:"The rollout's ID, as updates list has it."`
	database
}

// Run stops a rollout.
func (c *updatesStopCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		if err := (&rollout.Service{Store: s, Now: time.Now}).Stop(ctx, actor, c.Rollout); err != nil {
			return err
		}
		say(os.Stdout, "No further host begins; what is being updated goes on.")
		return nil
	})
}

type updatesListCmd struct{ database }

// Run prints a line for each rollout.
func (c *updatesListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		list, err := s.Rollouts().Latest(ctx, 100)
		if err != nil {
			return err
		}
		names := map[topics.HostID]string{}
		for _, x := range list {
			if x.Host == "" {
				continue
			}
			h, err := s.AnyHost(ctx, x.Host)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			names[x.Host] = h.Name
		}
		return columns("ROLLOUT\tVERSION\tHOSTS\tBEGAN\tBY\tOUTCOME\tWHY", len(list), func(i int) string {
			x := list[i]
			outcome := string(x.Outcome)
			if outcome == "" {
				outcome = "goes on"
			}
			return row(x.ID, x.Version, rollout.PlanWords(names[x.Host], x.Plan), ago(s, x.BeganAt), x.BeganBy, outcome, x.Why)
		})
	})
}

type updatesSetCmd struct {
	Automatic *bool `negatable:"by-hand" help:"A newer version begins as soon as it lies here; --by-hand has somebody start it."`
	planFlags
	database
}

// Run sets how updates begin.
func (c *updatesSetCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		set, err := (&rollout.Service{Store: s, Now: time.Now}).Put(ctx, actor, c.Automatic, c.input())
		if err != nil {
			return err
		}
		if !set.Automatic {
			say(os.Stdout, "Updates begin by hand.")
			return nil
		}
		say(os.Stdout, "Updates begin automatically: %s.", rollout.PlanWords("", set.Plan))
		return nil
	})
}
