package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type userJSON struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      store.Role `json:"role" enum:"viewer,operator,restorer,admin"`
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
		Role store.Role `json:"role" enum:"viewer,operator,restorer,admin"`
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

// leftJSON is what ended with somebody's rights.
type leftJSON struct {
	Kept      bool           `json:"kept" doc:"the credentials were made those of whoever asked, and not revoked"`
	Tokens    []programJSON  `json:"tokens" doc:"API tokens of theirs"`
	Consumers []string       `json:"consumers" doc:"MQTT consumers of theirs, by name"`
	Jobs      []topics.JobID `json:"jobs" doc:"jobs of theirs that waited and were cancelled"`
}

type programJSON struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func leftOf(l people.Left) leftJSON {
	out := leftJSON{Kept: l.Kept, Tokens: []programJSON{}, Consumers: []string{}, Jobs: []topics.JobID{}}
	for _, t := range l.Tokens {
		out.Tokens = append(out.Tokens, programJSON{ID: t.ID, Name: t.Name})
	}
	for _, u := range l.Consumers {
		out.Consumers = append(out.Consumers, u.Name)
	}
	for _, j := range l.Jobs {
		out.Jobs = append(out.Jobs, j.ID)
	}
	return out
}

// changedUserJSON is a person as they are now, and what they lost.
type changedUserJSON struct {
	userJSON
	Left leftJSON `json:"left" doc:"what ended with rights that they lost"`
}

type changedUserOut struct{ Body changedUserJSON }

type changeUserIn struct {
	ID   string `path:"id"`
	Body struct {
		Role     store.Role `json:"role,omitempty" enum:"viewer,operator,restorer,admin"`
		Disabled *bool      `json:"disabled,omitempty" doc:"true also revokes their API tokens and MQTT consumers"`
		Keep     *bool      `json:"keep,omitempty" doc:"true makes these yours and does not revoke them"`
		Zone     *string    `json:"zone,omitempty" doc:"in which pages show them moments: an IANA name, browser or server"`
	}
}

func (a *API) ChangeUser(ctx context.Context, in *changeUserIn) (*changedUserOut, error) {
	change := people.Input{Disabled: in.Body.Disabled, Zone: in.Body.Zone, Keep: in.Body.Keep}
	if in.Body.Role != "" {
		change.Role = &in.Body.Role
	}
	u, left, err := a.People.Change(ctx, session.Of(ctx).Maker(), in.ID, change)
	return &changedUserOut{changedUserJSON{userJSON: userOf(u), Left: leftOf(left)}}, problem.Saving("user", err)
}

type deleteUserIn struct {
	ID   string `path:"id"`
	Keep bool   `query:"keep" doc:"make their API tokens and MQTT consumers yours, and do not revoke them"`
}

type leftOut struct{ Body leftJSON }

func (a *API) DeleteUser(ctx context.Context, in *deleteUserIn) (*leftOut, error) {
	left, err := a.People.Remove(ctx, session.Of(ctx).Maker(), in.ID, in.Keep)
	return &leftOut{leftOf(left)}, problem.Saving("user", err)
}

type passwordLinkOut struct{ Body passwordLinkJSON }

func (a *API) CreatePasswordLink(ctx context.Context, in *userIn) (*passwordLinkOut, error) {
	link, err := a.People.NewLink(ctx, session.Of(ctx).Name, in.ID)
	return &passwordLinkOut{linkOf(link)}, err
}
