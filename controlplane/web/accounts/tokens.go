package accounts

import (
	"errors"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
)

func (s *Accounts) NewTokenForm(w http.ResponseWriter, r *http.Request) error {
	return s.newTokenPage(w, r, http.StatusOK, views.NewToken{Role: string(store.Viewer), Days: "365"})
}

func (s *Accounts) newTokenPage(w http.ResponseWriter, r *http.Request, status int, f views.NewToken) error {
	s.Render(w, r, status, views.NewTokenPage(s.Shell(r, "New API token", "users", toUsers, views.Link{Text: "New API token"}), f))
	return nil
}

// NewToken creates an API token and shows its key, which cannot be shown again.
func (s *Accounts) NewToken(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := views.NewToken{Name: strings.TrimSpace(r.PostForm.Get("name")), Role: r.PostForm.Get("role"), Days: r.PostForm.Get("days")}
	role := store.Role(f.Role)
	in := people.TokenInput{Name: &f.Name, Role: &role, Life: new(people.ParseDays(f.Days))}
	t, key, err := s.People.AddToken(r.Context(), session.Of(r.Context()).Maker(), in)
	var fields field.Errors
	if errors.As(err, &fields) {
		f.NameError, f.Problem = fields["name"], layout.Besides("No token was made.", fields, "name")
		return s.newTokenPage(w, r, http.StatusUnprocessableEntity, f)
	} else if err != nil {
		return err
	}
	f.Key, f.Until = key, s.until(r.Context(), t.ExpiresAt)
	return s.newTokenPage(w, r, http.StatusOK, f)
}

func (s *Accounts) RevokeToken(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.People.RevokeToken(r.Context(), session.Of(r.Context()).Name, base.Param(r, "id")); err != nil {
		return err
	}
	layout.Redirect(w, r, "/users")
	return nil
}
