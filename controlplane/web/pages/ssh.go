package pages

import (
	"errors"
	"net/http"

	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// SSHPage shows a host's SSH key and the servers it trusts, as the host says now.
func (s *Pages) SSHPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	h, err := s.Host(ctx, base.HostID(r))
	if err != nil {
		return err
	}
	v := views.SSH{HostID: string(h.ID), Host: h.Name}
	now, err := s.Queries.SSH(ctx, session.Of(ctx).Actor(), h.ID, topics.SSHQuery{})
	var refused *queries.Refused
	switch {
	case errors.As(err, &refused):
		v.Problem = &views.Note{Tone: "warn", Title: refused.Title, Text: refused.Say + " " + refused.Do, Command: refused.Command}
	case err != nil:
		return err
	}
	v.PublicKey = now.PublicKey
	for _, k := range now.Keys {
		one := layout.SSHServer(h.ID, k)
		one.Shown = s.When(k.At)
		if !k.Accepted && (now.Accepts == topics.HostKeysNone || k.Changed && now.Accepts != topics.HostKeysAny) {
			one.Command = queries.AcceptThere(k)
		}
		v.Servers = append(v.Servers, one)
	}
	sh := s.Shell(r, "SSH keys", "fleet", layout.ToFleet, views.Link{Text: h.Name, URL: views.HostURL(v.HostID)}, views.Link{Text: "SSH keys"})
	s.Render(w, r, http.StatusOK, views.SSHPage(sh, v))
	return nil
}

// MakeSSHKey has a host make its key pair.
func (s *Pages) MakeSSHKey(w http.ResponseWriter, r *http.Request) error {
	return s.askSSH(w, r, topics.SSHQuery{MakeKey: true})
}

// AcceptHostKey has a host trust a server by a key that it was shown.
func (s *Pages) AcceptHostKey(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	return s.askSSH(w, r, topics.SSHQuery{Accept: &topics.AcceptKey{
		Name: r.PostForm.Get("name"), Fingerprint: r.PostForm.Get("fingerprint"), Changed: r.PostForm.Get("changed") == "1",
	}})
}

func (s *Pages) askSSH(w http.ResponseWriter, r *http.Request, what topics.SSHQuery) error {
	h, err := s.Host(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	if _, err := s.Queries.SSH(r.Context(), session.Of(r.Context()).Actor(), h.ID, what); err != nil {
		return err
	}
	layout.Redirect(w, r, views.SSHURL(string(h.ID)))
	return nil
}
