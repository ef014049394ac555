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
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// KitPage shows a repository's secrets, on purpose, to an administrator, and has
// that in the audit log before it does.
func (s *Pages) KitPage(w http.ResponseWriter, r *http.Request) error {
	ctx, who := r.Context(), session.Of(r.Context())
	if r.Method == http.MethodHead {
		return nil
	}
	k, err := kit.Of(ctx, s.Store, who.Name, topics.RepositoryID(base.Param(r, "id")))
	if errors.Is(err, store.ErrNotFound) {
		return &problem.Problem{
			Kind:  problem.NotFound,
			Title: "There is no such repository",
			Say:   "It was never there, or it has been removed.",
			Do:    "Look for it in the list of repositories.",
		}
	} else if err != nil {
		return err
	}
	v := views.Kit{Name: k.Name, Notes: k.Notes(), Exports: k.Exports(), PowerShell: k.PowerShell(), By: who.Name}
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
	s.Render(
		w,
		r,
		http.StatusOK,
		views.KitPage(
			s.Shell(
				r,
				"Emergency kit of "+k.Name,
				"repositories",
				layout.ToRepositories,
				views.Link{Text: k.Name, URL: views.RepositoryURL(base.Param(r, "id"))},
				views.Link{Text: "Emergency kit"},
			),
			v,
		),
	)
	return nil
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
