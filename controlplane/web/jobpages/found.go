package jobpages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/difference"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// A part is what a page of a list was asked for.
type part struct {
	query string
	kind  string
	page  int
	own   bool // a page of its own, not the first rows on the job's
}

func partOf(r *http.Request) part {
	q := r.URL.Query()
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil {
		page = 1
	}
	return part{query: strings.TrimSpace(q.Get("q")), kind: q.Get("kind"), page: page, own: true}
}

// foundView is a page of what a search found so far.
func (s *Pages) foundView(ctx context.Context, j store.Job, p part) (views.Found, error) {
	f := views.Found{JobID: string(j.ID), Running: !j.State.Ended(), Query: p.query, Page: p.own}
	if o := j.Operation.V; o != nil {
		f.Pattern = o.Pattern
	}
	paths, matches, err := search.Found(ctx, s.Store, j, p.query)
	if err != nil {
		return f, err
	}
	f.Total, f.Matches = len(paths), matches
	if r := j.Result.V; r != nil {
		f.Cut = r.Truncated
	}
	var until int64
	if until, f.Gone = search.Kept(j, matches); until > 0 {
		f.Until = s.When(until)
	}
	if o := j.Operation.V; o != nil && f.Gone {
		of, err := search.Owner(ctx, s.Store, *o)
		if err != nil {
			return f, err
		}
		again := url.Values{"pattern": {o.Pattern}}
		if o.IgnoreCase {
			again.Set("ignore_case", "1")
		}
		f.AgainURL = views.SearchURL(string(j.Repository), string(of)) + "&" + again.Encode()
	}
	f.Paging = views.PagingBy(len(paths), p.page, views.FoundRows, "path", "paths",
		func(page int) string { return views.FoundURL(string(j.ID), p.query, page) })
	for _, path := range paths[f.Paging.From:f.Paging.To] {
		row := views.FoundPath{Path: path.Path, Type: path.Versions[0].Type,
			URL: views.VersionsURL(string(j.Repository), "", path.Path)}
		var of string
		of, row.Broken = views.Restorable(path.Path)
		for _, v := range path.Versions {
			row.Versions = append(row.Versions, s.foundVersion(j.Repository, of, v))
		}
		f.Rows = append(f.Rows, row)
	}
	return f, nil
}

// foundVersion is a version as a page shows it; of is the path that is restored.
func (s *Pages) foundVersion(repository topics.RepositoryID, of string, v search.Version) views.FoundVersion {
	out := views.FoundVersion{Snapshot: layout.Short(v.Snapshot), In: len(v.Snapshots),
		Restore: views.RestoreNewURL(string(repository), v.Snapshot, "", of)}
	if v.Time > 0 {
		out.At = s.When(v.Time)
	}
	if v.ModTime > 0 {
		out.Changed = s.When(v.ModTime)
	}
	if v.Type == "file" {
		out.Size = words.Bytes(v.Size)
	} else {
		out.Size = map[string]string{"dir": "folder", "symlink": "link"}[v.Type]
	}
	return out
}

// diffView is a page of what a diff found.
func (s *Pages) diffView(ctx context.Context, j store.Job, p part) (views.Diff, error) {
	d := views.Diff{JobID: string(j.ID), RepositoryID: string(j.Repository), Kind: p.kind, Query: p.query, Page: p.own}
	if o := j.Operation.V; o != nil {
		d.From, d.To = layout.Short(o.From), layout.Short(o.To)
	}
	parts, err := s.Store.Reports(ctx, j.ID)
	if err != nil {
		return d, err
	}
	var changes []topics.Change
	for _, r := range parts {
		changes = append(changes, r.Changes...)
	}
	if r := j.Result.V; r != nil {
		d.Cut, d.Gone = r.Truncated, len(changes) == 0 && r.Count > 0
	}
	v := difference.Of(changes, difference.Kind(p.kind), p.query, (max(p.page, 1)-1)*views.DiffRows, views.DiffRows)
	d.Found, d.Damaged = v.Found, v.Sum[difference.Damaged]
	url := func(kind string, page int) string { return views.DiffURL(d.JobID, kind, p.query, page) }
	d.Paging = views.PagingBy(v.Found, p.page, views.DiffRows, "change", "changes", func(page int) string { return url(p.kind, page) })
	d.Tabs = append(d.Tabs, views.Tab{Text: "All", Count: v.Sum.Total(), URL: url("", 1), Current: p.kind == ""})
	for _, k := range views.DiffKinds {
		if n := v.Sum[difference.Kind(k.Key)]; n > 0 || k.Key == p.kind {
			d.Tabs = append(d.Tabs, views.Tab{Text: k.Word, Icon: k.Icon, Count: n, URL: url(k.Key, 1), Current: p.kind == k.Key})
		}
	}
	for _, f := range v.Folders {
		row := views.DiffFolder{Path: f.Path, Total: f.Sum.Total()}
		var said []string
		for _, k := range views.DiffKinds {
			if n := f.Sum[difference.Kind(k.Key)]; n > 0 {
				said = append(said, words.Number(uint64(n))+" "+strings.ToLower(k.Word[:1])+k.Word[1:])
			}
		}
		row.Sum = strings.Join(said, ", ")
		for _, c := range f.Changes {
			row.Changes = append(row.Changes, views.DiffChange{Name: c.Name, Path: c.Path, Kind: views.DiffKindOf(string(c.Kind))})
		}
		d.Folders = append(d.Folders, row)
	}
	return d, nil
}

// FoundPage is everything that a search found, with a filter.
func (s *Pages) FoundPage(w http.ResponseWriter, r *http.Request) error {
	j, err := s.reported(r, topics.FindJob)
	if err != nil {
		return err
	}
	v, err := s.foundView(r.Context(), j, partOf(r))
	if err != nil {
		return err
	}
	sh := s.Shell(r, "Found: "+words.Visible(v.Pattern), "jobs", views.Link{Text: "Job", URL: views.JobURL(string(j.ID))},
		views.Link{Text: "Found"})
	s.Render(w, r, http.StatusOK, views.FoundPage(sh, v))
	return nil
}

// ChangesPage is everything that a diff found, with a filter.
func (s *Pages) ChangesPage(w http.ResponseWriter, r *http.Request) error {
	j, err := s.reported(r, topics.DiffJob)
	if err != nil {
		return err
	}
	v, err := s.diffView(r.Context(), j, partOf(r))
	if err != nil {
		return err
	}
	sh := s.Shell(r, fmt.Sprintf("From %s to %s", v.From, v.To), "jobs", views.Link{Text: "Job", URL: views.JobURL(string(j.ID))},
		views.Link{Text: "Changes"})
	s.Render(w, r, http.StatusOK, views.DiffPage(sh, v))
	return nil
}

// reported is the job of a page that is about jobs of one kind.
func (s *Pages) reported(r *http.Request, kind topics.JobKind) (store.Job, error) {
	j, err := s.Job(r.Context(), base.JobID(r))
	if err == nil && j.Kind != kind {
		err = problem.NoPage
	}
	return j, err
}

// mayName reports whether who looks may see names of files.
func (s *Pages) mayName(ctx context.Context) bool { return s.Lacks(ctx, rights.Find) == "" }
