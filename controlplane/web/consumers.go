package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
)

// Consumers is what web asks of the public broker.
type Consumers interface {
	// Disconnect ends every connection of a consumer, whose rights have changed.
	Disconnect(name string)
	// Connected lists who is connected.
	Connected() []Connected
}

// Connected is one connection of a consumer.
type Connected struct {
	Name, ClientID, Remote string
	Since                  time.Time
}

var toMQTT = views.Link{Text: "MQTT", URL: "/mqtt"}

func consumerProblem(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &problem.Problem{Kind: problem.NotFound, Title: "There is no such consumer", Say: "It was revoked, or was never here.", Do: "Look for it among all consumers.",
			Link: problem.Link{Text: "All consumers", URL: "/mqtt"}, Err: err}
	case errors.Is(err, store.ErrConflict):
		return &problem.Problem{Kind: problem.Conflict, Title: "There is a consumer of this name already", Say: "Each has a name of its own.", Do: "Choose another name, or give that one a new password.", Err: err}
	case errors.Is(err, store.ErrConsumerName):
		return &problem.Problem{Kind: problem.Invalid, Title: "The credential was not made", Say: upper(err.Error()) + ".", Do: "Choose another name.", Err: err}
	}
	return err
}

// The deeds on a consumer, for pages and API alike. Its connections with the
// rights it had end before they return.

func (s *Server) addConsumer(ctx context.Context, name string, mayDo bool) (secret string, err error) {
	secret = password.NewKey("")
	return secret, consumerProblem(s.Store.AddMQTTUser(ctx, visitorOf(ctx).name, store.MQTTUser{Name: name, KeyHash: password.HashKey(secret), MayDo: mayDo, CreatedAt: s.Now().UnixMilli()}))
}

func (s *Server) setConsumerRights(ctx context.Context, name string, mayDo bool) error {
	err := s.Store.ChangeMQTTUser(ctx, visitorOf(ctx).name, name, nil, mayDo)
	return s.disconnected(name, err)
}

func (s *Server) newConsumerPassword(ctx context.Context, name string) (secret string, err error) {
	u, err := s.Store.MQTTUser(ctx, name)
	if err != nil {
		return "", consumerProblem(err)
	}
	secret = password.NewKey("")
	err = s.Store.ChangeMQTTUser(ctx, visitorOf(ctx).name, name, password.HashKey(secret), u.MayDo)
	return secret, s.disconnected(name, err)
}

func (s *Server) removeConsumer(ctx context.Context, name string) error {
	return s.disconnected(name, s.Store.RemoveMQTTUser(ctx, visitorOf(ctx).name, name))
}

func (s *Server) disconnected(name string, err error) error {
	if err == nil && s.Consumers != nil {
		s.Consumers.Disconnect(name)
	}
	return consumerProblem(err)
}

func (s *Server) connected() []Connected {
	if s.Consumers == nil {
		return nil
	}
	return s.Consumers.Connected()
}

func (s *Server) consumerView(u store.MQTTUser, all []Connected) views.Consumer {
	c := views.Consumer{Name: u.Name, MayDo: u.MayDo, By: u.CreatedBy, Created: s.when(u.CreatedAt), Seen: s.when(u.SeenAt)}
	for _, x := range all {
		if x.Name == u.Name {
			c.Connected++
		}
	}
	return c
}

func (s *Server) consumersPage(w http.ResponseWriter, r *http.Request) error {
	rows, err := s.Store.MQTTUsers(r.Context())
	if err != nil {
		return err
	}
	v, all := views.Consumers{Address: s.Settings.MQTT}, s.connected()
	for _, u := range rows {
		v.List = append(v.List, s.consumerView(u, all))
	}
	for _, c := range all {
		v.Clients = append(v.Clients, views.ConsumerClient{Name: c.Name, ClientID: c.ClientID, Remote: c.Remote, Since: views.NewWhen(c.Since, s.Now())})
	}
	s.render(w, r, http.StatusOK, views.ConsumersPage(s.shell(r, "MQTT", "mqtt", views.Link{Text: "MQTT"}), v))
	return nil
}

func (s *Server) newConsumerForm(w http.ResponseWriter, r *http.Request) error {
	return s.newConsumerPage(w, r, http.StatusOK, views.NewConsumer{})
}

func (s *Server) newConsumerPage(w http.ResponseWriter, r *http.Request, status int, f views.NewConsumer) error {
	s.render(w, r, status, views.NewConsumerPage(s.shell(r, "New credential", "mqtt", toMQTT, views.Link{Text: "New credential"}), f))
	return nil
}

// newConsumer makes a credential. Its page is the only place that ever shows the
// password.
func (s *Server) newConsumer(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	f := views.NewConsumer{Name: strings.TrimSpace(r.PostForm.Get("name")), Do: r.PostForm.Get("do") != ""}
	secret, err := s.addConsumer(r.Context(), f.Name, f.Do)
	var p *problem.Problem
	if errors.As(err, &p) {
		f.Problem, f.NameError = "The credential was not made.", p.Say
		if p.Kind == problem.Conflict {
			f.NameError = p.Title + "."
		}
		return s.newConsumerPage(w, r, statusOf(p), f)
	} else if err != nil {
		return err
	}
	return s.showConsumer(w, r, f.Name, views.ConsumerForm{Password: secret, Done: "The credential is made"})
}

func (s *Server) consumerPage(w http.ResponseWriter, r *http.Request) error {
	return s.showConsumer(w, r, param(r, "name"), views.ConsumerForm{})
}

func (s *Server) showConsumer(w http.ResponseWriter, r *http.Request, name string, v views.ConsumerForm) error {
	u, err := s.Store.MQTTUser(r.Context(), name)
	if err != nil {
		return consumerProblem(err)
	}
	v.Consumer, v.Address = s.consumerView(u, s.connected()), s.Settings.MQTT
	s.render(w, r, http.StatusOK, views.ConsumerPage(s.shell(r, u.Name, "mqtt", toMQTT, views.Link{Text: u.Name}), v))
	return nil
}

func (s *Server) consumerRights(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	if err := s.setConsumerRights(r.Context(), param(r, "name"), r.PostForm.Get("do") != ""); err != nil {
		return err
	}
	return s.showConsumer(w, r, param(r, "name"), views.ConsumerForm{Done: "The access is changed, and its connections were ended"})
}

func (s *Server) consumerPassword(w http.ResponseWriter, r *http.Request) error {
	secret, err := s.newConsumerPassword(r.Context(), param(r, "name"))
	if err != nil {
		return err
	}
	return s.showConsumer(w, r, param(r, "name"), views.ConsumerForm{Password: secret, Done: "It has a new password, and its connections were ended"})
}

func (s *Server) revokeConsumer(w http.ResponseWriter, r *http.Request) error {
	if err := s.removeConsumer(r.Context(), param(r, "name")); err != nil {
		return err
	}
	redirect(w, r, "/mqtt")
	return nil
}
