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
	Role      store.Role `json:"role" enum:"viewer,operator,admin"`
	CreatedAt *time.Time `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	ExpiresAt *time.Time `json:"expires_at" doc:"null for never"`
	UsedAt    *time.Time `json:"used_at"`
}

func tokenOf(t store.APIToken) tokenJSON {
	return tokenJSON{
		ID:        t.ID,
		Name:      t.Name,
		Role:      t.Role,
		CreatedAt: base.JSONTime(t.CreatedAt),
		CreatedBy: t.CreatedBy,
		ExpiresAt: base.JSONTime(t.ExpiresAt),
		UsedAt:    base.JSONTime(t.UsedAt),
	}
}

func (a *API) ListTokens(ctx context.Context, _ *struct{}) (*list1[tokenJSON], error) {
	rows, err := a.Store.APITokens(ctx)
	out := make([]tokenJSON, len(rows))
	for i, t := range rows {
		out[i] = tokenOf(t)
	}
	return &list1[tokenJSON]{out}, err
}

type createTokenIn struct {
	Body struct {
		Name string     `json:"name" doc:"what it is for; the audit log names it"`
		Role store.Role `json:"role" enum:"viewer,operator,admin"`
		Days int        `json:"days,omitempty" minimum:"0" maximum:"3650" doc:"how long it is good for; 0 is until it is revoked"`
	}
}

type createTokenOut struct {
	Body struct {
		Token tokenJSON `json:"token"`
		Key   string    `json:"key" doc:"told only here: what the program sends as Authorization: Bearer KEY"`
	}
}

func (a *API) CreateToken(ctx context.Context, in *createTokenIn) (*createTokenOut, error) {
	t, key, err := a.People.AddToken(ctx, session.Of(ctx).Name, people.TokenInput{
		Name: &in.Body.Name,
		Role: &in.Body.Role,
		Life: new(people.Days(in.Body.Days)),
	})
	out := &createTokenOut{}
	out.Body.Token, out.Body.Key = tokenOf(t), key
	return out, problem.Saving("token", err)
}

func (a *API) DeleteToken(ctx context.Context, in *userIn) (*struct{}, error) {
	return nil, a.People.RevokeToken(ctx, session.Of(ctx).Name, in.ID)
}
