package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type jobStartCmd struct {
	Host        string   `required:"" help:"Host that runs it: name or ID."`
	Kind        string   `required:"" enum:"${kinds}" help:"restic's word for it, or locks: ${enum}."`
	Repository  string   `help:"Every kind but backup: name or ID."`
	SourceGroup string   `help:"backup: its name; every group of the host without one."`
	Snapshots   []string `placeholder:"ID" help:"forget, copy: whole IDs; find: where to look alone; tag, rewrite, repair: which."`
	From        string   `placeholder:"ID" help:"diff: a snapshot; init: the repository to cut files like, name or ID."`
	To          string   `placeholder:"ID" help:"diff: a snapshot; copy: the repository that the snapshots go to, name or ID."`
	Snapshot    string   `placeholder:"ID" help:"restore: which."`
	Path        []string `name:"path" sep:"none" help:"restore: what to bring back, as the snapshot names it; again for each."`
	Item        []string `sep:"none" placeholder:"ID:PATH" help:"restore: of several snapshots, in place of --snapshot; again for each."`
	Target      string   `placeholder:"DIR" help:"restore: a full path on the host; a new directory if not said."`
	Overwrite   string   `placeholder:"WHEN" help:"restore: never, if-newer, if-changed or always; never if not said."`
	DryRun      bool     `help:"restore, prune, rewrite, repair of snapshots: only say what would happen."`
	NoOwners    bool     `help:"restore: leave out owners; what comes belongs to whom its folder belongs to."`
	InPlace     bool     `help:"restore: each file to where it was, without --target."`
	Confirm     string   `placeholder:"NAME" help:"restore in place, or to the root of a file system: the host's name."`
	DryRunJob   string   `placeholder:"JOB" help:"restore, rewrite, repair: go by that dry run's job, and act only if it saw the same."`
	Pattern     string   `help:"find: of file names, as restic knows them."`
	IgnoreCase  bool     `help:"find, rewrite: in capitals or not."`
	ReadData    bool     `help:"check: read every pack; repair: believe nothing of the index."`
	Subset      string   `placeholder:"N/T" help:"check: the Nth of T slices of the packs."`
	WithCache   bool     `help:"check: from the host's cache: faster, and does not see damaged index, snapshots and trees."`
	All         bool     `help:"unlock: locks of live processes, too. Be sure that no restic works there."`
	Give        bool     `name:"give-repository" help:"The host does not have the repository, and gets its address and password for this job."`
	Files       int      `help:"drill: at most so many files of each source group; 20 if not said."`
	Bytes       int64    `help:"drill: at most so many bytes of each source group; 100 MiB if not said."`
	Seed        int64    `help:"drill: the seed of an earlier one, to take the same sample again."`
	Full        bool     `help:"drill: all of the newest snapshot of each source group instead of a sample."`
	Keep        bool     `help:"drill: what a full one restored to its target stays there."`
	Add         []string `placeholder:"TAG" help:"tag: tags that the snapshots get."`
	Remove      []string `placeholder:"TAG" help:"tag: tags that they lose."`
	Set         []string `placeholder:"TAG" help:"tag: all tags that they are to have, besides ours."`
	NoTags      bool     `help:"tag: they are to have none, besides ours."`
	Exclude     []string `sep:"none" placeholder:"PATTERN" help:"rewrite: of what is to go; again for each. Dry run first: --dry-run."`
	What        string   `placeholder:"WHAT" help:"repair: index, snapshots or packs. Of snapshots, dry run first: --dry-run."`
	Packs       []string `placeholder:"ID" help:"repair of packs: their whole IDs, as a check names them."`
	Anyway      bool     `help:"init: also in a directory that looks like a mount point without its disk."`
	database
}

// Run asks for a job in the database, as the API does. A control plane that runs
// beside it sends it to its host; without one, it waits until one runs.
func (c *jobStartCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		host, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		items, err := itemsOf(c.Item)
		if err != nil {
			return err
		}
		q := jobs.Request{Host: host.ID, Kind: topics.JobKind(c.Kind), SourceGroup: c.SourceGroup, Give: c.Give, Confirm: c.Confirm,
			DryRunJob: topics.JobID(c.DryRunJob)}
		q.Operation = topics.Operation{
			Items:      items,
			NoOwners:   c.NoOwners,
			InPlace:    c.InPlace,
			Snapshots:  c.Snapshots,
			From:       c.From,
			To:         c.To,
			Snapshot:   c.Snapshot,
			Paths:      c.Path,
			Target:     c.Target,
			Overwrite:  c.Overwrite,
			DryRun:     c.DryRun,
			Pattern:    search.Pattern(c.Pattern),
			IgnoreCase: c.IgnoreCase,
			ReadData:   c.ReadData,
			Subset:     c.Subset,
			WithCache:  c.WithCache,
			All:        c.All,
			Anyway:     c.Anyway,
			Add:        c.Add,
			Remove:     c.Remove,
			Set:        c.Set,
			NoTags:     c.NoTags,
			Exclude:    c.Exclude,
			What:       c.What,
			Packs:      c.Packs,
		}
		q.Operation = q.Operation.WithDrill(q.Kind, topics.Drill{Files: c.Files, Bytes: c.Bytes, Seed: c.Seed, Full: c.Full, Keep: c.Keep})
		var r store.Repository
		if c.Repository != "" {
			if r, err = repositoryNamed(ctx, s, c.Repository); err != nil {
				return err
			}
			q.Repository = r.ID
		}
		for kind, second := range map[topics.JobKind]*string{topics.CopyJob: &q.Operation.To, topics.InitJob: &q.Operation.From} {
			if q.Kind == kind && *second != "" {
				other, err := repositoryNamed(ctx, s, *second)
				if err != nil {
					return err
				}
				*second = string(other.ID)
			}
		}
		if q.Kind == topics.DrillJob {
			return startDrill(ctx, s, q, false)
		}
		j, fresh, err := engine(s).Start(ctx, jobs.Actor{Name: actor, Role: store.Admin}, q)
		if err != nil {
			return err
		}
		if jobs.Maintains(q.Kind) && r.Keeper == "" {
			say(os.Stderr, "The repository has no keeper: what may delete lives on %s now.", host.Name)
		}
		if !fresh {
			say(os.Stderr, "The same was asked for already; it is %s.", j.State)
		}
		fmt.Println(j.ID)
		return nil
	})
}

// itemsOf reads what a restore brings back of several snapshots, each as ID:PATH, or ID for
// all of one.
func itemsOf(texts []string) (items []topics.Item, err error) {
	for _, text := range texts {
		id, path, some := strings.Cut(text, ":")
		if id == "" || some && path == "" {
			return nil, fmt.Errorf("--item %s: write SNAPSHOT:PATH, or SNAPSHOT for all of it", text)
		}
		item := topics.Item{Snapshot: id}
		if some {
			item.Paths = []string{path}
		}
		items = append(items, item)
	}
	return items, nil
}

// engine is the jobs engine that pages and API use, on the database alone: a control
// plane that runs beside us sends what was asked for.
func engine(s *store.Store) *jobs.Engine {
	s.OnEnded(schedule.Ended) // a job that waits and is cancelled ends here and now
	return jobs.New(jobs.Config{Store: s, Hub: jobs.NewHub(), Log: slog.New(slog.DiscardHandler), Timing: jobs.DefaultTiming(), Now: time.Now})
}

type jobListCmd struct {
	Host  string `help:"Only of this host: name or ID."`
	Kind  string `help:"Only of this kind."`
	Limit int    `default:"50" help:"How many at most."`
	database
}

func (c *jobListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		hosts, err := s.Hosts(ctx)
		if err != nil {
			return err
		}
		names := map[topics.HostID]string{}
		for _, h := range hosts {
			names[h.ID] = h.Name
		}
		f := store.JobFilter{Kind: topics.JobKind(c.Kind)}
		if c.Host != "" {
			h, err := hostNamed(ctx, s, c.Host)
			if err != nil {
				return err
			}
			f.Search = &store.JobSearch{Hosts: []topics.HostID{h.ID}}
		}
		rows, err := s.JobList(ctx, f, "", min(max(c.Limit, 1), 1000))
		if err != nil {
			return err
		}
		return columns("ID\tHOST\tKIND\tSTATE\tASKED\tBY\tDID", len(rows), func(i int) string {
			j := rows[i]
			return row(string(j.ID), names[j.Host], kindOf(j), string(j.State), ago(s, j.QueuedAt), j.RequestedBy, outcome.Of(j).Text)
		})
	})
}

// kindOf is a job's kind, and whether it only says what would happen.
func kindOf(j store.Job) string {
	if outcome.Of(j).DryRun {
		return string(j.Kind) + ", dry run"
	}
	return string(j.Kind)
}

type jobArg struct {
	ID string `arg:"" help:"The job's ID, as the pages and the API show it, or a beginning of it that no other job's has."`
	database
}

func (c *jobArg) job(ctx context.Context, s *store.Store) (store.Job, error) {
	return jobNamed(ctx, s, c.ID, c.Data)
}

type jobShowCmd struct{ jobArg }

func (c *jobShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		j, err := c.job(ctx, s)
		if err != nil {
			return err
		}
		host, err := s.Host(ctx, j.Host)
		if err != nil {
			return err
		}
		lines := [][2]string{
			{"Job", string(j.ID)},
			{"Kind", kindOf(j)},
			{"Host", host.Name},
			{"State", string(j.State)},
			{"Asked for", ago(s, j.QueuedAt) + " by " + j.RequestedBy},
		}
		add := func(name, text string) {
			if text != "" {
				lines = append(lines, [2]string{name, text})
			}
		}
		if j.FinishedAt > 0 {
			add("Ended", ago(s, j.FinishedAt))
		}
		add("Did", outcome.Of(j).Text)
		add("Snapshot", j.SnapshotID)
		if j.State.Ended() && j.State != topics.Succeeded {
			e := jobs.ExplainJob(j)
			add("Why", e.Cause)
			add("Effect", e.Effect)
			add("What to do", strings.Join(e.Texts(), " "))
			add("Evidence", j.Message)
		}
		if j.Operation.V != nil {
			add("Operation", compact(j.Operation.V))
		}
		if j.Summary.V != nil {
			add("Summary", compact(j.Summary.V))
		}
		if j.Result.V != nil {
			add("Result", compact(j.Result.V))
		}
		return columns("", len(lines), func(i int) string { return row(lines[i][0], lines[i][1]) })
	})
}

func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

type jobLogCmd struct{ jobArg }

func (c *jobLogCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		j, err := c.job(ctx, s)
		if err != nil {
			return err
		}
		for after := 0; ; {
			rows, err := s.Log(ctx, j.ID, after, 1000)
			if err != nil {
				return err
			}
			for _, e := range rows {
				after = e.Last()
				if e.GapTo > 0 {
					say(os.Stdout, "%d-%d  not kept: %s", e.N, e.GapTo, e.Text)
				} else {
					say(os.Stdout, "%d  %s  %-5s  %s", e.N, moment(e.At, ""), e.Level, e.Text)
				}
			}
			if len(rows) < 1000 {
				return nil
			}
		}
	})
}
