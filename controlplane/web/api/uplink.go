package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

// An uplinkJSON is how the user's own broker is reached, and how that is going. It has no
// secret.
type uplinkJSON struct {
	URL         string          `json:"url" doc:"with its port; empty is none"`
	User        string          `json:"user"`
	HasPassword bool            `json:"has_password" doc:"the password itself is never told"`
	CA          string          `json:"ca" doc:"PEM; empty is what the system trusts"`
	Certificate string          `json:"certificate" doc:"PEM, of the client"`
	HasKey      bool            `json:"has_key" doc:"the key itself is never told"`
	Insecure    bool            `json:"insecure" doc:"in clear beyond this machine"`
	Prefix      string          `json:"prefix" doc:"of Home Assistant's discovery there; empty is the one of its settings"`
	Root        string          `json:"root" doc:"of our topics there"`
	Commands    uplink.Commands `json:"commands" enum:"off,external,by-consumer" doc:"whose commands are to be heard there"`
	Fixed       bool            `json:"fixed" doc:"the command line says how it is reached: only prefix, root and commands can be changed"`
	Tested      bool            `json:"tested" doc:"consumers cannot write for one another there: commands may be by-consumer"`
	Unreadable  bool            `json:"unreadable" doc:"password and key cannot be read, and have to be entered again"`
	Version     int64           `json:"version" doc:"rises with each change"`

	Status uplinkStatusJSON `json:"status"`
}

type uplinkStatusJSON struct {
	Connected bool              `json:"connected"`
	Since     *time.Time        `json:"since" doc:"since when it is connected, or is not"`
	Error     string            `json:"error" doc:"why it is not connected"`
	Remedy    string            `json:"remedy" doc:"what to do about it"`
	Behind    bool              `json:"behind" doc:"not everything was said since the connection began"`
	Heard     bool              `json:"heard" doc:"our own availability came back: the broker passes on what it takes"`
	Warnings  []string          `json:"warnings" nullable:"false"`
	Commands  uplink.Commands   `json:"commands" enum:"off,external,by-consumer," doc:"that are heard now"`
	Topics    int               `json:"topics" doc:"retained there"`
	Published uint64            `json:"published" doc:"messages since the start"`
	Received  uint64            `json:"received" doc:"commands since the start"`
	Refused   uint64            `json:"refused" doc:"commands since the start that were not carried out"`
	Leaving   []uplinkPlaceJSON `json:"leaving" nullable:"false" doc:"brokers that were left and where something of ours is still retained"`
}

type uplinkPlaceJSON struct {
	ID      string     `json:"id"`
	URL     string     `json:"url"`
	Topics  int        `json:"topics" doc:"retained there"`
	Since   *time.Time `json:"since" doc:"when it was left"`
	TriedAt *time.Time `json:"tried_at" doc:"when it was last tried to clear it; null is never"`
	Error   string     `json:"error" doc:"why that failed"`
}

func uplinkOf(s uplink.Settings, st uplink.Status) uplinkJSON {
	out := uplinkJSON{URL: s.URL, User: s.User, HasPassword: s.HasPassword, CA: s.CA, Certificate: s.Certificate, HasKey: s.HasKey,
		Insecure: s.Insecure, Prefix: s.Prefix, Root: s.Root, Commands: s.Commands, Fixed: s.Fixed, Tested: s.Tested,
		Unreadable: s.Unread != nil, Version: s.Version,
		Status: uplinkStatusJSON{Connected: st.Connected, Since: base.JSONTime(st.Since), Error: st.Error, Remedy: st.Remedy,
			Behind: st.Behind, Heard: st.Heard, Warnings: append([]string{}, st.Warnings...), Commands: st.Commands, Topics: st.Topics,
			Published: st.Published, Received: st.Received, Refused: st.Refused, Leaving: []uplinkPlaceJSON{}}}
	for _, l := range st.Leaving {
		out.Status.Leaving = append(out.Status.Leaving, uplinkPlaceJSON{ID: l.ID, URL: l.URL, Topics: l.Topics,
			Since: base.JSONTime(l.Since), TriedAt: base.JSONTime(l.TriedAt), Error: l.Error})
	}
	return out
}

type uplinkOut struct{ Body uplinkJSON }

// GetUplink answers with how the user's own broker is reached, and how that is going.
func (a *API) GetUplink(ctx context.Context, _ *struct{}) (*uplinkOut, error) {
	set, err := a.Uplink.Settings(ctx)
	if err != nil {
		return nil, err
	}
	return &uplinkOut{uplinkOf(set, a.Uplink.Status())}, nil
}

// An UplinkBody is what somebody wants of it.
type UplinkBody struct {
	URL         *string          `json:"url,omitempty" doc:"mqtts://HOST:PORT, mqtt://, wss:// or ws://; empty ends it"`
	User        *string          `json:"user,omitempty"`
	Password    *topics.Secret   `json:"password,omitempty" doc:"left out stays, unless the URL leads to another host or port"`
	CA          *string          `json:"ca,omitempty" doc:"PEM"`
	Certificate *string          `json:"certificate,omitempty" doc:"PEM, of the client"`
	Key         *topics.Secret   `json:"key,omitempty" doc:"PEM, of the certificate; left out stays like the password"`
	Insecure    *bool            `json:"insecure,omitempty" doc:"have mqtt:// and ws:// lead to other machines"`
	Prefix      *string          `json:"prefix,omitempty" doc:"of Home Assistant's discovery there; empty is the one of its settings"`
	Root        *string          `json:"root,omitempty" doc:"of our topics there; empty is rm/v1"`
	Commands    *uplink.Commands `json:"commands,omitempty" enum:"off,external,by-consumer" doc:"by-consumer takes a test first"`
}

func (b UplinkBody) input() uplink.Input {
	return uplink.Input{URL: b.URL, User: b.User, Password: b.Password, CA: b.CA, Certificate: b.Certificate, Key: b.Key, Insecure: b.Insecure,
		Prefix: b.Prefix, Root: b.Root, Commands: b.Commands}
}

type putUplinkIn struct {
	Body struct {
		UplinkBody
		Version *int64 `json:"version,omitempty" doc:"refused if it has another one; left out does not ask"`
	}
}

// PutUplink says how the user's own broker is reached.
func (a *API) PutUplink(ctx context.Context, in *putUplinkIn) (*uplinkOut, error) {
	input := in.Body.input()
	input.Version = in.Body.Version
	if err := a.Uplink.Put(ctx, session.Of(ctx).Name, input); err != nil {
		return nil, problem.Saving("broker", err)
	}
	return a.GetUplink(ctx, nil)
}

type testUplinkIn struct {
	Body *struct {
		UplinkBody
		SecondUser     string        `json:"second_user,omitempty" doc:"the account of a consumer there: is it kept from writing for others?"`
		SecondPassword topics.Secret `json:"second_password,omitempty" doc:"it is not kept"`
	}
}

type uplinkStepJSON struct {
	Name   string `json:"name" doc:"connect, write, retain, size, discovery, will, commands, consumers"`
	OK     bool   `json:"ok"`
	Warn   bool   `json:"warn" doc:"it is not well, but the rest works without"`
	Text   string `json:"text" doc:"what was found"`
	Remedy string `json:"remedy" doc:"what to do about it"`
}

type testUplinkOut struct {
	Body struct {
		OK     bool             `json:"ok" doc:"everything that is needed works"`
		Proven bool             `json:"proven" doc:"the second account cannot write for others"`
		Steps  []uplinkStepJSON `json:"steps" nullable:"false"`
	}
}

// TestUplink tries what the settings with these changes would be good for, and saves none.
// Without a body it tries what is set.
func (a *API) TestUplink(ctx context.Context, in *testUplinkIn) (*testUplinkOut, error) {
	var changes uplink.Input
	var second *uplink.Account
	if b := in.Body; b != nil {
		changes = b.input()
		if b.SecondUser != "" || b.SecondPassword != "" {
			second = &uplink.Account{User: b.SecondUser, Password: b.SecondPassword}
		}
	}
	r, err := a.Uplink.Test(ctx, session.Of(ctx).Name, changes, second)
	if err != nil {
		return nil, problem.Saving("test", err)
	}
	out := &testUplinkOut{}
	out.Body.OK, out.Body.Proven, out.Body.Steps = r.OK, r.Proven, []uplinkStepJSON{}
	for _, s := range r.Steps {
		out.Body.Steps = append(out.Body.Steps, uplinkStepJSON(s))
	}
	return out, nil
}

type uplinkPlaceIn struct {
	ID string `path:"id" doc:"of a broker in status.leaving"`
}

// GiveUpUplinkPlace leaves alone what is retained at a broker that was left.
func (a *API) GiveUpUplinkPlace(ctx context.Context, in *uplinkPlaceIn) (*struct{}, error) {
	return nil, problem.Saving("broker", a.Uplink.GiveUp(ctx, session.Of(ctx).Name, in.ID))
}
