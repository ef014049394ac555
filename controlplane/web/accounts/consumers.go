package accounts

import (
	"errors"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/consumers"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
)

var toMQTT = views.Link{Text: "MQTT", URL: "/mqtt"}

func (s *Accounts) consumerView(u store.MQTTUser, all []base.Connected) views.Consumer {
	c := views.Consumer{Name: u.Name, MayDo: u.MayDo, By: u.CreatedBy, Created: s.When(u.CreatedAt), Seen: s.When(u.SeenAt)}
	for _, x := range all {
		if x.Name == u.Name {
			c.Connected++
		}
	}
	return c
}

func (s *Accounts) ConsumersPage(w http.ResponseWriter, r *http.Request) error {
	rows, err := s.Store.MQTTUsers(r.Context())
	if err != nil {
		return err
	}
	v, all := views.Consumers{Address: s.Settings.MQTT}, s.Connected()
	for _, u := range rows {
		v.List = append(v.List, s.consumerView(u, all))
	}
	for _, c := range all {
		v.Clients = append(v.Clients, views.ConsumerClient{Name: c.Name, ClientID: c.ClientID,
			Remote: c.Remote, Since: views.NewWhen(c.Since, s.Now())})
	}
	s.Render(w, r, http.StatusOK, views.ConsumersPage(s.Shell(r, "MQTT", "mqtt", views.Link{Text: "MQTT"}), v))
	return nil
}

func (s *Accounts) NewConsumerForm(w http.ResponseWriter, r *http.Request) error {
	return s.newConsumerPage(w, r, http.StatusOK, views.NewConsumer{})
}

func (s *Accounts) newConsumerPage(w http.ResponseWriter, r *http.Request, status int, f views.NewConsumer) error {
	s.Render(w, r, status, views.NewConsumerPage(s.Shell(r, "New credential", "mqtt", toMQTT, views.Link{Text: "New credential"}), f))
	return nil
}

// NewConsumer creates a credential and shows its password, which cannot be shown
// again.
func (s *Accounts) NewConsumer(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := views.NewConsumer{Name: strings.TrimSpace(r.PostForm.Get("name")), Do: r.PostForm.Get("do") != ""}
	u, secret, err := s.Credentials.Add(r.Context(), session.Of(r.Context()).Maker(), consumers.Input{Name: &f.Name, MayDo: &f.Do})
	var fields field.Errors
	switch {
	case err == nil:
		return s.showConsumer(w, r, u.Name, views.ConsumerForm{Password: secret, Done: "The credential is made"})
	case errors.As(err, &fields):
		f.NameError, f.Problem = fields["name"], besides("The credential was not made.", fields, "name")
	case errors.Is(err, consumers.ErrNameTaken):
		f.NameError, f.Problem = "There is a consumer of this name already.", "The credential was not made."
	default:
		return err
	}
	return s.newConsumerPage(w, r, base.StatusOf(problem.Of(err)), f)
}

func (s *Accounts) ConsumerPage(w http.ResponseWriter, r *http.Request) error {
	return s.showConsumer(w, r, base.Param(r, "name"), views.ConsumerForm{})
}

func (s *Accounts) showConsumer(w http.ResponseWriter, r *http.Request, name string, v views.ConsumerForm) error {
	u, err := s.Store.MQTTUser(r.Context(), name)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = consumers.ErrNoConsumer
		}
		return err
	}
	v.Consumer, v.Address = s.consumerView(u, s.Connected()), s.Settings.MQTT
	s.Render(w, r, http.StatusOK, views.ConsumerPage(s.Shell(r, u.Name, "mqtt", toMQTT, views.Link{Text: u.Name}), v))
	return nil
}

func (s *Accounts) ConsumerRights(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	do := r.PostForm.Get("do") != ""
	name, by := base.Param(r, "name"), session.Of(r.Context()).Maker()
	if _, err := s.Credentials.Change(r.Context(), by, name, consumers.Input{MayDo: &do}); err != nil {
		return err
	}
	return s.showConsumer(w, r, base.Param(r, "name"), views.ConsumerForm{Done: "The access is changed, and its connections were ended"})
}

func (s *Accounts) ConsumerPassword(w http.ResponseWriter, r *http.Request) error {
	_, secret, err := s.Credentials.NewPassword(r.Context(), session.Of(r.Context()).Maker(), base.Param(r, "name"), consumers.Input{})
	if err != nil {
		return err
	}
	return s.showConsumer(w, r, base.Param(r, "name"), views.ConsumerForm{Password: secret,
		Done: "It has a new password, and its connections were ended"})
}

func (s *Accounts) RevokeConsumer(w http.ResponseWriter, r *http.Request) error {
	if err := s.Credentials.Revoke(r.Context(), session.Of(r.Context()).Name, base.Param(r, "name")); err != nil {
		return err
	}
	layout.Redirect(w, r, "/mqtt")
	return nil
}
