package web

import (
	"context"
	"net/http"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// reenrol creates a token that gives an existing host new keys, and shows it; it
// cannot be shown again.
func (s *Server) reenrol(w http.ResponseWriter, r *http.Request) error {
	h, err := s.host(r.Context(), hostID(r))
	if err != nil {
		return err
	}
	id, token, err := s.Desk.Reissue(r.Context(), session.Of(r.Context()).Name, h.ID, enroll.TokenLife)
	if err != nil {
		return err
	}
	return s.tokenPage(w, r, views.AddHost{Name: h.Name, HostID: string(h.ID)}, id, token)
}

// revokeHost revokes a host's certificate.
func (s *Server) revokeHost(w http.ResponseWriter, r *http.Request) error {
	h, err := s.revoke(r.Context(), hostID(r))
	if err != nil {
		return err
	}
	redirect(w, r, views.HostURL(string(h.ID)))
	return nil
}

func (s *Server) revoke(ctx context.Context, id topics.HostID) (store.Host, error) {
	if _, err := s.host(ctx, id); err != nil {
		return store.Host{}, err
	}
	return s.Desk.Revoke(ctx, session.Of(ctx).Name, id)
}

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
	b.CertifiedUntil, b.RevokedAt = moment(h.CertifiedUntil), moment(h.RevokedAt)
	b.Refused, b.RefusedThere = h.Refused, h.RefusedThere
	return out
}

func (s *Server) getIdentity(ctx context.Context, in *hostIn) (*identityOut, error) {
	h, err := s.host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return identityOf(h), nil
}

func (s *Server) revokeIdentity(ctx context.Context, in *hostIn) (*identityOut, error) {
	h, err := s.revoke(ctx, in.ID)
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

func (s *Server) createHostToken(ctx context.Context, in *hostIn) (*enrolTokenOut, error) {
	h, err := s.host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	id, token, err := s.Desk.Reissue(ctx, session.Of(ctx).Name, h.ID, enroll.TokenLife)
	if err != nil {
		return nil, err
	}
	row, err := s.Store.EnrollToken(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &enrolTokenOut{}
	out.Body.Token, out.Body.ExpiresAt = token.Reveal(), moment(row.ExpiresAt)
	return out, nil
}
