package controlplane

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// SetupLink is where the first account is made, or "" if there is one already.
func (p *Plane) SetupLink(ctx context.Context) (string, error) {
	path, err := p.Web.SetupPath(ctx)
	if err != nil || path == "" {
		return "", err
	}
	return p.origin() + path, nil
}

func (p *Plane) origin() string {
	if p.https != nil {
		return "https://" + p.HTTPAddr()
	}
	return "http://" + p.HTTPAddr()
}

// SignInLink is good once, and signs in an administrator named demo, who is
// made at the first call with a password nobody knows.
func (p *Plane) SignInLink(ctx context.Context) (string, error) {
	u, err := p.Store.UserByName(ctx, "demo")
	if errors.Is(err, store.ErrNotFound) {
		u = store.User{ID: topics.NewID(time.Now()), Name: "demo", Role: store.Admin, CreatedAt: p.Store.Now()}
		if u.PasswordHash, err = password.Hash(password.NewKey("")); err != nil {
			return "", err
		}
		err = p.Store.AddUser(ctx, "demo", u)
	}
	if err != nil {
		return "", err
	}
	path, err := p.Web.SignInLink(ctx, u.ID)
	if err != nil {
		return "", err
	}
	return p.origin() + path, nil
}

// Changed tells pages and consumers that something about these hosts is another
// now. It is for whoever writes to the store directly, as the demo does.
func (p *Plane) Changed(hosts ...topics.HostID) { p.decided(hosts...) }
