package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rekey"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

type passwordIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body struct {
		Password *string `json:"password,omitempty" maxLength:"1000" doc:"the new one; left out is one that is made here"`
		Patient  bool    `json:"patient,omitempty" doc:"the old key stays until no kept copy of the control plane's database knows it alone"`
	}
}

// A passwordPlaceJSON is how far a change is at one place of the repository.
type passwordPlaceJSON struct {
	Host      topics.HostID `json:"host" doc:"whose place it is; empty is one that all hosts share"`
	AddedAt   *time.Time    `json:"added_at" doc:"when the new password was proven by opening with it"`
	Key       string        `json:"key" doc:"the key that the new password opens"`
	RemovedAt *time.Time    `json:"removed_at" doc:"when the keys of the former password were gone"`
	Job       topics.JobID  `json:"job" doc:"at work, or empty"`
	Problem   string        `json:"problem" doc:"why the last attempt failed, or empty"`
	Stuck     string        `json:"stuck" doc:"why it does not get on there, or empty: an administrator may go on without it"`
	LeftBy    string        `json:"left_by" doc:"who goes on without it, or empty"`
	LeftAt    *time.Time    `json:"left_at"`
	LeftWhy   string        `json:"left_why" doc:"why it was not reached then"`
	Opens     string        `json:"opens" doc:"of a place without which it went on, what opens it, in sentences"`
}

type passwordHostJSON struct {
	Host        topics.HostID `json:"host"`
	HostName    string        `json:"host_name"`
	ConfirmedAt *time.Time    `json:"confirmed_at"`
	WaivedBy    string        `json:"waived_by" doc:"who goes on without it, or empty"`
}

type passwordJSON struct {
	State       string              `json:"state" enum:"adding,switching,removing,done,undone" doc:"switching: hosts come to have it"`
	CalledOff   bool                `json:"called_off"`
	Waits       []string            `json:"waits" doc:"what it waits for, in sentences"`
	Outstanding []topics.HostID     `json:"outstanding" doc:"hosts that have not confirmed their config with the password that stays"`
	Places      []passwordPlaceJSON `json:"places"`
	Hosts       []passwordHostJSON  `json:"hosts"`
	BeganBy     string              `json:"began_by"`
	BeganAt     *time.Time          `json:"began_at"`
	SwitchedAt  *time.Time          `json:"switched_at"`
	EndedAt     *time.Time          `json:"ended_at"`
}

type passwordOut struct {
	Body struct {
		passwordJSON
		Password string `json:"password,omitempty" doc:"the new one if it was made here: in this answer alone"`
	}
}

func passwordOf(st rekey.Status) (p passwordJSON) {
	p = passwordJSON{State: string(st.State), CalledOff: st.Back, Waits: append([]string{}, st.Waits...), Outstanding: []topics.HostID{},
		Places: []passwordPlaceJSON{}, Hosts: []passwordHostJSON{}, BeganBy: st.BeganBy, BeganAt: base.JSONTime(st.BeganAt),
		SwitchedAt: base.JSONTime(st.SwitchedAt), EndedAt: base.JSONTime(st.EndedAt)}
	for _, x := range st.Places {
		one := passwordPlaceJSON{Host: x.Host, AddedAt: base.JSONTime(x.AddedAt), Key: x.KeyID, RemovedAt: base.JSONTime(x.RemovedAt),
			Job: x.Job, Problem: x.Why, Stuck: st.Stuck(x), LeftBy: x.LeftBy, LeftAt: base.JSONTime(x.LeftAt), LeftWhy: x.LeftWhy}
		if x.Left() {
			one.Opens = rekey.What(st.Change, x)
		}
		p.Places = append(p.Places, one)
	}
	for _, h := range st.Hosts {
		p.Hosts = append(p.Hosts, passwordHostJSON{Host: h.Host.Host, HostName: h.Name, ConfirmedAt: base.JSONTime(h.ConfirmedAt),
			WaivedBy: h.WaivedBy})
		if !h.Settled() && !st.Ended() {
			p.Outstanding = append(p.Outstanding, h.Host.Host)
		}
	}
	return p
}

// ChangePassword begins to change a repository's password.
func (a *API) ChangePassword(ctx context.Context, in *passwordIn) (*passwordOut, error) {
	want := rekey.Input{Patient: in.Body.Patient}
	if in.Body.Password != nil {
		want.Password = new(topics.Secret(*in.Body.Password))
	}
	begun, err := a.Rekey.Begin(ctx, session.Of(ctx).Name, in.ID, want)
	if err != nil {
		return nil, err
	}
	out, err := a.passwordChange(ctx, in.ID)
	if err == nil && begun.Made {
		out.Body.Password = begun.Password.Reveal()
	}
	return out, err
}

// PasswordChange says how far the last change of a repository's password is.
func (a *API) PasswordChange(ctx context.Context, in *repositoryIn) (*passwordOut, error) {
	if _, err := repositories.Find(ctx, a.Store, in.ID); err != nil {
		return nil, err
	}
	return a.passwordChange(ctx, in.ID)
}

func (a *API) passwordChange(ctx context.Context, id topics.RepositoryID) (*passwordOut, error) {
	out := &passwordOut{}
	st, err := a.Rekey.Last(ctx, id)
	out.Body.passwordJSON = passwordOf(st)
	return out, err
}

// CallOffPassword has the change go back.
func (a *API) CallOffPassword(ctx context.Context, in *repositoryIn) (*passwordOut, error) {
	if err := a.Rekey.CallOff(ctx, session.Of(ctx).Name, in.ID); err != nil {
		return nil, err
	}
	return a.passwordChange(ctx, in.ID)
}

type goOnIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body struct {
		Hosts  []topics.HostID `json:"hosts,omitempty" maxItems:"1000" doc:"without which it goes on; with no places either, all of them"`
		Places []topics.HostID `json:"places,omitempty" maxItems:"1000" doc:"the hosts whose own places it goes on without"`
	}
}

// GoOnPassword has the change go on without hosts that have not confirmed, and without places
// that nobody reaches.
func (a *API) GoOnPassword(ctx context.Context, in *goOnIn) (*passwordOut, error) {
	if err := a.Rekey.GoOn(ctx, session.Of(ctx).Name, in.ID, rekey.Without{Hosts: in.Body.Hosts, Places: in.Body.Places}); err != nil {
		return nil, err
	}
	return a.passwordChange(ctx, in.ID)
}

type formerIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body struct {
		Place topics.HostID `json:"place" doc:"the host whose place it is"`
	}
}

type formerOut struct {
	Body struct {
		Password string `json:"password"`
	}
}

// FormerPassword tells the password that opens a place without which a change went on.
func (a *API) FormerPassword(ctx context.Context, in *formerIn) (*formerOut, error) {
	p, err := a.Rekey.Former(ctx, session.Of(ctx).Name, in.ID, in.Body.Place)
	out := &formerOut{}
	out.Body.Password = p.Reveal()
	return out, err
}

type addKeyIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body struct {
		User     string  `json:"user" maxLength:"100" doc:"for whom it is, as restic calls it"`
		Host     string  `json:"host,omitempty" maxLength:"100"`
		Password *string `json:"password,omitempty" maxLength:"1000" doc:"left out is one that is made here"`
	}
}

type unaskedJSON struct {
	Host     topics.HostID `json:"host"`
	HostName string        `json:"host_name"`
	Problem  string        `json:"problem"`
}

type addKeyOut struct {
	Body struct {
		Jobs     []topics.JobID `json:"jobs" doc:"one at each place of the repository"`
		Password string         `json:"password,omitempty" doc:"if it was made here: in this answer alone"`
		Unasked  []unaskedJSON  `json:"unasked" doc:"places that get no key now; the same password, said here, adds it there later"`
	}
}

// AddKey has a key added.
func (a *API) AddKey(ctx context.Context, in *addKeyIn) (*addKeyOut, error) {
	want := rekey.KeyInput{User: in.Body.User, Host: in.Body.Host}
	if in.Body.Password != nil {
		want.Password = new(topics.Secret(*in.Body.Password))
	}
	k, err := a.Rekey.AddKey(ctx, session.Of(ctx).Name, in.ID, want)
	if err != nil {
		return nil, err
	}
	out := &addKeyOut{}
	out.Body.Jobs, out.Body.Unasked = k.Jobs, []unaskedJSON{}
	for _, u := range k.Unasked {
		out.Body.Unasked = append(out.Body.Unasked, unaskedJSON{Host: u.Host, HostName: u.Name, Problem: problem.Of(u.Err).Say})
	}
	if want.Password == nil {
		out.Body.Password = k.Password.Reveal()
	}
	return out, nil
}

type removeKeyOut struct {
	Body struct {
		Job topics.JobID `json:"job"`
	}
}

// RemoveKey has a key removed that is not in use.
func (a *API) RemoveKey(ctx context.Context, in *trustKeyIn) (*removeKeyOut, error) {
	out := &removeKeyOut{}
	var err error
	out.Body.Job, err = a.Rekey.RemoveKey(ctx, session.Of(ctx).Name, in.ID, in.Key)
	return out, err
}
