package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type findCmd struct {
	Host       string   `arg:"" help:"Whose snapshots: a host's name or ID."`
	Pattern    string   `arg:"" help:"A name, or a pattern such as *.txt; with a slash in it, of the end of a path."`
	Repository string   `env:"-" help:"Name or ID; every one that the host has snapshots in without it."`
	Snapshot   []string `env:"-" placeholder:"ID" help:"Only in this snapshot; again for each."`
	IgnoreCase bool     `short:"i" env:"-" help:"In capitals or not."`
	On         string   `env:"-" placeholder:"HOST" help:"Which host looks; one that has the repository if not said."`
	Wait       bool     `env:"-" help:"Print what is found as it is found, until the end: path, snapshot, size, time."`
	database
}

// Run asks for one search in each repository and prints their IDs, or what they find.
func (c *findCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		host, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		in := search.Input{Host: host.ID, Pattern: c.Pattern, IgnoreCase: c.IgnoreCase, Snapshots: c.Snapshot}
		if c.On != "" {
			on, err := hostNamed(ctx, s, c.On)
			if err != nil {
				return err
			}
			in.On = on.ID
		}
		repositories, err := s.RepositoriesWithSnapshots(ctx, host.ID)
		if c.Repository != "" {
			var r store.Repository
			if r, err = repositoryNamed(ctx, s, c.Repository); err == nil {
				repositories = []topics.RepositoryID{r.ID}
			}
		}
		if err != nil {
			return err
		}
		if len(repositories) == 0 {
			return fmt.Errorf("%s has no snapshot yet", host.Name)
		}
		var asked []store.Job
		for _, r := range repositories {
			in.Repository = r
			q, err := search.Desk{Store: s}.Request(ctx, in)
			if err != nil {
				return err
			}
			j, _, err := engine(s).Start(ctx, jobs.Actor{Name: actor, Role: store.Admin}, q)
			if err != nil {
				return err
			}
			asked = append(asked, j)
			if !c.Wait {
				fmt.Println(j.ID)
			}
		}
		for _, j := range asked {
			if c.Wait {
				if err := printFound(ctx, s, j.ID); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// printFound prints what a search finds, as it is found, and returns an error if it did not
// end well.
func printFound(ctx context.Context, s *store.Store, id topics.JobID) error {
	for shown := 0; ; {
		j, err := s.Job(ctx, id)
		if err != nil {
			return err
		}
		all, err := search.Matches(ctx, s, id)
		if err != nil {
			return err
		}
		for _, m := range all[min(shown, len(all)):] {
			fmt.Println(row(m.Path, m.Snapshot, fmt.Sprint(m.Size), moment(m.ModTime, "-")))
		}
		shown = max(shown, len(all))
		switch {
		case j.State.Ended() && j.State != topics.Succeeded:
			return fmt.Errorf("the search %s is %s: %s", j.ID, j.State, jobs.ExplainJob(j).Cause)
		case j.State.Ended():
			if j.Result.V != nil && j.Result.V.Truncated {
				say(os.Stderr, "There was more than is kept; a narrower pattern shows the rest.")
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
