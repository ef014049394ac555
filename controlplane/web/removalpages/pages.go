// Package removalpages holds the handlers of pages that rename, retire and remove
// hosts, source groups and repositories, and bring them back.
package removalpages

import (
	"errors"
	"net/http"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// Pages holds the handlers.
type Pages struct{ *layout.Page }

// New returns the handlers.
func New(p *layout.Page) *Pages { return &Pages{p} }

// RenameHost takes the form on a host's page.
func (s *Pages) RenameHost(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	return s.setHost(w, r, hosts.Input{Name: new(r.PostForm.Get("name"))})
}

// RetireHost takes the form on a host's page, for both ways.
func (s *Pages) RetireHost(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	return s.setHost(w, r, hosts.Input{Retired: new(r.PostForm.Get("on") == "true")})
}

// TagHost takes the form with a host's tags: what is typed there is all it has.
func (s *Pages) TagHost(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	return s.setHost(w, r, hosts.Input{Tags: new(hosts.TagsOf(r.PostForm.Get("tags")))})
}

func (s *Pages) setHost(w http.ResponseWriter, r *http.Request, in hosts.Input) error {
	if _, err := s.HostSettings.Put(r.Context(), session.Of(r.Context()).Name, base.HostID(r), in); err != nil {
		return layout.NotSavedHere("host", err)
	}
	layout.Redirect(w, r, views.HostURL(string(base.HostID(r))))
	return nil
}

// HostRemoval says what becomes of what belongs to a host.
func (s *Pages) HostRemoval(w http.ResponseWriter, r *http.Request) error {
	id := base.HostID(r)
	if _, err := s.Host(r.Context(), id); err != nil {
		return err
	}
	e, err := s.Removal.OfHost(r.Context(), id)
	if err != nil {
		return err
	}
	v := views.Removal{Kind: "host", Name: e.Name, URL: views.RemoveHostURL(string(id)), Back: views.HostURL(string(id)), Snapshots: true,
		Facts: ofHost(e)}
	if len(e.KeeperOf) > 0 {
		v.Refused = problem.Of(&removal.KeeperError{Host: e.Name, Repositories: e.KeeperOf}).Detail()
	}
	s.show(w, r, v, layout.ToFleet, views.Link{Text: e.Name, URL: v.Back})
	return nil
}

func (s *Pages) show(w http.ResponseWriter, r *http.Request, v views.Removal, crumbs ...views.Link) {
	title := "Remove " + v.Name
	current := "fleet"
	if v.Kind == "repository" {
		current = "repositories"
	}
	sh := s.Shell(r, title, current, append(crumbs, views.Link{Text: "Remove"})...)
	s.Render(w, r, http.StatusOK, views.RemovalPage(sh, v))
}

// RemoveHost removes a host and leads to where it can be brought back.
func (s *Pages) RemoveHost(w http.ResponseWriter, r *http.Request) error {
	in, err := inputOf(r)
	if err != nil {
		return err
	}
	if err := s.Removal.RemoveHost(r.Context(), session.Of(r.Context()).Name, base.HostID(r), in); err != nil {
		return layout.NotSavedHere("host", err)
	}
	layout.Redirect(w, r, views.RemovedURL)
	return nil
}

func inputOf(r *http.Request) (in removal.Input, err error) {
	if err := r.ParseForm(); err != nil {
		return in, layout.BadForm(err)
	}
	return removal.Input{Snapshots: r.PostForm.Get("snapshots"), Groups: r.PostForm.Get("groups")}, nil
}

// GroupRemoval says what becomes of what belongs to a source group.
func (s *Pages) GroupRemoval(w http.ResponseWriter, r *http.Request) error {
	h, err := s.Host(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	e, err := s.Removal.OfGroup(r.Context(), h.ID, base.Param(r, "name"))
	if err != nil {
		return err
	}
	host := string(h.ID)
	v := views.Removal{Kind: "source group", Name: e.Name, URL: views.RemoveGroupURL(host, e.Name), Back: views.HostURL(host), Snapshots: true,
		Facts: ofGroup(e)}
	s.show(w, r, v, layout.ToFleet, views.Link{Text: h.Name, URL: v.Back})
	return nil
}

// RemoveGroup removes a source group. Its host's page then offers to undo it.
func (s *Pages) RemoveGroup(w http.ResponseWriter, r *http.Request) error {
	in, err := inputOf(r)
	if err != nil {
		return err
	}
	host := base.HostID(r)
	if _, _, err := s.Removal.RemoveGroup(r.Context(), session.Of(r.Context()).Name, host, base.Param(r, "name"), in); err != nil {
		return layout.NotSavedHere("source group", err)
	}
	layout.Redirect(w, r, views.HostURL(string(host)))
	return nil
}

// RepositoryRemoval says what becomes of what belongs to a repository.
func (s *Pages) RepositoryRemoval(w http.ResponseWriter, r *http.Request) error {
	row, err := s.Repository(r.Context(), base.RepositoryID(r))
	if err != nil {
		return err
	}
	e, err := s.Removal.OfRepository(r.Context(), row.ID)
	if err != nil {
		return err
	}
	at := views.RepositoryURL(string(row.ID))
	v := views.Removal{Kind: "repository", Name: row.Name, URL: at + "/remove", Back: at, Typed: true, WithGroups: len(e.Groups) > 0,
		Facts: ofRepository(e)}
	if e.Running > 0 {
		v.Refused = problem.Of(&removal.InUseError{Jobs: e.Running + e.Queued}).Detail()
	}
	s.show(w, r, v, views.Link{Text: "Repositories", URL: "/repositories"}, views.Link{Text: row.Name, URL: at})
	return nil
}

// RemoveRepository removes a repository whose name was typed.
func (s *Pages) RemoveRepository(w http.ResponseWriter, r *http.Request) error {
	in, err := inputOf(r)
	if err != nil {
		return err
	}
	row, err := s.Repository(r.Context(), base.RepositoryID(r))
	if err != nil {
		return err
	}
	if r.PostForm.Get("confirm") != row.Name {
		return layout.NotConfirmed(row)
	}
	if err := s.Removal.RemoveRepository(r.Context(), session.Of(r.Context()).Name, row.ID, in); err != nil {
		return layout.NotSavedHere("repository", err)
	}
	layout.Redirect(w, r, views.RemovedURL)
	return nil
}

// shown is how many of each kind the list shows.
const shown = 200

// RemovedPage lists what can be brought back.
func (s *Pages) RemovedPage(w http.ResponseWriter, r *http.Request) error {
	return s.removedPage(w, r, http.StatusOK, "", "", "")
}

func (s *Pages) removedPage(w http.ResponseWriter, r *http.Request, status int, failed, as, why string) error {
	var rows []views.RemovedRow
	for _, kind := range []removal.Kind{removal.Host, removal.Repository} {
		list, err := s.Store.AllRemoved(r.Context(), kind, shown)
		if err != nil {
			return err
		}
		for _, x := range list {
			row := s.RemovedRow(x)
			if x.ID == failed {
				row.Problem, row.As = why, as
			}
			rows = append(rows, row)
		}
	}
	sh := s.Shell(r, "Removed", "fleet", layout.ToFleet, views.Link{Text: "Removed"})
	s.Render(w, r, status, views.RemovedPage(sh, rows))
	return nil
}

// RestoreHost brings a host back.
func (s *Pages) RestoreHost(w http.ResponseWriter, r *http.Request) error {
	return s.restore(w, r, removal.Host, "", string(base.HostID(r)), views.HostURL(string(base.HostID(r))))
}

// RestoreRepository brings a repository back.
func (s *Pages) RestoreRepository(w http.ResponseWriter, r *http.Request) error {
	id := string(base.RepositoryID(r))
	return s.restore(w, r, removal.Repository, "", id, views.RepositoryURL(id))
}

// RestoreGroup brings a source group back, by its ID.
func (s *Pages) RestoreGroup(w http.ResponseWriter, r *http.Request) error {
	host := base.HostID(r)
	return s.restore(w, r, removal.Group, host, base.Param(r, "name"), views.HostURL(string(host)))
}

func (s *Pages) restore(w http.ResponseWriter, r *http.Request, kind removal.Kind, host topics.HostID, id, to string) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx := r.Context()
	x, err := s.Removal.Find(ctx, kind, host, id)
	if err != nil {
		return err
	}
	var in removal.Back
	if r.PostForm.Has("name") {
		in.Name = new(r.PostForm.Get("name"))
	}
	_, err = s.Removal.Restore(ctx, session.Of(ctx).Name, x, in)
	var wrong field.Errors
	switch {
	case errors.As(err, &wrong) && kind != removal.Group:
		as := x.Name
		if in.Name != nil {
			as = *in.Name
		}
		return s.removedPage(w, r, http.StatusUnprocessableEntity, x.ID, as, wrong["name"])
	case err != nil:
		return layout.NotSavedHere("source group", err)
	}
	layout.Redirect(w, r, to)
	return nil
}
