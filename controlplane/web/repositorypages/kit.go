package repositorypages

import (
	"errors"
	"net/http"

	"github.com/restic-manager/restic-manager/controlplane/kit"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/kits"
	"github.com/restic-manager/restic-manager/views"
)

// KitPage shows a repository's secrets, on purpose, to an administrator, and has
// that in the audit log before it does.
func (s *Pages) KitPage(w http.ResponseWriter, r *http.Request) error {
	id := base.Param(r, "id")
	return s.kit(w, r, kits.Of{Kind: kits.OfRepository, Subject: id}, views.RepositoryURL(id))
}

// HostKitPage shows those of all repositories in which a host has something.
func (s *Pages) HostKitPage(w http.ResponseWriter, r *http.Request) error {
	id := base.Param(r, "id")
	return s.kit(w, r, kits.Of{Kind: kits.OfHost, Subject: id}, views.HostURL(id))
}

// AllKitsPage shows those of all repositories.
func (s *Pages) AllKitsPage(w http.ResponseWriter, r *http.Request) error {
	return s.kit(w, r, kits.Of{Kind: kits.OfAll}, "")
}

func (s *Pages) kit(w http.ResponseWriter, r *http.Request, of kits.Of, url string) error {
	ctx, who := r.Context(), session.Of(r.Context())
	if r.Method == http.MethodHead {
		return nil
	}
	set, err := kit.Show(ctx, s.Store, who.Name, of)
	if errors.Is(err, store.ErrNotFound) {
		return &problem.Problem{
			Kind:  problem.NotFound,
			Title: "There is no such " + string(of.Kind),
			Say:   "It was never there, or it has been removed.",
			Do:    "Look for it in the list of all of them.",
		}
	} else if err != nil {
		return err
	}
	v := views.Kits{Of: set.Name, Many: of.Kind != kits.OfRepository, By: who.Name, Unread: set.Unread,
		Last: views.KitShown{At: s.When(set.Before.At), By: set.Before.Actor}}
	section, above := "repositories", layout.ToRepositories
	switch of.Kind {
	case kits.OfHost:
		v.Of, section, above = "the host "+set.Name, "fleet", layout.ToFleet
	case kits.OfAll:
		v.Of = "all repositories"
	}
	for _, k := range set.Kits {
		v.Kits = append(v.Kits, kitOf(k))
	}
	links := []views.Link{above}
	if url != "" {
		links = append(links, views.Link{Text: set.Name, URL: url})
	}
	shell := s.Shell(r, "Emergency kit of "+v.Of, section, append(links, views.Link{Text: "Emergency kit"})...)
	s.Render(w, r, http.StatusOK, views.KitPage(shell, v))
	return nil
}

func kitOf(k kit.Kit) views.Kit {
	v := views.Kit{Name: k.Name, Notes: k.Notes(), Exports: k.Exports(), PowerShell: k.PowerShell()}
	for _, x := range k.Variables {
		f := views.KitFact{Name: kitWords(x.Name)}
		if kit.Plain(x.Value.Reveal()) {
			f.Value = x.Value.Reveal()
		}
		v.Facts = append(v.Facts, f)
	}
	for _, x := range k.Steps() {
		v.Steps = append(v.Steps, views.KitStep(x))
	}
	return v
}

func kitWords(variable string) string {
	switch variable {
	case "RESTIC_REPOSITORY":
		return "URL"
	case "RESTIC_PASSWORD":
		return "Password"
	}
	return variable
}
