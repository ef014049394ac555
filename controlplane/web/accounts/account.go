package accounts

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/controlplane/zone"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// sessionViews lists a user's sessions, with "" everybody's, except those to skip.
func (s *Accounts) sessionViews(ctx context.Context, user string, skip func(store.Session) bool) ([]views.Session, error) {
	list, err := s.Store.SessionList(ctx, user)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	users, err := s.Store.Users(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, u := range users {
		names[u.ID] = u.Name
	}
	var out []views.Session
	for _, n := range list {
		if skip == nil || !skip(n) {
			out = append(out, views.Session{ID: n.ID, User: names[n.User], Browser: n.Browser,
				Remote: n.Remote, Began: s.When(n.BeganAt), Seen: s.When(n.SeenAt),
				This: n.ID == session.Of(ctx).ID})
		}
	}
	return out, nil
}

func (s *Accounts) AccountPage(w http.ResponseWriter, r *http.Request) error {
	var a views.OwnAccount
	switch r.URL.Query().Get("changed") {
	case "":
	case "zone":
		a.Done = "The time zone is saved."
	default:
		a.Done = "The password is changed. You are signed out everywhere else."
	}
	return s.showAccount(w, r, http.StatusOK, a)
}

func (s *Accounts) showAccount(w http.ResponseWriter, r *http.Request, status int, a views.OwnAccount) (err error) {
	ctx, v := r.Context(), session.Of(r.Context())
	a.Name, a.Role = v.Name, string(v.Role)
	if a.Zone.Server = words.ZoneWords(s.Zone, s.Now()); a.Zone.Chosen == "" {
		if a.Zone.Chosen = v.Zone; v.Zone != zone.Browser && v.Zone != zone.Server {
			a.Zone.Chosen, a.Zone.Named = "named", v.Zone
		}
	}
	if a.Sessions, err = s.sessionViews(ctx, v.UserID, nil); err != nil {
		return err
	}
	if v.May(rights.People) {
		if a.Others, err = s.sessionViews(ctx, "", func(n store.Session) bool { return n.User == v.UserID }); err != nil {
			return err
		}
	}
	s.Render(w, r, status, views.AccountPage(s.Shell(r, "Your account", "", views.Link{Text: "Your account"}), a))
	return nil
}

// ChangePassword sets the visitor's own password. It asks for the old one, with the
// rate limit of signing in, since somebody else may sit at an open browser.
func (s *Accounts) ChangePassword(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, v := r.Context(), session.Of(r.Context())
	a := views.OwnAccount{Problem: "The password was not changed."}
	if wait := s.Sessions.Tries.Take(session.Network(r), v.Name); wait > 0 {
		a.OldError = slow(w, wait)
		return s.showAccount(w, r, http.StatusTooManyRequests, a)
	}
	u, err := s.user(ctx, v.UserID)
	if err != nil {
		return err
	}
	if ok, err := s.Sessions.Confirm(ctx, u, r.PostForm.Get("old")); err != nil {
		return err
	} else if !ok {
		a.OldError = "This is not your password."
	}
	secret := r.PostForm.Get("password")
	a.SecretError, a.AgainError = checkSecret(secret, r.PostForm.Get("again"))
	if a.OldError+a.SecretError+a.AgainError != "" {
		return s.showAccount(w, r, http.StatusUnprocessableEntity, a)
	}
	if u, _, err = s.People.Change(ctx, v.Maker(), u.ID, people.Input{Password: &secret}); err != nil {
		return err
	}
	if err := s.Sessions.Enter(w, r, u); err != nil {
		return err
	}
	http.Redirect(w, r, "/account?changed=1", http.StatusSeeOther)
	return nil
}

// ChangeZone sets in which zone the visitor sees moments.
func (s *Accounts) ChangeZone(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	v, chosen, named := session.Of(r.Context()), r.PostForm.Get("zone"), r.PostForm.Get("named")
	setting := chosen
	if chosen == "named" {
		setting = named
	}
	_, _, err := s.People.Change(r.Context(), v.Maker(), v.UserID, people.Input{Zone: &setting})
	var wrong field.Errors
	if errors.As(err, &wrong) {
		return s.showAccount(w, r, http.StatusUnprocessableEntity, views.OwnAccount{Problem: "The time zone was not changed.",
			Zone: views.ZoneSetting{Chosen: chosen, Named: named, Error: wrong["zone"]}})
	} else if err != nil {
		return err
	}
	http.Redirect(w, r, "/account?changed=zone", http.StatusSeeOther)
	return nil
}

func (s *Accounts) SignOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	v := session.Of(r.Context())
	if err := s.People.SignOut(r.Context(), v.Name, v.UserID); err != nil {
		return err
	}
	return s.signedOut(w, r)
}

func (s *Accounts) EndOneSession(w http.ResponseWriter, r *http.Request) error {
	id := base.Param(r, "id")
	if err := s.EndSession(r.Context(), id); err != nil {
		return err
	}
	if id == session.Of(r.Context()).ID {
		w.Header().Del("Set-Cookie")
		layout.Redirect(w, r, "/login")
		return nil
	}
	layout.Redirect(w, r, backTo(r, "/account"))
	return nil
}

// backTo returns the page from which htmx sent a form, if it is known.
func backTo(r *http.Request, otherwise string) string {
	u, err := url.Parse(r.Header.Get("HX-Current-URL"))
	if err != nil || base.SamePlace(u.RequestURI()) == "" || u.Path == "" {
		return otherwise
	}
	return u.RequestURI()
}

func (s *Accounts) PasswordForm(w http.ResponseWriter, r *http.Request) error {
	key := r.URL.Query().Get("key")
	u, err := s.People.LinkUser(r.Context(), key)
	if err != nil {
		return err
	}
	s.showPasswordForm(w, r, http.StatusOK, views.PasswordForm{Name: u.Name, Key: key})
	return nil
}

func (s *Accounts) showPasswordForm(w http.ResponseWriter, r *http.Request, status int, f views.PasswordForm) {
	s.Render(w, r, status, views.PasswordPage(s.Shell(r, "Choose a password", ""), f))
}

// SetByLink sets the password of the user a link belongs to, and signs them in.
func (s *Accounts) SetByLink(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := views.PasswordForm{Key: r.PostForm.Get("key")}
	u, err := s.People.LinkUser(r.Context(), f.Key)
	if err != nil {
		return err
	}
	f.Name = u.Name
	secret := r.PostForm.Get("password")
	if f.SecretError, f.AgainError = checkSecret(secret, r.PostForm.Get("again")); f.SecretError+f.AgainError != "" {
		f.Problem = "The password was not set."
		s.showPasswordForm(w, r, http.StatusUnprocessableEntity, f)
		return nil
	}
	if u, err = s.People.UseLink(r.Context(), f.Key, secret); err != nil {
		return err
	}
	if err := s.Sessions.Enter(w, r, u); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
