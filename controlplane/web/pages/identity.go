package pages

import (
	"context"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/handout"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
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
	return s.tokenPage(w, r, views.AddHost{Name: h.Name, HostID: string(h.ID)}, handout.Want{System: h.OS}, id, token)
}

// DecideTwins says which of two machines with one identity stays the host, and shows the
// token with which the other one becomes a host of its own.
func (s *Pages) DecideTwins(w http.ResponseWriter, r *http.Request) error {
	h, err := s.Host(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	id, token, err := s.Desk.Stay(r.Context(), session.Of(r.Context()).Name, h.ID, r.PostForm.Get("instance"))
	if err != nil {
		return problem.Saving("decision", err)
	}
	return s.tokenPage(w, r, views.AddHost{CopyOf: h.Name}, handout.Want{System: h.OS}, id, token)
}

// twins are the machines that use a host's identity at once; nil if one does.
func (s *Pages) twins(ctx context.Context, h store.Host) (*views.Twins, error) {
	if h.TwinsSince == 0 {
		return nil, nil
	}
	lanes, err := s.Store.Machines(ctx, h.ID)
	v := &views.Twins{Since: s.When(h.TwinsSince)}
	for _, l := range lanes {
		if l.RefusedAt > 0 {
			continue
		}
		m := views.Machine{Name: l.Name(), Address: l.Address, Version: l.Version, Since: s.When(l.FirstAt), Hostname: "unknown"}
		if f := l.Machine.V; f != nil {
			m.Hostname, m.State, m.Addresses = layout.Said(f.Hostname), f.State, strings.Join(f.Addresses, ", ")
			if m.ID = f.ID; f.Started > 0 {
				m.Started = s.When(f.Started)
			}
		}
		c, seen := s.Presence.MachineConnection(h.ID, l.Epoch)
		if m.Online = c == hosts.Online; !m.Online && seen.UnixMilli() > 0 {
			m.Seen = words.Ago(seen, s.Now())
		}
		v.Machines = append(v.Machines, m)
	}
	return v, err
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
