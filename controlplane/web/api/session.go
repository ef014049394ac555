package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
)

type SessionJSON struct {
	ID        string     `json:"id"`
	User      string     `json:"user" doc:"ID"`
	Remote    string     `json:"remote"`
	Browser   string     `json:"browser"`
	BeganAt   *time.Time `json:"began_at"`
	SeenAt    *time.Time `json:"seen_at"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// ListSessions lists the caller's own sessions, for an administrator everybody's.
func (a *API) ListSessions(ctx context.Context, _ *struct{}) (*list1[SessionJSON], error) {
	v := session.Of(ctx)
	if v.UserID == "" && !v.May(rights.People) {
		return &list1[SessionJSON]{[]SessionJSON{}}, nil // a program has none
	}
	whose := v.UserID
	if v.May(rights.People) {
		whose = ""
	}
	rows, err := a.Store.SessionList(ctx, whose)
	out := make([]SessionJSON, len(rows))
	for i, n := range rows {
		out[i] = SessionJSON{
			ID:        n.ID,
			User:      n.User,
			Remote:    n.Remote,
			Browser:   n.Browser,
			BeganAt:   base.JSONTime(n.BeganAt),
			SeenAt:    base.JSONTime(n.SeenAt),
			ExpiresAt: base.JSONTime(n.ExpiresAt),
		}
	}
	return &list1[SessionJSON]{out}, err
}

func (a *API) DeleteSession(ctx context.Context, in *userIn) (*struct{}, error) {
	return nil, a.EndSession(ctx, in.ID)
}

func (a *API) DeleteSessions(ctx context.Context, in *userIn) (*struct{}, error) {
	return nil, a.People.SignOut(ctx, session.Of(ctx).Name, in.ID)
}
