package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

type restoreCmd struct {
	From       string   `arg:"" placeholder:"HOST[:SNAPSHOT]" help:"Whose files: the host's name or ID, and a snapshot; without, its newest."`
	Path       []string `arg:"" optional:"" help:"What to bring back: /etc/hosts, or C:\\Data of a Windows host; all of it if not said."`
	To         string   `placeholder:"HOST:DIR" help:"Where to: another host, or its own; a full path there, a new directory without one."`
	Item       []string `sep:"none" placeholder:"ID:PATH" help:"Bring back this of a further snapshot of the repository, too; again for each."`
	Repository string   `help:"Name or ID, where the snapshots of several are meant."`
	DryRun     bool     `help:"Only say what would happen."`
	Overwrite  string   `placeholder:"WHEN" help:"What happens to files there: never, if-newer, if-changed or always; never if not said."`
	NoOwners   bool     `help:"Leave out owners; what comes belongs to whom its directory belongs to."`
	InPlace    bool     `help:"Each file to where it was, without a directory in --to."`
	Confirm    string   `placeholder:"NAME" help:"The host's name, for a restore in place or to the root of a file system."`
	DryRunJob  string   `placeholder:"JOB" help:"Write only if what is there now is what that dry run's job saw."`
	Reason     string   `help:"Why, for the audit log; at most 200 bytes."`
	Give       bool     `name:"give-repository" help:"The host does not have the repository, and gets its address and password for this job."`
	Wait       bool     `help:"Wait for the end, and say what came. Exit status 0, 4 with warnings, 1 if it failed."`
	database
}

// Run asks for a restore as the pages and the API do, and prints the job's ID.
func (c *restoreCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		from, snapshot, _ := strings.Cut(c.From, ":")
		host, err := hostNamed(ctx, s, from)
		if err != nil {
			return err
		}
		n, err := c.snapshot(ctx, s, host, snapshot)
		if err != nil {
			return err
		}
		to, target, err := c.to(ctx, s, host)
		if err != nil {
			return err
		}
		further, err := itemsOf(c.Item)
		if err != nil {
			return err
		}
		e := engine(s)
		j, fresh, err := e.Start(ctx, jobs.Actor{Name: actor, Role: store.Admin}, jobs.Request{
			Host:       to.ID,
			Kind:       topics.RestoreJob,
			Repository: n.Repository,
			Give:       c.Give,
			Confirm:    c.Confirm,
			DryRunJob:  topics.JobID(c.DryRunJob),
			Reason:     c.Reason,
			Operation: topics.Operation{
				Items:     append([]topics.Item{{Snapshot: n.ID, Paths: c.Path}}, further...),
				Target:    target,
				Overwrite: c.Overwrite,
				NoOwners:  c.NoOwners,
				InPlace:   c.InPlace,
				DryRun:    c.DryRun,
			},
		})
		if err != nil {
			return err
		}
		if !fresh {
			say(os.Stderr, "The same was asked for already; it is %s.", j.State)
		}
		if text := restores.Warnings(to, *j.Operation.V); text != "" {
			say(os.Stderr, "%s", text)
		}
		fmt.Println(j.ID)
		if !c.Wait {
			return nil
		}
		return follow(ctx, s, j.ID)
	})
}

// to reads which host the files go to, and into which directory there; "" is a new one.
func (c *restoreCmd) to(ctx context.Context, s *store.Store, own store.Host) (h store.Host, dir string, err error) {
	name, dir, both := strings.Cut(c.To, ":")
	switch {
	case c.To == "":
		return own, "", nil
	case strings.HasPrefix(c.To, "/") || both && len(name) == 1 && (strings.HasPrefix(dir, `\`) || strings.HasPrefix(dir, "/")):
		return own, c.To, nil // a path alone, as on Windows C:\Data
	}
	h, err = hostNamed(ctx, s, name)
	return h, dir, err
}

// snapshot finds a host's snapshot by the beginning of its ID, or its newest: of those that
// hold all of the paths, if any does.
func (c *restoreCmd) snapshot(ctx context.Context, s *store.Store, h store.Host, id string) (n store.Snapshot, err error) {
	var only topics.RepositoryID
	if c.Repository != "" {
		r, err := repositoryNamed(ctx, s, c.Repository)
		if err != nil {
			return n, err
		}
		only = r.ID
	}
	if id != "" && id != "latest" {
		rows, err := s.Repositories(ctx)
		if err != nil {
			return n, err
		}
		var found []store.Snapshot
		for _, r := range rows {
			n, err := s.SnapshotByID(ctx, r.ID, id)
			if errors.Is(err, store.ErrNotFound) || only != "" && r.ID != only {
				continue
			} else if err != nil {
				return n, err
			}
			found = append(found, n)
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return n, fmt.Errorf("snapshot %s is in several repositories; say which with --repository", id)
		}
		return n, fmt.Errorf("no repository holds one snapshot, and one alone, whose ID begins with %s", id)
	}
	rows, err := s.Snapshots(ctx, h.ID, 1000)
	if err != nil {
		return n, err
	}
	rows = slices.DeleteFunc(rows, func(n store.Snapshot) bool { return only != "" && n.Repository != only })
	if len(rows) == 0 {
		return n, fmt.Errorf("no snapshot of %s is known", h.Name)
	}
	for _, n := range rows {
		if holds(n, c.Path) {
			return n, nil
		}
	}
	return rows[0], nil
}

// holds reports whether all paths are below what a snapshot was made of.
func holds(n store.Snapshot, paths []string) bool {
	return !slices.ContainsFunc(paths, func(p string) bool {
		p = restores.InSnapshot(p, n.Paths)
		return !slices.ContainsFunc(n.Paths, func(source string) bool {
			source = strings.TrimSuffix(restores.InSnapshot(source, nil), "/")
			return strings.HasPrefix(strings.ToLower(p)+"/", strings.ToLower(source)+"/")
		})
	})
}

// An endedError is how a job that was waited for ended, if not well.
type endedError struct {
	state topics.JobState
	text  string
}

// Error implements error.
func (e *endedError) Error() string { return e.text }

// ExitCode is the program's exit status.
func (e *endedError) ExitCode() int {
	if e.state == topics.Warnings {
		return 4
	}
	return 1
}

// follow prints a job's log and state as they come, and at the end what it did. It returns
// an *endedError unless the job succeeded.
func follow(ctx context.Context, s *store.Store, id topics.JobID) error {
	var state topics.JobState
	after := 0
	look := time.NewTicker(500 * time.Millisecond)
	defer look.Stop()
	for {
		j, err := s.Job(ctx, id)
		if err != nil {
			return err
		}
		rows, err := s.Log(ctx, id, after, 1000)
		if err != nil {
			return err
		}
		if j.State != state {
			state = j.State
			say(os.Stderr, "%s", state)
		}
		for _, e := range rows {
			if after = e.Last(); e.GapTo == 0 {
				say(os.Stderr, "%s", e.Text)
			}
		}
		if j.State.Ended() && len(rows) == 0 {
			return came(ctx, s, j)
		}
		if len(rows) == 1000 {
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no longer waiting for job %s, which goes on: %w", id, ctx.Err())
		case <-look.C:
		}
	}
}

// came prints what came of a job.
func came(ctx context.Context, s *store.Store, j store.Job) error {
	if text := outcome.Of(j).Text; text != "" {
		say(os.Stderr, "%s.", text)
	}
	if r := j.Result.V; r != nil && r.Restore != nil {
		if r.Restore.Target != "" {
			say(os.Stderr, "The files are in %s.", words.Visible(r.Restore.Target))
		}
		parts, err := s.Reports(ctx, j.ID)
		if err != nil {
			return err
		}
		for _, p := range parts {
			for _, f := range p.Failures {
				say(os.Stderr, "not restored: %s: %s", words.Visible(f.Path), words.Visible(f.Why))
			}
		}
	}
	if j.State == topics.Succeeded {
		return nil
	}
	e := jobs.ExplainJob(j)
	text := fmt.Sprintf("job %s ended: %s. %s. %s", j.ID, j.State, e.Cause, e.Effect)
	return &endedError{j.State, strings.Join(append(append([]string{text}, e.Texts()...), j.Message), " ")}
}
