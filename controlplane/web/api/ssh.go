package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

type sshOut struct {
	Body struct {
		PublicKey string          `json:"public_key" doc:"of the agent itself, a line for authorized_keys; empty: it has no key yet"`
		Accepts   string          `json:"accepts" enum:"none,new,any" doc:"which keys the host's policy lets its control plane accept"`
		Servers   []sshServerJSON `json:"servers" nullable:"false" doc:"keys of servers: those that are trusted, and those that wait"`
	}
}

type sshServerJSON struct {
	Name        string     `json:"name" doc:"as known_hosts names the server"`
	Type        string     `json:"type"`
	Fingerprint string     `json:"fingerprint"`
	Accepted    bool       `json:"accepted"`
	Changed     bool       `json:"changed" doc:"shown in the place of another key that is known"`
	Known       string     `json:"known" doc:"the file and line where that other key is"`
	ShownAt     *time.Time `json:"shown_at"`
}

func sshOf(now topics.SSHState) *sshOut {
	out := &sshOut{}
	out.Body.PublicKey, out.Body.Accepts, out.Body.Servers = now.PublicKey, now.Accepts, []sshServerJSON{}
	for _, k := range now.Keys {
		out.Body.Servers = append(out.Body.Servers, sshServerOf(k))
	}
	return out
}

func sshServerOf(k topics.KnownServer) sshServerJSON {
	return sshServerJSON{
		Name:        k.Name,
		Type:        k.Type,
		Fingerprint: k.Fingerprint,
		Accepted:    k.Accepted,
		Changed:     k.Changed,
		Known:       k.Known,
		ShownAt:     base.JSONTime(k.At),
	}
}

// GetSSH asks a host for its SSH key and the servers it trusts.
func (a *API) GetSSH(ctx context.Context, in *hostIn) (*sshOut, error) {
	return a.askSSH(ctx, in.ID, topics.SSHQuery{})
}

// MakeSSHKey has a host make its key pair, if it has none.
func (a *API) MakeSSHKey(ctx context.Context, in *hostIn) (*sshOut, error) {
	return a.askSSH(ctx, in.ID, topics.SSHQuery{MakeKey: true})
}

type hostKeyIn struct {
	ID   topics.HostID `path:"id"`
	Body struct {
		Name        string `json:"name" doc:"as known_hosts names the server"`
		Fingerprint string `json:"fingerprint" doc:"SHA256: and 43 letters; the host takes no other key than the one it was shown with it"`
		Changed     bool   `json:"changed,omitempty" doc:"it is meant in the place of another key of the server that is known"`
	}
}

// AcceptHostKey has a host trust a server by a key that it was shown.
func (a *API) AcceptHostKey(ctx context.Context, in *hostKeyIn) (*sshOut, error) {
	return a.askSSH(ctx, in.ID, topics.SSHQuery{Accept: &topics.AcceptKey{
		Name: in.Body.Name, Fingerprint: in.Body.Fingerprint, Changed: in.Body.Changed,
	}})
}

func (a *API) askSSH(ctx context.Context, id topics.HostID, what topics.SSHQuery) (*sshOut, error) {
	h, err := a.Host(ctx, id)
	if err != nil {
		return nil, err
	}
	now, err := a.Queries.SSH(ctx, session.Of(ctx).Actor(), h.ID, what)
	if err != nil {
		return nil, err
	}
	return sshOf(now), nil
}
