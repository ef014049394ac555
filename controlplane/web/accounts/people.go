package accounts

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

func (s *Accounts) UsersPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	users, err := s.Store.Users(ctx)
	if err != nil {
		return err
	}
	tokens, err := s.Store.APITokens(ctx)
	if err != nil {
		return err
	}
	open, err := s.Store.SessionList(ctx, "")
	if err != nil {
		return err
	}
	count := map[string]int{}
	for _, n := range open {
		count[n.User]++
	}
	var v views.Users
	for _, row := range rights.Table() {
		v.Rights = append(v.Rights, views.RightRow{Text: row.Text, From: slices.Index(store.Roles, row.Least)})
	}
	for _, u := range users {
		a := s.account(ctx, u)
		if n := count[u.ID]; n > 0 {
			a.Sessions = words.Count(uint64(n), "session", "sessions")
		}
		v.Accounts = append(v.Accounts, a)
	}
	for _, t := range tokens {
		v.Tokens = append(
			v.Tokens,
			views.APIToken{ID: t.ID, Name: t.Name, Role: string(t.Role), Acts: string(t.Acts()), By: t.CreatedBy, Until: s.until(ctx, t.ExpiresAt),
				Expired: t.ExpiresAt != 0 && t.ExpiresAt <= s.Now().UnixMilli(), Soon: people.EndsSoon(t, s.Now()), Used: s.When(t.UsedAt)},
		)
	}
	s.Render(w, r, http.StatusOK, views.UsersPage(s.Shell(r, "Users", "users", views.Link{Text: "Users"}), v))
	return nil
}

func (s *Accounts) account(ctx context.Context, u store.User) views.Account {
	return views.Account{ID: u.ID, Name: u.Name, You: u.ID == session.Of(ctx).UserID, Role: string(u.Role), Disabled: u.DisabledAt != 0,
		Invited: u.PasswordHash == "", LastSeen: s.When(u.SeenAt)}
}

func (s *Accounts) NewUserForm(w http.ResponseWriter, r *http.Request) error {
	return s.newUserPage(w, r, http.StatusOK, views.NewUser{Role: string(store.Viewer)})
}

func (s *Accounts) newUserPage(w http.ResponseWriter, r *http.Request, status int, f views.NewUser) error {
	s.Render(w, r, status, views.NewUserPage(s.Shell(r, "Add user", "users", toUsers, views.Link{Text: "Add user"}), f))
	return nil
}

// NewUser adds a user without a password, and shows the link to set one.
func (s *Accounts) NewUser(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := views.NewUser{Name: strings.TrimSpace(r.PostForm.Get("name")), Role: r.PostForm.Get("role")}
	role := store.Role(f.Role)
	u, link, err := s.People.Invite(r.Context(), session.Of(r.Context()).Name, people.Input{Name: &f.Name, Role: &role})
	if err == nil {
		return s.showLink(w, r, u, link, u.Name+" was added")
	}
	var fields field.Errors
	switch {
	case errors.As(err, &fields):
		f.NameError, f.Problem = fields["name"], layout.Besides("Nobody was added.", fields, "name")
	case errors.Is(err, people.ErrNameTaken):
		f.NameError, f.Problem = "There is a user of this name already.", "Nobody was added."
	default:
		return err
	}
	return s.newUserPage(w, r, base.StatusOf(problem.Of(err)), f)
}

// showLink shows a link to set a password. It cannot be shown again.
func (s *Accounts) showLink(w http.ResponseWriter, r *http.Request, u store.User, link people.Link, done string) error {
	v := views.User{
		Done:      done,
		Link:      session.URLOf(r, base.LinkPath(link)),
		LinkValid: "Valid for " + words.Duration(s.Timing.Invitation) + ", once",
	}
	return s.showUser(w, r, http.StatusOK, u.ID, v)
}

func (s *Accounts) UserPage(w http.ResponseWriter, r *http.Request) error {
	return s.showUser(w, r, http.StatusOK, base.Param(r, "id"), views.User{})
}

// showUser renders a user's page with the result of the last action.
func (s *Accounts) showUser(w http.ResponseWriter, r *http.Request, status int, id string, v views.User) error {
	ctx := r.Context()
	u, err := s.user(ctx, id)
	if err != nil {
		return err
	}
	v.Account = s.account(ctx, u)
	if v.List, err = s.sessionViews(ctx, u.ID, nil); err != nil {
		return err
	}
	made, err := s.People.Made(ctx, u.ID)
	if err != nil {
		return err
	}
	v.Programs = people.Programs(made)
	s.Render(w, r, status, views.UserPage(s.Shell(r, u.Name, "users", toUsers, views.Link{Text: u.Name}), v))
	return nil
}

// UserForm handles a form on a user's page and shows the page again with the
// result. If do returns no text, it redirects to the list of users.
func (s *Accounts) UserForm(
	do func(r *http.Request, by people.Maker, id string) (done string, err error),
) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := r.ParseForm(); err != nil {
			return layout.BadForm(err)
		}
		id, v := base.Param(r, "id"), session.Of(r.Context())
		done, err := do(r, v.Maker(), id)
		switch {
		case err != nil:
			return s.userRefused(w, r, id, err)
		case id == v.UserID: // whose own session is over
			return s.signedOut(w, r)
		case done == "":
			http.Redirect(w, r, "/users", http.StatusSeeOther)
			return nil
		}
		return s.showUser(w, r, http.StatusOK, id, views.User{Done: done})
	}
}

// userRefused shows a user's page with the reason why something was not done.
func (s *Accounts) userRefused(w http.ResponseWriter, r *http.Request, id string, err error) error {
	p := problem.Of(err)
	switch {
	case p.Fields != nil:
		return s.showUser(w, r, base.StatusOf(p), id, views.User{Problem: layout.Besides(p.Title+".", p.Fields)})
	case p.Kind == problem.Conflict:
		return s.showUser(w, r, base.StatusOf(p), id, views.User{Problem: p.Title + ". " + p.Detail()})
	}
	return err
}

func (s *Accounts) RoleForm(r *http.Request, by people.Maker, id string) (string, error) {
	role := store.Role(r.PostForm.Get("role"))
	_, left, err := s.People.Change(r.Context(), by, id, people.Input{Role: &role})
	return said("The role is "+string(role)+" now. They have to sign in again.", left, by), err
}

func (s *Accounts) DisableForm(r *http.Request, by people.Maker, id string) (string, error) {
	in := people.Input{Disabled: new(true), Keep: new(r.PostForm.Get("keep") != "")}
	_, left, err := s.People.Change(r.Context(), by, id, in)
	return said("They cannot sign in any more, and every session of theirs is over.", left, by), err
}

func (s *Accounts) EnableForm(r *http.Request, by people.Maker, id string) (string, error) {
	_, _, err := s.People.Change(r.Context(), by, id, people.Input{Disabled: new(false)})
	return "They may sign in again.", err
}

func (s *Accounts) SignOutForm(r *http.Request, by people.Maker, id string) (string, error) {
	return "Every session of theirs is over.", s.People.SignOut(r.Context(), by.Name, id)
}

// RemoveForm removes a person. What they had is said on the page of whoever asked
// before: their page is gone.
func (s *Accounts) RemoveForm(r *http.Request, by people.Maker, id string) (string, error) {
	_, err := s.People.Remove(r.Context(), by, id, r.PostForm.Get("keep") != "")
	return "", err
}

// said is what was done, and what ended with it.
func said(done string, left people.Left, by people.Maker) string {
	if more := people.Tell(left, by); more != "" {
		done += " " + more
	}
	return done
}

func (s *Accounts) LinkForUser(w http.ResponseWriter, r *http.Request) error {
	u, err := s.user(r.Context(), base.Param(r, "id"))
	if err != nil {
		return err
	}
	link, err := s.People.NewLink(r.Context(), session.Of(r.Context()).Name, u.ID)
	if err != nil {
		return s.userRefused(w, r, u.ID, err)
	}
	return s.showLink(w, r, u, link, "The link is made")
}

func (s *Accounts) PasswordForUser(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	id, who := base.Param(r, "id"), session.Of(r.Context())
	if _, err := s.user(r.Context(), id); err != nil {
		return err
	}
	var v views.User
	secret := r.PostForm.Get("password")
	if v.SecretError, v.AgainError = checkSecret(secret, r.PostForm.Get("again")); v.SecretError+v.AgainError != "" {
		v.Problem = "The password was not set. " + v.SecretError + v.AgainError
		return s.showUser(w, r, http.StatusUnprocessableEntity, id, v)
	}
	if _, _, err := s.People.Change(r.Context(), who.Maker(), id, people.Input{Password: &secret}); err != nil {
		return err
	}
	if id == who.UserID {
		return s.signedOut(w, r)
	}
	return s.showUser(w, r, http.StatusOK, id, views.User{Done: "The password is set. Every session of theirs is over."})
}

// user returns a user by ID.
func (s *Accounts) user(ctx context.Context, id string) (store.User, error) {
	u, err := s.Store.User(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = people.ErrNoUser
	}
	return u, err
}

var toUsers = views.Link{Text: "Users", URL: "/users"}

func (s *Accounts) until(ctx context.Context, ms int64) string {
	if ms == 0 {
		return "No expiry"
	}
	return "Good until " + words.Clock(ctx, base.At(ms), s.Now())
}
