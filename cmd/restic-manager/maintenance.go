package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type repositoryPlanCmd struct {
	Name string `arg:"" help:"The repository's name or ID."`
	database
}

// Run prints what the next forget would do; nothing is removed.
func (c *repositoryPlanCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Name)
		if err != nil {
			return err
		}
		p, err := retention.Look(ctx, s, r.ID, nil, time.Now())
		if err != nil {
			return err
		}
		return printPlan(os.Stdout, p)
	})
}

func printPlan(out io.Writer, p retention.Preview) error {
	var rows [][]string
	add := func(what string, id string, at int64, of string, reasons []string) {
		when := moment(at, "")
		rows = append(rows, []string{what, fmt.Sprintf("%.8s", id), when, of, strings.Join(reasons, "; ")})
	}
	for _, v := range p.Remove {
		add("remove", v.ID, v.Time, fmt.Sprintf("%q on %q", v.Group, v.Hostname), v.Reasons)
	}
	for _, v := range p.Verdicts.Held {
		add("held", v.ID, v.Time, fmt.Sprintf("%q on %q", v.Group, v.Hostname), v.Reasons)
	}
	for _, v := range p.Verdicts.Keep {
		add("keep", v.ID, v.Time, fmt.Sprintf("%q on %q", v.Group, v.Hostname), v.Reasons)
	}
	for _, o := range p.Oddities {
		add("flagged", o.ID, o.Time, o.Kind, o.Reasons)
	}
	err := tableTo(out, rows)
	for _, text := range p.Warnings {
		say(out, "Careful: %s", text)
	}
	for _, text := range p.Plan.Unusual {
		say(out, "Held for review: %s", text)
	}
	if h := p.Held; h != nil {
		say(out, "A plan that removes %d waits for approval until %s: restic-manager repository maintain %s --kind forget --approve %s",
			len(h.Plan.V.Remove), moment(h.ExpiresAt, ""), p.Repository.Name, h.Hash)
	}
	say(out, "The next forget removes %d and keeps %d; %d are flagged.", len(p.Remove),
		len(p.Verdicts.Keep)+len(p.Verdicts.Held)+len(p.Flagged), len(p.Oddities))
	return err
}

type repositoryMaintainCmd struct {
	Name    string `arg:"" help:"The repository's name or ID."`
	Kind    string `required:"" enum:"forget,prune,check" help:"forget, prune or check."`
	Host    string `placeholder:"HOST" help:"Only without a keeper: name or ID of the host to run on, which then needs the right to delete."`
	Give    bool   `name:"give-repository" help:"The host does not back up into it, and gets its address and password for this."`
	Approve string `placeholder:"HASH" help:"Carry out exactly this plan, which was held for review."`
	database
}

// Run asks for it in the database: a control plane beside it does the rest.
func (c *repositoryMaintainCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Name)
		if err != nil {
			return err
		}
		var host store.Host // none is the keeper
		if c.Host != "" {
			if host, err = hostNamed(ctx, s, c.Host); err != nil {
				return err
			}
		}
		runner := maintenance.NewRunner(maintenance.Config{
			Store:   s,
			Jobs:    nobody{engine(s)},
			Changed: func(...topics.HostID) {},
			Log:     slog.New(slog.DiscardHandler),
			Timing:  maintenance.DefaultTiming(),
			Now:     time.Now,
		})
		id, err := runner.Ask(ctx, jobs.Actor{Name: actor, Role: store.Admin}, r.ID, topics.JobKind(c.Kind), host.ID, c.Approve, c.Give)
		switch {
		case errors.Is(err, maintenance.ErrNoKeeper):
			return fmt.Errorf("%w, so nothing was begun; choose one, or name a host with --host and let it have the right to delete", err)
		case err != nil:
			return err
		}
		fmt.Println(id)
		return nil
	})
}

// nobody says what may be asked for, and does nothing: the jobs are in the database, for
// the control plane.
type nobody struct{ engine *jobs.Engine }

func (nobody) AskAt(context.Context, string, jobs.Order) (store.Job, bool, error) {
	return store.Job{}, false, errors.New("only a control plane asks hosts")
}
func (n nobody) Permit(ctx context.Context, o jobs.Order) error { return n.engine.Permit(ctx, o) }
func (nobody) Settle(context.Context, topics.Finished) error {
	return errors.New("only a control plane ends jobs")
}
func (nobody) Stir() {}
