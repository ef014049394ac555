package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/drills"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/store"
	drillstore "github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

type drillCmd struct {
	Run  drillRunCmd  `cmd:"" default:"withargs" help:"Have a host prove now that it can be restored, and print the jobs' IDs."`
	Set  drillSetCmd  `cmd:"" help:"Say when a host, every host with a tag, or every host, proves that it can be restored."`
	Show drillShowCmd `cmd:"" help:"Say whether a host is proven restorable, and when it proves it next."`
}

type drillRunCmd struct {
	Host       string `arg:"" help:"The host's name or ID."`
	Repository string `help:"Only what it saved there: name or ID."`
	Files      int    `help:"At most so many files of each source group; what its plan says if not said."`
	Bytes      int64  `help:"At most so many bytes of each source group; what its plan says if not said."`
	Seed       int64  `help:"The seed of an earlier drill, to take the same sample again."`
	Full       bool   `help:"All of the newest snapshot of each source group instead of a sample."`
	Target     string `placeholder:"DIR" help:"With --full: a full path on the host, instead of the agent's own folder."`
	Keep       bool   `help:"With --target: what was restored stays there."`
	Wait       bool   `help:"Wait until it has ended, and say what came of it; the exit code is 1 if it proved nothing."`
	database
}

// Run asks for the drill of each repository.
func (c *drillRunCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		host, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		q := jobs.Request{Host: host.ID, Operation: topics.Operation{Drill: &topics.Drill{Files: c.Files, Bytes: c.Bytes, Seed: c.Seed,
			Full: c.Full, Target: c.Target, Keep: c.Keep}}}
		if c.Repository != "" {
			r, err := repositoryNamed(ctx, s, c.Repository)
			if err != nil {
				return err
			}
			q.Repository = r.ID
		}
		return startDrill(ctx, s, q, c.Wait)
	})
}

func drillService(s *store.Store) *drills.Service {
	return &drills.Service{Store: s, Jobs: engine(s), Online: func(topics.HostID) bool { return true }, Log: slog.New(slog.DiscardHandler),
		Now: time.Now}
}

// startDrill asks for drills, prints their IDs, and waits for their ends if it is to.
func startDrill(ctx context.Context, s *store.Store, q jobs.Request, wait bool) error {
	all, fresh, err := drillService(s).Ask(ctx, jobs.Actor{Name: actor, Role: store.Admin}, q)
	if err != nil {
		return err
	}
	if !fresh {
		say(os.Stderr, "The same was asked for already; it is %s.", all[0].State)
	}
	for _, j := range all {
		fmt.Println(j.ID)
	}
	failed := 0
	for i := 0; wait && i < len(all); {
		j, err := s.Job(ctx, all[i].ID)
		if err != nil {
			return err
		}
		if !j.State.Ended() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
			continue
		}
		if i++; j.State == topics.Succeeded {
			say(os.Stderr, "%s: %s", j.ID, outcome.Of(j).Text)
			continue
		}
		e := jobs.ExplainJob(j)
		say(os.Stderr, "%s %s: %s. %s", j.ID, j.State, e.Cause, strings.TrimSpace(strings.TrimSuffix(j.Message, ".")+". "+e.Effect))
		failed++
	}
	if failed > 0 {
		return fmt.Errorf("%s proved nothing", words.Count(uint64(failed), "drill", "drills"))
	}
	return nil
}

type drillSetCmd struct {
	Host  string  `xor:"whose" required:"" help:"The host's name or ID."`
	Tag   string  `xor:"whose" required:"" help:"Every host with this tag that has no plan of its own."`
	All   bool    `xor:"whose" required:"" help:"Every host that has no plan of its own or of a tag."`
	Cron  *string `help:"Five fields, or a word such as @weekly."`
	Zone  *string `help:"IANA's name, such as Europe/Berlin."`
	Files *int    `help:"At most so many files of each source group."`
	Bytes *int64  `help:"At most so many bytes of each source group."`
	On    bool    `xor:"on" help:"Switch it on."`
	Off   bool    `xor:"on" help:"Switch it off."`
	Drop  bool    `help:"Take the plan back: what is less near counts then, of a tag or of all."`
	database
}

// Run changes a plan; what is not said stays.
func (c *drillSetCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		kind, subject := drillstore.OfTag, c.Tag
		if c.Host != "" {
			h, err := hostNamed(ctx, s, c.Host)
			if err != nil {
				return err
			}
			kind, subject = drillstore.OfHost, string(h.ID)
		}
		if c.All {
			kind, subject = drillstore.OfFleet, ""
		}
		if c.Drop {
			return drillService(s).Drop(ctx, actor, kind, subject)
		}
		in := drills.Input{Cron: c.Cron, Zone: c.Zone, Files: c.Files, Bytes: c.Bytes}
		if c.On || c.Off {
			in.Enabled = &c.On
		}
		p, err := drillService(s).Put(ctx, actor, kind, subject, in)
		if err != nil {
			return err
		}
		say(os.Stdout, "%s: %s, %s; at most %d files and %s of each source group.", map[bool]string{true: "On", false: "Off"}[p.Enabled],
			p.Cron, p.Zone, p.Files, words.Bytes(uint64(p.Bytes)))
		return nil
	})
}

type drillShowCmd struct {
	Host string `arg:"" help:"The host's name or ID."`
	database
}

// Run says what is proven.
func (c *drillShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		d := drillService(s)
		plan, said, err := d.Plan(ctx, h)
		if err != nil {
			return err
		}
		state, groups, verdicts, err := d.Standing(ctx, h.ID)
		if err != nil {
			return err
		}
		say(os.Stdout, "%s: %s", h.Name, state.Words())
		if next := drills.Next(h, plan, time.Now()); !next.IsZero() {
			say(os.Stdout, "Next drill: %s", moment(next.UnixMilli(), ""))
		} else {
			say(os.Stdout, "No drill is planned: restic-manager drill set --host %s --on", h.Name)
		}
		say(os.Stdout, "%s", drills.Why(h, plan, said))
		return columns("SOURCE GROUP\tPROVEN\tLAST DRILL\tJOB\tWHY", len(groups), func(i int) string {
			for _, v := range verdicts {
				if v.Group == groups[i].ID {
					return row(groups[i].Name, ago(s, v.ProvenAt), ago(s, v.At), string(v.Job), v.Why)
				}
			}
			return row(groups[i].Name, "never", "never", "", "")
		})
	})
}
