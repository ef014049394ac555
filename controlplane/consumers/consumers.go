// Package consumers makes, changes and revokes the credentials of MQTT consumers:
// programs that read the public topics and may ask for jobs.
//
// Pages, API and command line all do it here, so the rules are the same for all.
package consumers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
)

// Why something was not done; [field.Errors] for a bad input.
var (
	ErrNoConsumer = errors.New("there is no such consumer")
	ErrNameTaken  = errors.New("there is a consumer of this name already")
)

// Service does what is asked for. Each method is one transaction with its audit
// entry in it.
type Service struct {
	Store *store.Store
	Now   func() time.Time // nil is time.Now
	// Changed is called with the name of a consumer whose rights or password have
	// changed: its connections have those it had before.
	Changed func(name string)
}

// Input is a consumer as somebody wants it. What is nil stays as it is.
type Input struct {
	Name  *string // of a new consumer; it cannot be changed
	MayDo *bool   // may publish to do/ topics, which ask for jobs
}

// checkName keeps names fit for topics, logs and addresses.
func checkName(name string) string {
	if text := field.Name("name", name); text != "" {
		return text
	}
	if strings.ContainsAny(name, "+#/") {
		return "A consumer's name is without + # and /, which mean something in topics."
	}
	return ""
}

// Add makes a credential. Its password is returned here and never again.
func (s Service) Add(ctx context.Context, by store.Maker, in Input) (u store.MQTTUser, secret string, err error) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	secret = password.NewKey("")
	u = store.MQTTUser{
		KeyHash:   password.HashKey(secret),
		CreatedAt: now().UnixMilli(),
	}
	if in.Name != nil {
		u.Name = field.Clean(*in.Name)
	}
	if in.MayDo != nil {
		u.MayDo = *in.MayDo
	}
	wrong := field.Errors{}
	wrong.Say("name", checkName(u.Name))
	if err := wrong.Err(); err != nil {
		return u, "", err
	}
	if err = s.Store.AddMQTTUser(ctx, by, u); errors.Is(err, store.ErrConflict) {
		err = fmt.Errorf("%w: %w", ErrNameTaken, err)
	}
	return u, secret, err
}

// Change gives a consumer other rights, and ends its connections.
func (s Service) Change(ctx context.Context, by store.Maker, name string, in Input) (store.MQTTUser, error) {
	if in.Name != nil {
		return store.MQTTUser{}, field.Errors{"name": "A consumer's name cannot be changed."}
	}
	return s.change(ctx, by, name, store.MQTTUserChange{MayDo: in.MayDo})
}

// NewPassword gives a consumer another password, with MayDo also other rights,
// and ends its connections. The password is returned here and never again: whoever
// asked for it answers for the consumer from now on.
func (s Service) NewPassword(ctx context.Context, by store.Maker, name string, in Input) (u store.MQTTUser, secret string, err error) {
	secret = password.NewKey("")
	u, err = s.change(ctx, by, name, store.MQTTUserChange{KeyHash: password.HashKey(secret), MayDo: in.MayDo})
	return u, secret, err
}

func (s Service) change(ctx context.Context, by store.Maker, name string, c store.MQTTUserChange) (store.MQTTUser, error) {
	c.Stays = rights.Stays
	u, err := s.Store.ChangeMQTTUser(ctx, by, name, c)
	return u, s.changed(name, err)
}

// Revoke ends a consumer's credential and its connections.
func (s Service) Revoke(ctx context.Context, by, name string) error {
	return s.changed(name, s.Store.RemoveMQTTUser(ctx, by, name))
}

func (s Service) changed(name string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNoConsumer, err)
	case err == nil && s.Changed != nil:
		s.Changed(name)
	}
	return err
}
