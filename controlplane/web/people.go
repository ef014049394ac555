package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

var toUsers = views.Link{Text: "Users", URL: "/users"}

var errNoUser = &problem.Problem{Kind: problem.NotFound, Title: "There is no such user",
	Say: "They were never here, or have been removed.", Do: "Look for them among all users.", Link: problem.Link{Text: "All users", URL: "/users"}}

// errLastAdmin is store.ErrLastAdmin in the words of whoever asked.
var errLastAdmin = &problem.Problem{Kind: problem.Conflict, Title: "Nothing was changed: this is the last administrator",
	Say: "Nobody else who can sign in may administer this server.", Do: "Make somebody else an administrator first.", Err: store.ErrLastAdmin}

func peopleProblem(err error) error {
	switch {
	case errors.Is(err, store.ErrLastAdmin):
		return errLastAdmin
	case errors.Is(err, store.ErrNotFound):
		return errNoUser
	}
	return err
}

// user finds a person by the ID in the address.
func (s *Server) user(ctx context.Context, id string) (store.User, error) {
	u, err := s.Store.User(ctx, id)
	return u, peopleProblem(err)
}

// The deeds on a person, for pages and API alike. Each is over for every open
// page, stream and socket of theirs when it returns.

func (s *Server) setRole(ctx context.Context, id string, role store.Role) error {
	defer s.recheck()
	return peopleProblem(s.Store.SetRole(ctx, visitorOf(ctx).name, id, role))
}

func (s *Server) disable(ctx context.Context, id string, disabled bool) error {
	defer s.recheck()
	return peopleProblem(s.Store.DisableUser(ctx, visitorOf(ctx).name, id, disabled))
}

func (s *Server) removeUser(ctx context.Context, id string) error {
	defer s.recheck()
	return peopleProblem(s.Store.RemoveUser(ctx, visitorOf(ctx).name, id))
}

func (s *Server) signOut(ctx context.Context, id string) error {
	defer s.recheck()
	return peopleProblem(s.Store.EndSessions(ctx, visitorOf(ctx).name, id))
}

func (s *Server) setPassword(ctx context.Context, id, secret string) (hash string, err error) {
	if hash, err = s.newHash(ctx, secret); err != nil {
		return "", err
	}
	defer s.recheck()
	return hash, peopleProblem(s.Store.SetPassword(ctx, visitorOf(ctx).name, id, hash))
}

func (s *Server) addUser(ctx context.Context, name string, role store.Role, hash string) (store.User, error) {
	u := store.User{ID: topics.NewID(s.Now()), Name: name, Role: role, PasswordHash: hash, CreatedAt: s.Now().UnixMilli()}
	err := s.Store.AddUser(ctx, visitorOf(ctx).name, u)
	if errors.Is(err, store.ErrConflict) {
		err = &problem.Problem{Kind: problem.Conflict, Title: "There is a user of this name already", Say: "Names are their own.", Do: "Choose another name.", Err: err}
	}
	return u, err
}

// passwordLink makes the path by which a user sets a password, once.
func (s *Server) passwordLink(ctx context.Context, id string) (path string, expires int64, err error) {
	key := password.NewKey("rmp_")
	expires = s.Now().Add(s.Timing.Invitation).UnixMilli()
	err = s.Store.AddPasswordLink(ctx, visitorOf(ctx).name, store.PasswordLink{KeyHash: password.HashKey(key), User: id, CreatedAt: s.Now().UnixMilli(), ExpiresAt: expires})
	return "/set-password?key=" + key, expires, peopleProblem(err)
}

// here is a path of this server as the browser that asks would call it.
func here(r *http.Request, path string) string {
	if secure(r) {
		return "https://" + r.Host + path
	}
	return "http://" + r.Host + path
}

func (s *Server) usersPage(w http.ResponseWriter, r *http.Request) error {
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
	for _, u := range users {
		a := s.account(ctx, u)
		if n := count[u.ID]; n > 0 {
			a.Sessions = views.Count(uint64(n), "session", "sessions")
		}
		v.Accounts = append(v.Accounts, a)
	}
	for _, t := range tokens {
		v.Tokens = append(v.Tokens, views.APIToken{ID: t.ID, Name: t.Name, Role: string(t.Role), By: t.CreatedBy, Until: s.until(t.ExpiresAt),
			Expired: t.ExpiresAt != 0 && t.ExpiresAt <= s.Now().UnixMilli(), Used: s.when(t.UsedAt)})
	}
	s.render(w, r, http.StatusOK, views.UsersPage(s.shell(r, "Users", "users", views.Link{Text: "Users"}), v))
	return nil
}

func (s *Server) until(ms int64) string {
	if ms == 0 {
		return "No expiry"
	}
	return "Good until " + views.Clock(at(ms), s.Now())
}

func (s *Server) account(ctx context.Context, u store.User) views.Account {
	return views.Account{ID: u.ID, Name: u.Name, You: u.ID == visitorOf(ctx).user, Role: string(u.Role), Disabled: u.DisabledAt != 0,
		Invited: u.PasswordHash == "", LastSeen: s.when(u.SeenAt)}
}

func (s *Server) newUserForm(w http.ResponseWriter, r *http.Request) error {
	return s.newUserPage(w, r, http.StatusOK, views.NewUser{Role: string(store.Viewer)})
}

func (s *Server) newUserPage(w http.ResponseWriter, r *http.Request, status int, f views.NewUser) error {
	s.render(w, r, status, views.NewUserPage(s.shell(r, "Add user", "users", toUsers, views.Link{Text: "Add user"}), f))
	return nil
}

// newUser adds a person without a password, and shows the link to set one.
func (s *Server) newUser(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	f := views.NewUser{Name: strings.TrimSpace(r.PostForm.Get("name")), Role: r.PostForm.Get("role")}
	role := store.Role(f.Role)
	if f.NameError = userName(f.Name); f.NameError != "" || !slices.Contains(store.Roles, role) {
		f.Problem = "Nobody was added."
		return s.newUserPage(w, r, http.StatusUnprocessableEntity, f)
	}
	u, err := s.addUser(r.Context(), f.Name, role, "")
	if errors.Is(err, store.ErrConflict) {
		f.Problem, f.NameError = "Nobody was added.", "There is a user of this name already."
		return s.newUserPage(w, r, http.StatusConflict, f)
	} else if err != nil {
		return err
	}
	return s.showLink(w, r, u, u.Name+" was added")
}

// showLink makes a link and shows it, this once.
func (s *Server) showLink(w http.ResponseWriter, r *http.Request, u store.User, done string) error {
	path, _, err := s.passwordLink(r.Context(), u.ID)
	if err != nil {
		return err
	}
	return s.showUser(w, r, http.StatusOK, u.ID, views.User{Done: done, Link: here(r, path), LinkValid: "Valid for " + views.Duration(s.Timing.Invitation) + ", once"})
}

func (s *Server) userPage(w http.ResponseWriter, r *http.Request) error {
	return s.showUser(w, r, http.StatusOK, param(r, "id"), views.User{})
}

// showUser renders a person's page with what was just done or not.
func (s *Server) showUser(w http.ResponseWriter, r *http.Request, status int, id string, v views.User) error {
	ctx := r.Context()
	u, err := s.user(ctx, id)
	if err != nil {
		return err
	}
	v.Account = s.account(ctx, u)
	if v.List, err = s.sessionViews(ctx, u.ID, nil); err != nil {
		return err
	}
	tokens, err := s.Store.APITokens(ctx)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.CreatedBy == u.Name {
			v.Tokens = append(v.Tokens, t.Name)
		}
	}
	s.render(w, r, status, views.UserPage(s.shell(r, u.Name, "users", toUsers, views.Link{Text: u.Name}), v))
	return nil
}

// userDeed is a form on a person's page: it shows the page again, with what was
// done or why it was not.
func (s *Server) userDeed(deed func(r *http.Request, id string) (done string, err error)) endpoint {
	return page(func(w http.ResponseWriter, r *http.Request) error {
		if err := r.ParseForm(); err != nil {
			return badForm(err)
		}
		id := param(r, "id")
		done, err := deed(r, id)
		var p *problem.Problem
		switch {
		case errors.As(err, &p) && p.Kind != problem.Internal && p.Kind != problem.Unavailable && p.Kind != problem.NotFound:
			return s.showUser(w, r, statusOf(p), id, views.User{Problem: p.Title + ". " + strings.TrimSpace(p.Say+" "+p.Do)})
		case err != nil:
			return err
		case id == visitorOf(r.Context()).user: // whose own session is over
			s.leave(w, r)
			return nil
		}
		return s.showUser(w, r, http.StatusOK, id, views.User{Done: done})
	})
}

func (s *Server) roleDeed(r *http.Request, id string) (string, error) {
	role := store.Role(r.PostForm.Get("role"))
	if !slices.Contains(store.Roles, role) {
		return "", errRole
	}
	return "The role is " + string(role) + " now. They have to sign in again.", s.setRole(r.Context(), id, role)
}

var errRole = &problem.Problem{Kind: problem.Invalid, Title: "There is no such role", Say: "Roles are viewer, operator and admin.", Do: "Choose one of them."}

func (s *Server) disableDeed(r *http.Request, id string) (string, error) {
	return "They cannot sign in any more, and every session of theirs is over.", s.disable(r.Context(), id, true)
}

func (s *Server) enableDeed(r *http.Request, id string) (string, error) {
	return "They may sign in again.", s.disable(r.Context(), id, false)
}

func (s *Server) signOutDeed(r *http.Request, id string) (string, error) {
	return "Every session of theirs is over.", s.signOut(r.Context(), id)
}

func (s *Server) linkForUser(w http.ResponseWriter, r *http.Request) error {
	u, err := s.user(r.Context(), param(r, "id"))
	if err != nil {
		return err
	}
	if u.DisabledAt != 0 {
		return s.showUser(w, r, http.StatusConflict, u.ID, views.User{Problem: "No link was made: this user is disabled. Let them in again first."})
	}
	return s.showLink(w, r, u, "The link is made")
}

func (s *Server) passwordForUser(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	id := param(r, "id")
	if _, err := s.user(r.Context(), id); err != nil {
		return err
	}
	var v views.User
	secret := r.PostForm.Get("password")
	if v.SecretError, v.AgainError = checkSecret(secret, r.PostForm.Get("again")); v.SecretError+v.AgainError != "" {
		v.Problem = "The password was not set. " + v.SecretError + v.AgainError
		return s.showUser(w, r, http.StatusUnprocessableEntity, id, v)
	}
	if _, err := s.setPassword(r.Context(), id, secret); err != nil {
		return err
	}
	if id == visitorOf(r.Context()).user {
		s.leave(w, r)
		return nil
	}
	return s.showUser(w, r, http.StatusOK, id, views.User{Done: "The password is set. Every session of theirs is over."})
}

func (s *Server) removeForUser(w http.ResponseWriter, r *http.Request) error {
	id := param(r, "id")
	if err := s.removeUser(r.Context(), id); errors.Is(err, store.ErrLastAdmin) {
		return s.showUser(w, r, http.StatusConflict, id, views.User{Problem: errLastAdmin.Title + ". " + errLastAdmin.Say + " " + errLastAdmin.Do})
	} else if err != nil {
		return err
	}
	if id == visitorOf(r.Context()).user {
		s.leave(w, r)
		return nil
	}
	http.Redirect(w, r, "/users", http.StatusSeeOther)
	return nil
}
