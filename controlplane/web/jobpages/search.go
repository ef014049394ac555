package jobpages

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// recentSearches are listed below the form.
const recentSearches = 10

// SearchPage is the form that looks for files.
func (s *Pages) SearchPage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	return s.showSearch(w, r, http.StatusOK, views.Search{Repository: q.Get("repository"), Host: q.Get("host"), Pattern: q.Get("pattern"),
		IgnoreCase: q.Get("ignore_case") != ""})
}

func (s *Pages) showSearch(w http.ResponseWriter, r *http.Request, status int, v views.Search) error {
	ctx := r.Context()
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	var first []topics.RepositoryID
	if v.Host != "" {
		if first, err = s.Store.RepositoriesWithSnapshots(ctx, topics.HostID(v.Host)); err != nil {
			return err
		}
	}
	list, err := s.Store.Repositories(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(list, func(a, b store.Repository) int {
		rank := func(r store.Repository) int {
			if slices.Contains(first, r.ID) {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	for _, r := range list {
		v.Repositories = append(v.Repositories, views.Option{Value: string(r.ID), Text: r.Name})
	}
	for _, h := range m.ByName() {
		v.Hosts = append(v.Hosts, views.Option{Value: string(h.ID), Text: h.Name})
	}
	recent, err := s.Store.JobList(ctx, store.JobFilter{Kind: topics.FindJob}, "", recentSearches)
	if err != nil {
		return err
	}
	for _, j := range recent {
		row := s.JobRow(j, nil)
		if j.Operation.V != nil {
			row.Group = j.Operation.V.Pattern
		}
		v.Recent = append(v.Recent, row)
	}
	s.Render(w, r, status, views.SearchPage(s.Shell(r, "Find files", "jobs", views.Link{Text: "Find files"}), v))
	return nil
}

// desk turns what a page asks for into jobs.
func (s *Pages) desk() search.Desk {
	return search.Desk{Store: s.Store, Online: func(id topics.HostID) bool {
		c, _ := s.Presence.Connection(id)
		return c == hosts.Online
	}}
}

// Search takes the form, and leads to the job that looks.
func (s *Pages) Search(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := r.PostForm
	in := search.Input{Repository: topics.RepositoryID(f.Get("repository")), Host: topics.HostID(f.Get("host")), Pattern: f.Get("pattern"),
		IgnoreCase: f.Get("ignore_case") != "", Snapshots: strings.Fields(f.Get("snapshots"))}
	q, err := s.desk().Request(r.Context(), in)
	var wrong field.Errors
	switch {
	case errors.As(err, &wrong):
		return s.showSearch(w, r, http.StatusUnprocessableEntity, views.Search{Repository: string(in.Repository), Host: string(in.Host),
			Pattern: in.Pattern, IgnoreCase: in.IgnoreCase, Problems: wrong})
	case errors.Is(err, store.ErrNotFound):
		return problem.Of(jobs.ErrNoRepository)
	case err != nil:
		return err
	}
	return s.begin(w, r, q)
}

func (s *Pages) begin(w http.ResponseWriter, r *http.Request, q jobs.Request) error {
	q.Give = r.PostForm.Get("give") != ""
	j, _, err := s.Jobs.Start(r.Context(), session.Of(r.Context()).Actor(), q)
	if err != nil {
		return err
	}
	layout.Redirect(w, r, views.JobURL(string(j.ID)))
	return nil
}

// Compare takes the button that compares a snapshot with the one before of its source
// group, and leads to the job that does.
func (s *Pages) Compare(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, f := r.Context(), r.PostForm
	n, err := s.Store.SnapshotByID(ctx, topics.RepositoryID(f.Get("repository")), f.Get("snapshot"))
	if err != nil {
		return err
	}
	before, err := s.Store.PreviousSnapshot(ctx, n)
	if err != nil {
		return err
	}
	if before == "" {
		return &problem.Problem{Kind: problem.Conflict, Title: "There is nothing to compare it with",
			Say: "No older snapshot of the same source group is there.", Do: "Compare two snapshots on the page of the host’s operations."}
	}
	on, err := s.runnerOf(ctx, n)
	if err != nil {
		return err
	}
	return s.begin(w, r, jobs.Request{Host: on, Kind: topics.DiffJob, Repository: n.Repository,
		Operation: topics.Operation{From: before, To: n.ID}})
}

// runnerOf is the host that looks at a snapshot.
func (s *Pages) runnerOf(ctx context.Context, n store.Snapshot) (topics.HostID, error) {
	q, err := s.desk().Request(ctx, search.Input{Repository: n.Repository, Host: n.Host, Snapshots: []string{n.ID}, Pattern: "x"})
	return q.Host, err
}
