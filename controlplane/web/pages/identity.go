package pages

import (
	"net/http"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/views"
)

// Reenrol creates a token that gives an existing host new keys, and shows it; it
// cannot be shown again.
func (s *Pages) Reenrol(w http.ResponseWriter, r *http.Request) error {
	h, err := s.Host(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	id, token, err := s.Desk.Reissue(r.Context(), session.Of(r.Context()).Name, h.ID, enroll.TokenLife)
	if err != nil {
		return err
	}
	return s.tokenPage(w, r, views.AddHost{Name: h.Name, HostID: string(h.ID)}, id, token)
}

// RevokeHost revokes a host's certificate.
func (s *Pages) RevokeHost(w http.ResponseWriter, r *http.Request) error {
	h, err := s.Revoke(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	layout.Redirect(w, r, views.HostURL(string(h.ID)))
	return nil
}
