package jobpages

import (
	"context"
	"errors"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/plain"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// VersionsPage is one file or folder in all snapshots that have it, as a host answers. Why
// none did stands on the page; the search that goes on in its place is a click away.
func (s *Pages) VersionsPage(w http.ResponseWriter, r *http.Request) error {
	ctx, q := r.Context(), r.URL.Query()
	if q.Get("repository") == "" || q.Get("path") == "" {
		return s.versionsForm(w, r)
	}
	id, err := s.ChosenRepository(ctx, q.Get("repository"))
	if err != nil {
		return err
	}
	repository, err := s.Repository(ctx, id)
	if err != nil {
		return err
	}
	host, err := s.Chosen(ctx, q.Get("host"))
	if err != nil {
		return err
	}
	v := views.Versions{Repository: repository.Name, RepositoryID: string(repository.ID), HostID: string(host),
		Path: path.Clean("/" + search.PathOf(q.Get("path")))}
	if v.HostID != "" {
		h, err := s.Store.AnyHost(ctx, topics.HostID(v.HostID))
		if err != nil {
			return err
		}
		v.Host = h.Name
	}
	of, _ := views.Restorable(v.Path)
	rows, err := s.Queries.Versions(ctx, session.Of(ctx).Actor(), queries.VersionsQuery{Repository: repository.ID, Path: v.Path,
		Host: topics.HostID(v.HostID)})
	refused := new(queries.Refused)
	switch {
	case errors.As(err, &refused):
		v.Problem = &views.Note{Tone: "warn", Title: refused.Title, Text: strings.TrimSpace(refused.Say + " " + refused.Do)}
		if refused.Command != "" {
			v.Problem.Text += " " + refused.Command
		}
		if refused.Job != "" {
			v.Problem.Link = views.Link{Text: "What the search finds", URL: views.JobURL(string(refused.Job))}
		}
	case err != nil:
		return err
	}
	_, broken := views.Restorable(v.Path)
	folded := search.Folded(rows)
	for i, row := range folded {
		tick := "f" + strconv.FormatUint(row.Size, 10) + " " + views.PathCode(of)
		if broken || row.Type == "dir" {
			tick = "d " + views.PathCode(of)
		}
		v.Rows = append(v.Rows, views.VersionRow{FoundVersion: s.foundVersion(repository.ID, of, row), WholeID: row.Snapshot, Tick: tick})
		if i == 0 {
			if v.Commands, err = s.byHand(ctx, repository, row.Snapshot, of, row.Type == "file" && !broken); err != nil {
				return err
			}
		}
	}
	open, err := s.Store.Drafts().List(ctx, session.Of(ctx).UserID)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(open, func(d drafts.Draft) bool {
		return d.Repository == repository.ID && d.Body.V.Ran == ""
	}); i >= 0 {
		v.Draft = open[i].ID
		for n, row := range folded {
			v.Rows[n].Chosen = slices.ContainsFunc(row.Snapshots, func(id string) bool {
				_, in := open[i].Body.V.Covering(id, of)
				return in
			})
		}
	}
	sh := s.Shell(r, "Versions", "repositories", views.Link{Text: repository.Name, URL: views.RepositoryURL(v.RepositoryID)},
		views.Link{Text: "Versions"})
	s.Render(w, r, http.StatusOK, views.VersionsPage(sh, v))
	return nil
}

// versionsForm asks for what the address does not say.
func (s *Pages) versionsForm(w http.ResponseWriter, r *http.Request) error {
	ctx, q := r.Context(), r.URL.Query()
	v := views.VersionsForm{Repository: q.Get("repository"), Host: q.Get("host"), Path: q.Get("path")}
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
	if v.Repository != "" {
		first = append([]topics.RepositoryID{topics.RepositoryID(v.Repository)}, first...)
	}
	all, err := s.RepositoryChoice(ctx, first)
	if err != nil {
		return err
	}
	v.Repositories, v.ManyRepositories = layout.RepositoryOptions(all, func(r store.Repository) string { return r.Name })
	if v.ManyRepositories {
		at := max(slices.IndexFunc(all, func(r store.Repository) bool { return string(r.ID) == v.Repository }), 0)
		if v.Repository = ""; len(first) > 0 {
			v.Repository = all[at].Name
		}
	}
	for _, h := range m.Page(fleet.Filter{}, 0, views.MostRunners+1) {
		v.Hosts = append(v.Hosts, s.Runner(h))
	}
	if h := m.Host(topics.HostID(v.Host)); h != nil && len(v.Hosts) > views.MostRunners {
		v.Host = h.Name
	}
	const title = "Versions of a file"
	s.Render(w, r, http.StatusOK, views.VersionsFormPage(s.Shell(r, title, "restore", views.Link{Text: title}), v))
	return nil
}

// byHand are the commands that bring a path back with restic alone. None is shown if what
// the repository needs cannot be read; its page says that.
func (s *Pages) byHand(ctx context.Context, r store.Repository, snapshot, of string, file bool) (list []views.PlainCommand, err error) {
	access, err := s.Store.RepositoryAccess(ctx, r.ID)
	if errors.As(err, new(*store.UnreadableError)) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	from := plain.Repository{Address: r.Location, Flags: plain.Flags(access.Env, access.Files, r.Options.V)}
	if location.PerHost(r.Location) {
		n, err := s.Store.SnapshotByID(ctx, r.ID, snapshot)
		if err != nil {
			return nil, err
		}
		rows, err := s.Store.Places(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(rows, func(p places.Place) bool { return p.Host == n.Host && p.Name != "" })
		if i < 0 {
			return nil, nil
		}
		from.Address = location.Expand(from.Address, rows[i].Name)
	}
	commands := append([]plain.Command{from.Setup()}, from.Commands([]topics.Item{{Snapshot: snapshot, Paths: []string{of}}}, file)...)
	for i, c := range commands {
		list = append(list, views.PlainCommand{ID: "plain-" + strconv.Itoa(i), Title: c.Title, Text: c.Text, Sh: c.Sh, PowerShell: c.PowerShell})
	}
	return list, nil
}
