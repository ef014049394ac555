package jobpages

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// RunOnRepository asks the chosen host for an operation on a repository.
func (s *Pages) RunOnRepository(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, id := r.Context(), base.RepositoryID(r)
	row, err := s.Repository(ctx, id)
	if err != nil {
		return err
	}
	host, err := s.Chosen(ctx, r.PostForm.Get("host"))
	if err != nil {
		return err
	}
	q := jobs.Request{Host: host, Kind: topics.JobKind(r.PostForm.Get("kind")), Repository: id}
	q.Operation = operationOf(q.Kind, r.PostForm)
	if err := session.Of(ctx).Actor().Lacks(rights.Of(rights.Job{Kind: q.Kind, Operation: q.Operation})); err != nil {
		return err
	}
	if q.Operation.All && r.PostForm.Get("confirm") != row.Name {
		return layout.NotConfirmed(row)
	}
	for i, text := range q.Operation.Snapshots {
		n, err := s.Store.SnapshotByID(ctx, id, text)
		if errors.Is(err, store.ErrNotFound) {
			return &problem.Problem{Kind: problem.Invalid, Title: "There is no such snapshot",
				Say: "This repository holds none, or more than one, whose ID begins with " + text + ".",
				Do:  "Nothing was removed. Correct it and ask again."}
		} else if err != nil {
			return err
		}
		q.Operation.Snapshots[i] = n.ID
	}
	if q.Host == "" {
		if q.Host, err = s.Repositories.Host(ctx, row); err != nil {
			return err
		}
	}
	return s.start(w, r, q)
}

// RunOnHost asks a host for an operation. Its snapshots name their repository before
// a slash.
func (s *Pages) RunOnHost(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	repository, err := s.ChosenRepository(r.Context(), r.PostForm.Get("repository"))
	if err != nil {
		return err
	}
	q := jobs.Request{
		Host:       base.HostID(r),
		Kind:       topics.JobKind(base.Param(r, "kind")),
		Repository: repository,
	}
	if jobs.Maintains(q.Kind) {
		return problem.NoPage // on the repository's page, with its warnings
	}
	q.Operation = operationOf(q.Kind, r.PostForm)
	for _, field := range []*string{&q.Operation.Snapshot, &q.Operation.From, &q.Operation.To} {
		repository, snapshot, ok := strings.Cut(*field, "/")
		if !ok {
			continue
		}
		if q.Repository != "" && q.Repository != topics.RepositoryID(repository) {
			return &problem.Problem{Kind: problem.Invalid, Title: "These snapshots are of two repositories",
				Say: "restic compares snapshots of one repository.", Do: "Choose two of the same."}
		}
		q.Repository, *field = topics.RepositoryID(repository), snapshot
	}
	return s.start(w, r, q)
}

// start asks for a job of any kind but backup, and shows it.
func (s *Pages) start(w http.ResponseWriter, r *http.Request, q jobs.Request) error {
	if q.Kind == topics.BackupJob {
		return problem.NoPage // on its host's page
	}
	q.Give = r.PostForm.Get(layout.Give) != ""
	if q.Kind == topics.RestoreJob {
		q.Confirm, q.DryRunJob = r.PostForm.Get("confirm"), topics.JobID(r.PostForm.Get("dry_run_job"))
	}
	j, _, err := s.Jobs.Start(r.Context(), session.Of(r.Context()).Actor(), q)
	if err != nil {
		return err
	}
	if r.PostForm.Get("stay") != "" {
		return s.Stay(w, r, views.RepositoryURL(string(q.Repository)))
	}
	layout.Redirect(w, r, views.JobURL(string(j.ID)))
	return nil
}

// operationOf reads what a form says of an operation of a kind.
func operationOf(kind topics.JobKind, f url.Values) topics.Operation {
	yes := func(name string) bool { return f.Get(name) != "" }
	switch kind {
	case topics.ForgetJob:
		return topics.Operation{Snapshots: strings.Fields(f.Get("snapshots"))}
	case topics.CopyJob:
		return topics.Operation{To: f.Get("to")}
	case topics.DiffJob:
		return topics.Operation{From: f.Get("from"), To: f.Get("to")}
	case topics.RestoreJob:
		return topics.Operation{
			Snapshot:  f.Get("snapshot"),
			Paths:     layout.Lines(f.Get("paths")),
			Target:    strings.TrimSpace(f.Get("target")),
			Overwrite: f.Get("overwrite"),
			DryRun:    yes("dry_run"),
			NoOwners:  yes("no_owners"),
			InPlace:   yes("in_place"),
		}
	case topics.FindJob:
		return topics.Operation{Pattern: search.Pattern(f.Get("pattern")), Snapshots: strings.Fields(f.Get("snapshots")),
			IgnoreCase: yes("ignore_case")}
	case topics.CheckJob:
		return topics.Operation{ReadData: yes("read_data"), Subset: strings.TrimSpace(f.Get("subset")), WithCache: yes("with_cache")}
	case topics.PruneJob:
		return topics.Operation{DryRun: yes("dry_run")}
	case topics.UnlockJob:
		return topics.Operation{All: yes("all")}
	case topics.InitJob:
		return topics.Operation{Anyway: yes("anyway")}
	}
	return topics.Operation{}
}
