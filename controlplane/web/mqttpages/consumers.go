package mqttpages

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/consumers"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
)

var toMQTT = views.Link{Text: "MQTT", URL: "/mqtt"}

func (s *Pages) consumerView(u store.MQTTUser, all []base.Connected) views.Consumer {
	c := views.Consumer{Name: u.Name, Rights: rightsOf(u), By: u.CreatedBy, Created: s.When(u.CreatedAt), Seen: s.When(u.SeenAt)}
	for _, x := range all {
		if x.Name == u.Name {
			c.Connected++
		}
	}
	return c
}

// credentials lists those of consumers.
func (s *Pages) credentials(ctx context.Context) (*views.Consumers, error) {
	rows, err := s.Store.MQTTUsers(ctx)
	if err != nil {
		return nil, err
	}
	set, _, err := s.Discovery.Get(ctx)
	if err != nil {
		return nil, err
	}
	v, all := &views.Consumers{Prefix: set.Prefix}, s.Connected()
	for _, u := range rows {
		v.List = append(v.List, s.consumerView(u, all))
	}
	return v, nil
}

func (s *Pages) NewConsumerForm(w http.ResponseWriter, r *http.Request) error {
	return s.newConsumerPage(w, r, http.StatusOK, views.NewConsumer{})
}

func (s *Pages) newConsumerPage(w http.ResponseWriter, r *http.Request, status int, f views.NewConsumer) error {
	s.Render(w, r, status, views.NewConsumerPage(s.Shell(r, "New credential", "mqtt", toMQTT, views.Link{Text: "New credential"}), f))
	return nil
}

// NewConsumer creates a credential and shows its password, which cannot be shown
// again.
func (s *Pages) NewConsumer(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	in, typed := rightsIn(r)
	f := views.NewConsumer{Name: strings.TrimSpace(r.PostForm.Get("name")), Rights: typed}
	in.Name = &f.Name
	u, secret, err := s.Credentials.Add(r.Context(), session.Of(r.Context()).Maker(), in)
	var fields field.Errors
	switch {
	case err == nil:
		return s.saved(w, r, u, views.ConsumerForm{Password: secret, Done: "The credential is made"})
	case errors.As(err, &fields):
		f.NameError, f.Rights.TagsError = fields["name"], fields["tags"]
		f.Problem = layout.Besides("The credential was not made.", fields, "name", "tags")
	case errors.Is(err, consumers.ErrNameTaken):
		f.NameError, f.Problem = "There is a consumer of this name already.", "The credential was not made."
	default:
		return err
	}
	return s.newConsumerPage(w, r, base.StatusOf(problem.Of(err)), f)
}

func (s *Pages) ConsumerPage(w http.ResponseWriter, r *http.Request) error {
	return s.showConsumer(w, r, base.Param(r, "name"), views.ConsumerForm{})
}

func (s *Pages) showConsumer(w http.ResponseWriter, r *http.Request, name string, v views.ConsumerForm) error {
	return s.showAs(w, r, http.StatusOK, name, v, nil)
}

// showAs shows a consumer; typed, if set, is what somebody wants its rights to be.
func (s *Pages) showAs(w http.ResponseWriter, r *http.Request, status int, name string, v views.ConsumerForm,
	typed *views.ConsumerRights) error {
	u, err := s.Store.MQTTUser(r.Context(), name)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = consumers.ErrNoConsumer
		}
		return err
	}
	set, _, err := s.Discovery.Get(r.Context())
	if err != nil {
		return err
	}
	v.Prefix = set.Prefix
	v.Consumer, v.Address, v.Socket = s.consumerView(u, s.Connected()), s.listens(r), s.socket(r)
	if typed != nil {
		v.Rights = *typed
	}
	s.Render(w, r, status, views.ConsumerPage(s.Shell(r, u.Name, "mqtt", toMQTT, views.Link{Text: u.Name}), v))
	return nil
}

func (s *Pages) ConsumerRights(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	in, typed := rightsIn(r)
	name, by := base.Param(r, "name"), session.Of(r.Context()).Maker()
	u, err := s.Credentials.Change(r.Context(), by, name, in)
	var fields field.Errors
	switch {
	case errors.As(err, &fields):
		typed.TagsError = fields["tags"]
		return s.showAs(w, r, base.StatusOf(problem.Of(err)), name, views.ConsumerForm{
			Problem: layout.Besides("The access was not changed.", fields, "tags")}, &typed)
	case err != nil:
		return err
	}
	return s.saved(w, r, u, views.ConsumerForm{Done: "The access is changed, and its connections were ended"})
}

// rightsIn are the rights that a form was sent with. Tags that it has no field for stay.
func rightsIn(r *http.Request) (consumers.Input, views.ConsumerRights) {
	typed := views.ConsumerRights{Do: r.PostForm.Get("do") != "", Tags: strings.TrimSpace(r.PostForm.Get("tags")),
		HomeAssistant: r.PostForm.Get("home_assistant") != ""}
	in := consumers.Input{MayDo: &typed.Do, HomeAssistant: &typed.HomeAssistant}
	if r.PostForm.Has("tags") {
		in.Tags = new(hosts.TagsOf(typed.Tags))
	}
	return in, typed
}

func rightsOf(u store.MQTTUser) views.ConsumerRights {
	return views.ConsumerRights{Do: u.MayDo, Tags: strings.Join(u.Tags, " "), HomeAssistant: u.HomeAssistant}
}

// saved shows a consumer after its rights were saved.
func (s *Pages) saved(w http.ResponseWriter, r *http.Request, u store.MQTTUser, v views.ConsumerForm) error {
	none, err := s.Credentials.Unused(r.Context(), u.Tags)
	if err != nil {
		return err
	}
	if len(none) > 0 {
		v.Hint = "No host has the tag " + strings.Join(none, " or ") + " yet. It hears of each that gets it."
	}
	return s.showConsumer(w, r, u.Name, v)
}

func (s *Pages) ConsumerPassword(w http.ResponseWriter, r *http.Request) error {
	_, secret, err := s.Credentials.NewPassword(r.Context(), session.Of(r.Context()).Maker(), base.Param(r, "name"), consumers.Input{})
	if err != nil {
		return err
	}
	return s.showConsumer(w, r, base.Param(r, "name"), views.ConsumerForm{Password: secret,
		Done: "It has a new password, and its connections were ended"})
}

func (s *Pages) RevokeConsumer(w http.ResponseWriter, r *http.Request) error {
	if err := s.Credentials.Revoke(r.Context(), session.Of(r.Context()).Name, base.Param(r, "name")); err != nil {
		return err
	}
	layout.Redirect(w, r, "/mqtt")
	return nil
}
