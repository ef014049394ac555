package repositorypages

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
)

// places fills in where each host finds a repository, unless all share one place, and
// whose policies keep their data from it.
func (s *Pages) places(ctx context.Context, v *views.Repository, r store.Repository) error {
	list, err := s.Repositories.Places(ctx, r.ID)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Host == "" {
			continue
		}
		row := views.PlaceRow{
			Host:    views.Link{Text: p.HostName, URL: views.HostURL(string(p.Host))},
			HostID:  string(p.Host),
			Address: p.Address,
			Ready:   s.When(p.ReadyAt),
			Wants:   p.Unfit,
			Named:   location.PerHost(r.Location) && !p.Ready(),
			Name:    p.Name,
			Beyond:  p.Beyond,
		}
		if p.MadeJob != "" {
			row.Made = views.Link{Text: "Job " + jobs.ShortID(ctx, s.Store, p.MadeJob), URL: views.JobURL(string(p.MadeJob))}
		}
		v.Places, v.Beyond = append(v.Places, row), v.Beyond || p.Beyond
	}
	pinned, err := s.Repositories.Pinned(ctx, r.ID)
	for _, p := range pinned {
		v.Pinned = append(v.Pinned, views.PinnedRow{Host: views.Link{Text: p.Name, URL: views.HostURL(string(p.Host))},
			Pins: cmp.Or(strings.Join(p.Pins, ", "), "no directory of its own yet"), Command: p.Command})
	}
	v.AllowAll = repositories.ForAll(pinned)
	return err
}

// SavePlace chooses what {host} in the address stands for at a host's place.
func (s *Pages) SavePlace(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	id := base.RepositoryID(r)
	if _, err := s.Repositories.NamePlace(r.Context(), session.Of(r.Context()).Name, id, r.PostForm.Get("host"),
		repositories.PlaceInput{Name: new(r.PostForm.Get("name"))}); err != nil {
		return problem.Of(err).With(problem.Link{Text: "Back to the repository", URL: views.RepositoryURL(string(id)) + "#places"})
	}
	layout.Redirect(w, r, views.RepositoryURL(string(id))+"#places")
	return nil
}
