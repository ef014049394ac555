package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
)

type tokenJSON struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      store.Role `json:"role" enum:"viewer,operator,restorer,admin"`
	CreatedAt *time.Time `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	MadeWith  string     `json:"made_with" doc:"the ID of the token it was made with, and is revoked with; empty for none"`
	ActsAs    store.Role `json:"acts_as" enum:"viewer,operator,restorer,admin," doc:"its role now, with its maker's; empty: is refused"`
	ExpiresAt *time.Time `json:"expires_at" doc:"null for never"`
	EndsSoon  bool       `json:"ends_soon" doc:"it expires within 30 days, or has expired"`
	UsedAt    *time.Time `json:"used_at"`
}

func (a *API) tokenOf(t store.APIToken) tokenJSON {
	return tokenJSON{
		ID:        t.ID,
		Name:      t.Name,
		Role:      t.Role,
		CreatedAt: base.JSONTime(t.CreatedAt),
		CreatedBy: t.CreatedBy,
		MadeWith:  t.MadeWith,
		ActsAs:    t.Acts(),
		EndsSoon:  people.EndsSoon(t, a.Now()),
		ExpiresAt: base.JSONTime(t.ExpiresAt),
		UsedAt:    base.JSONTime(t.UsedAt),
	}
}

func (a *API) ListTokens(ctx context.Context, _ *struct{}) (*list1[tokenJSON], error) {
	rows, err := a.Store.APITokens(ctx)
	out := make([]tokenJSON, len(rows))
	for i, t := range rows {
		out[i] = a.tokenOf(t)
	}
	return &list1[tokenJSON]{out}, err
}

type createTokenIn struct {
	Body struct {
		Name string     `json:"name" doc:"what it is for; the audit log names it"`
		Role store.Role `json:"role" enum:"viewer,operator,restorer,admin"`
		Days *int       `json:"days,omitempty" minimum:"0" maximum:"3650" doc:"how long it is good for; left out: a year; 0: until revoked"`
	}
}

type createTokenOut struct {
	Body struct {
		Token tokenJSON `json:"token"`
		Key   string    `json:"key" doc:"told only here: what the program sends as Authorization: Bearer KEY"`
	}
}

func (a *API) CreateToken(ctx context.Context, in *createTokenIn) (*createTokenOut, error) {
	wanted := people.TokenInput{Name: &in.Body.Name, Role: &in.Body.Role}
	if in.Body.Days != nil {
		wanted.Life = new(people.Days(*in.Body.Days))
	}
	t, key, err := a.People.AddToken(ctx, session.Of(ctx).Maker(), wanted)
	out := &createTokenOut{}
	out.Body.Token, out.Body.Key = a.tokenOf(t), key
	return out, problem.Saving("token", err)
}

func (a *API) DeleteToken(ctx context.Context, in *userIn) (*struct{}, error) {
	_, err := a.People.RevokeToken(ctx, session.Of(ctx).Name, in.ID)
	return nil, err
}
