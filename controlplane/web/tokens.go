package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// addToken makes a token for a program; life 0 is without end. The key is told
// only here.
func (s *Server) addToken(ctx context.Context, name string, role store.Role, life time.Duration) (t store.APIToken, key string, err error) {
	key = password.NewKey("rma_")
	t = store.APIToken{ID: topics.NewID(s.Now()), Name: name, Role: role, KeyHash: password.HashKey(key), CreatedAt: s.Now().UnixMilli(), CreatedBy: visitorOf(ctx).name}
	if life > 0 {
		t.ExpiresAt = s.Now().Add(life).UnixMilli()
	}
	return t, key, s.Store.AddAPIToken(ctx, t.CreatedBy, t)
}

func (s *Server) removeToken(ctx context.Context, id string) error {
	defer s.recheck()
	err := s.Store.RemoveAPIToken(ctx, visitorOf(ctx).name, id)
	if errors.Is(err, store.ErrNotFound) {
		err = &problem.Problem{Kind: problem.NotFound, Title: "There is no such token", Say: "It was revoked already, or was never here.", Do: "Look at the list of tokens again.", Err: err}
	}
	return err
}

func (s *Server) newTokenForm(w http.ResponseWriter, r *http.Request) error {
	return s.newTokenPage(w, r, http.StatusOK, views.NewToken{Role: string(store.Viewer), Days: "90"})
}

func (s *Server) newTokenPage(w http.ResponseWriter, r *http.Request, status int, f views.NewToken) error {
	s.render(w, r, status, views.NewTokenPage(s.shell(r, "New API token", "users", toUsers, views.Link{Text: "New API token"}), f))
	return nil
}

// newToken makes a token. Its page is the only place that ever shows it.
func (s *Server) newToken(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	f := views.NewToken{Name: strings.TrimSpace(r.PostForm.Get("name")), Role: r.PostForm.Get("role"), Days: r.PostForm.Get("days")}
	days, err := strconv.Atoi(f.Days)
	known := err == nil && slices.ContainsFunc(views.Lives, func(o views.Option) bool { return o.Value == f.Days }) && slices.Contains(store.Roles, store.Role(f.Role))
	if f.NameError = checkName("name", f.Name, 1, 100); f.NameError != "" || !known {
		f.Problem = "No token was made."
		return s.newTokenPage(w, r, http.StatusUnprocessableEntity, f)
	}
	t, key, err := s.addToken(r.Context(), f.Name, store.Role(f.Role), time.Duration(days)*24*time.Hour)
	if err != nil {
		return err
	}
	f.Key, f.Until = key, s.until(t.ExpiresAt)
	return s.newTokenPage(w, r, http.StatusOK, f)
}

func (s *Server) revokeToken(w http.ResponseWriter, r *http.Request) error {
	if err := s.removeToken(r.Context(), param(r, "id")); err != nil {
		return err
	}
	redirect(w, r, "/users")
	return nil
}
