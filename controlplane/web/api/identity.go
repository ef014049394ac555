package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type identityOut struct {
	Body struct {
		ID             topics.HostID   `json:"id"`
		Name           string          `json:"name"`
		Policy         string          `json:"policy" doc:"the host's own, by name"`
		Permits        *topics.Permits `json:"permits" doc:"what that policy allows; null from an agent that does not say"`
		CertifiedUntil *time.Time      `json:"certified_until" doc:"when the certificate in use runs out; it is renewed before"`
		RevokedAt      *time.Time      `json:"revoked_at" doc:"null: the host is trusted"`
		Refused        uint64          `json:"refused" doc:"messages in the host's name that were not its own, or old"`
		RefusedThere   uint64          `json:"refused_there" doc:"messages in our name that the host refused"`
	}
}

func identityOf(h store.Host) *identityOut {
	out := &identityOut{}
	b := &out.Body
	b.ID, b.Name, b.Policy, b.Permits = h.ID, h.Name, h.Policy, h.Permits.V
	b.CertifiedUntil, b.RevokedAt = base.JSONTime(h.CertifiedUntil), base.JSONTime(h.RevokedAt)
	b.Refused, b.RefusedThere = h.Refused, h.RefusedThere
	return out
}

func (a *API) GetIdentity(ctx context.Context, in *hostIn) (*identityOut, error) {
	h, err := a.Host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return identityOf(h), nil
}

func (a *API) RevokeIdentity(ctx context.Context, in *hostIn) (*identityOut, error) {
	h, err := a.Revoke(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return identityOf(h), nil
}

type enrolTokenOut struct {
	Body struct {
		Token     string     `json:"token" doc:"shown here and nowhere else"`
		ExpiresAt *time.Time `json:"expires_at"`
	}
}

func (a *API) CreateHostToken(ctx context.Context, in *hostIn) (*enrolTokenOut, error) {
	h, err := a.Host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	id, token, err := a.Desk.Reissue(ctx, session.Of(ctx).Name, h.ID, enroll.TokenLife)
	if err != nil {
		return nil, err
	}
	row, err := a.Store.EnrollToken(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &enrolTokenOut{}
	out.Body.Token, out.Body.ExpiresAt = token.Reveal(), base.JSONTime(row.ExpiresAt)
	return out, nil
}
