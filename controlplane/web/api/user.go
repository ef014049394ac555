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

type userJSON struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      store.Role `json:"role" enum:"viewer,operator,admin"`
	Disabled  bool       `json:"disabled"`
	Password  bool       `json:"password" doc:"whether they have one yet"`
	CreatedAt *time.Time `json:"created_at"`
	LastSeen  *time.Time `json:"last_seen"`
	Zone      string     `json:"zone" doc:"in which pages show them moments: an IANA name, browser or server"`
}

func userOf(u store.User) userJSON {
	return userJSON{
		ID:        u.ID,
		Name:      u.Name,
		Role:      u.Role,
		Disabled:  u.DisabledAt != 0,
		Password:  u.PasswordHash != "",
		CreatedAt: base.JSONTime(u.CreatedAt),
		LastSeen:  base.JSONTime(u.SeenAt),
		Zone:      u.Zone,
	}
}

type userOut struct{ Body userJSON }

func (a *API) ListUsers(ctx context.Context, _ *struct{}) (*list1[userJSON], error) {
	rows, err := a.Store.Users(ctx)
	out := make([]userJSON, len(rows))
	for i, u := range rows {
		out[i] = userOf(u)
	}
	return &list1[userJSON]{out}, err
}

type createUserIn struct {
	Body struct {
		Name string     `json:"name"`
		Role store.Role `json:"role" enum:"viewer,operator,admin"`
	}
}

type createUserOut struct {
	Body struct {
		User userJSON `json:"user"`
		passwordLinkJSON
	}
}

type passwordLinkJSON struct {
	Path      string     `json:"path" doc:"below this server's address: where they choose a password, once"`
	ExpiresAt *time.Time `json:"expires_at"`
}

func (a *API) CreateUser(ctx context.Context, in *createUserIn) (*createUserOut, error) {
	u, link, err := a.People.Invite(ctx, session.Of(ctx).Name, people.Input{Name: &in.Body.Name, Role: &in.Body.Role})
	if err != nil {
		return nil, problem.Saving("user", err)
	}
	out := &createUserOut{}
	out.Body.User, out.Body.passwordLinkJSON = userOf(u), linkOf(link)
	return out, nil
}

func linkOf(l people.Link) passwordLinkJSON {
	return passwordLinkJSON{Path: base.LinkPath(l), ExpiresAt: base.JSONTime(l.ExpiresAt)}
}

type userIn struct {
	ID string `path:"id"`
}

type changeUserIn struct {
	ID   string `path:"id"`
	Body struct {
		Role     store.Role `json:"role,omitempty" enum:"viewer,operator,admin"`
		Disabled *bool      `json:"disabled,omitempty"`
		Zone     *string    `json:"zone,omitempty" doc:"in which pages show them moments: an IANA name, browser or server"`
	}
}

func (a *API) ChangeUser(ctx context.Context, in *changeUserIn) (*userOut, error) {
	change := people.Input{Disabled: in.Body.Disabled, Zone: in.Body.Zone}
	if in.Body.Role != "" {
		change.Role = &in.Body.Role
	}
	u, err := a.People.Change(ctx, session.Of(ctx).Name, in.ID, change)
	return &userOut{userOf(u)}, problem.Saving("user", err)
}

func (a *API) DeleteUser(ctx context.Context, in *userIn) (*struct{}, error) {
	return nil, a.People.Remove(ctx, session.Of(ctx).Name, in.ID)
}

type passwordLinkOut struct{ Body passwordLinkJSON }

func (a *API) CreatePasswordLink(ctx context.Context, in *userIn) (*passwordLinkOut, error) {
	link, err := a.People.NewLink(ctx, session.Of(ctx).Name, in.ID)
	return &passwordLinkOut{linkOf(link)}, err
}
