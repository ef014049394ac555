package web

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/consumers"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/problem"
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
}

func userOf(u store.User) userJSON {
	return userJSON{u.ID, u.Name, u.Role, u.DisabledAt != 0, u.PasswordHash != "", moment(u.CreatedAt), moment(u.SeenAt)}
}

type userOut struct{ Body userJSON }

func (s *Server) listUsers(ctx context.Context, _ *struct{}) (*list1[userJSON], error) {
	rows, err := s.Store.Users(ctx)
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

func (s *Server) createUser(ctx context.Context, in *createUserIn) (*createUserOut, error) {
	u, link, err := s.people().Invite(ctx, session.Of(ctx).Name, people.Input{Name: &in.Body.Name, Role: &in.Body.Role})
	if err != nil {
		return nil, problem.Saving("user", err)
	}
	out := &createUserOut{}
	out.Body.User, out.Body.passwordLinkJSON = userOf(u), linkOf(link)
	return out, nil
}

func linkOf(l people.Link) passwordLinkJSON {
	return passwordLinkJSON{Path: linkPath(l), ExpiresAt: moment(l.ExpiresAt)}
}

type userIn struct {
	ID string `path:"id"`
}

type changeUserIn struct {
	ID   string `path:"id"`
	Body struct {
		Role     store.Role `json:"role,omitempty" enum:"viewer,operator,admin"`
		Disabled *bool      `json:"disabled,omitempty"`
	}
}

func (s *Server) changeUser(ctx context.Context, in *changeUserIn) (*userOut, error) {
	change := people.Input{Disabled: in.Body.Disabled}
	if in.Body.Role != "" {
		change.Role = &in.Body.Role
	}
	u, err := s.people().Change(ctx, session.Of(ctx).Name, in.ID, change)
	return &userOut{userOf(u)}, problem.Saving("user", err)
}

func (s *Server) deleteUser(ctx context.Context, in *userIn) (*struct{}, error) {
	return nil, s.people().Remove(ctx, session.Of(ctx).Name, in.ID)
}

type passwordLinkOut struct{ Body passwordLinkJSON }

func (s *Server) createPasswordLink(ctx context.Context, in *userIn) (*passwordLinkOut, error) {
	link, err := s.people().NewLink(ctx, session.Of(ctx).Name, in.ID)
	return &passwordLinkOut{linkOf(link)}, err
}

type sessionJSON struct {
	ID        string     `json:"id"`
	User      string     `json:"user" doc:"ID"`
	Remote    string     `json:"remote"`
	Browser   string     `json:"browser"`
	BeganAt   *time.Time `json:"began_at"`
	SeenAt    *time.Time `json:"seen_at"`
	ExpiresAt *time.Time `json:"expires_at"`
}

// listSessions lists the caller's own sessions, for an administrator everybody's.
func (s *Server) listSessions(ctx context.Context, _ *struct{}) (*list1[sessionJSON], error) {
	v := session.Of(ctx)
	if v.UserID == "" && !v.May(store.Admin) {
		return &list1[sessionJSON]{[]sessionJSON{}}, nil // a program has none
	}
	whose := v.UserID
	if v.May(store.Admin) {
		whose = ""
	}
	rows, err := s.Store.SessionList(ctx, whose)
	out := make([]sessionJSON, len(rows))
	for i, n := range rows {
		out[i] = sessionJSON{n.ID, n.User, n.Remote, n.Browser, moment(n.BeganAt), moment(n.SeenAt), moment(n.ExpiresAt)}
	}
	return &list1[sessionJSON]{out}, err
}

func (s *Server) deleteSession(ctx context.Context, in *userIn) (*struct{}, error) {
	return nil, s.endSession(ctx, in.ID)
}

func (s *Server) deleteSessions(ctx context.Context, in *userIn) (*struct{}, error) {
	return nil, s.people().SignOut(ctx, session.Of(ctx).Name, in.ID)
}

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
	return tokenJSON{t.ID, t.Name, t.Role, moment(t.CreatedAt), t.CreatedBy, moment(t.ExpiresAt), moment(t.UsedAt)}
}

func (s *Server) listTokens(ctx context.Context, _ *struct{}) (*list1[tokenJSON], error) {
	rows, err := s.Store.APITokens(ctx)
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

func (s *Server) createToken(ctx context.Context, in *createTokenIn) (*createTokenOut, error) {
	t, key, err := s.people().AddToken(ctx, session.Of(ctx).Name, people.TokenInput{
		Name: &in.Body.Name,
		Role: &in.Body.Role,
		Life: new(people.Days(in.Body.Days)),
	})
	out := &createTokenOut{}
	out.Body.Token, out.Body.Key = tokenOf(t), key
	return out, problem.Saving("token", err)
}

func (s *Server) deleteToken(ctx context.Context, in *userIn) (*struct{}, error) {
	return nil, s.people().RevokeToken(ctx, session.Of(ctx).Name, in.ID)
}

type consumerJSON struct {
	Name      string     `json:"name"`
	Do        bool       `json:"do" doc:"may ask for backups and cancel them"`
	Connected int        `json:"connected" doc:"connections now"`
	CreatedAt *time.Time `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	SeenAt    *time.Time `json:"seen_at" doc:"when it last connected"`
}

func (s *Server) consumerJSON(u store.MQTTUser) consumerJSON {
	return consumerJSON{u.Name, u.MayDo, s.consumerView(u, s.connected()).Connected, moment(u.CreatedAt), u.CreatedBy, moment(u.SeenAt)}
}

func (s *Server) listConsumers(ctx context.Context, _ *struct{}) (*list1[consumerJSON], error) {
	rows, err := s.Store.MQTTUsers(ctx)
	out := make([]consumerJSON, len(rows))
	for i, u := range rows {
		out[i] = s.consumerJSON(u)
	}
	return &list1[consumerJSON]{out}, err
}

type createConsumerIn struct {
	Body struct {
		Name string `json:"name"`
		Do   bool   `json:"do,omitempty"`
	}
}

type consumerPasswordOut struct {
	Body struct {
		Name     string `json:"name"`
		Password string `json:"password" doc:"told only here"`
	}
}

func withPassword(u store.MQTTUser, secret string, err error) (*consumerPasswordOut, error) {
	out := &consumerPasswordOut{}
	out.Body.Name, out.Body.Password = u.Name, secret
	return out, err
}

func (s *Server) createConsumer(ctx context.Context, in *createConsumerIn) (*consumerPasswordOut, error) {
	u, secret, err := s.consumers().Add(ctx, session.Of(ctx).Name, consumers.Input{Name: &in.Body.Name, MayDo: &in.Body.Do})
	return withPassword(u, secret, problem.Saving("credential", err))
}

type consumerIn struct {
	Name string `path:"name"`
}

type changeConsumerIn struct {
	Name string `path:"name"`
	Body struct {
		Do bool `json:"do"`
	}
}

type consumerOut struct{ Body consumerJSON }

func (s *Server) changeConsumer(ctx context.Context, in *changeConsumerIn) (*consumerOut, error) {
	u, err := s.consumers().Change(ctx, session.Of(ctx).Name, in.Name, consumers.Input{MayDo: &in.Body.Do})
	return &consumerOut{s.consumerJSON(u)}, err
}

func (s *Server) resetConsumer(ctx context.Context, in *consumerIn) (*consumerPasswordOut, error) {
	return withPassword(s.consumers().NewPassword(ctx, session.Of(ctx).Name, in.Name, consumers.Input{}))
}

func (s *Server) deleteConsumer(ctx context.Context, in *consumerIn) (*struct{}, error) {
	return nil, s.consumers().Revoke(ctx, session.Of(ctx).Name, in.Name)
}
