// Package consumers makes, changes and revokes the credentials of MQTT consumers:
// programs that read the public topics and may ask for jobs.
//
// Pages, API and command line all do it here, so the rules are the same for all.
package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
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
	// Tags are those of the hosts that it hears of and commands; none is all hosts.
	Tags *[]string
	// HomeAssistant is whether it may be Home Assistant, whose birth counts.
	HomeAssistant *bool
}

// checkName keeps names fit for topics, logs and addresses.
func checkName(name string) string {
	if text := field.Name("name", name); text != "" {
		return text
	}
	if strings.ContainsAny(name, "+#/") {
		return "A consumer's name is without + # and /, which mean something in topics."
	}
	if name == External {
		return "Everybody has the name " + External + " who commands by a broker of yours; choose another one."
	}
	return ""
}

// External is the name under which everybody asks who may command on a broker of the
// user's own; no consumer has it.
const External = "external"

// MaxTags is how many tags a consumer has at most.
const MaxTags = 32

// clean returns the input as it is stored, and notes what is wrong with it.
func (in Input) clean(wrong field.Errors) Input {
	if in.Tags == nil {
		return in
	}
	tags := []string{}
	for _, t := range *in.Tags {
		tag, text := hosts.Tag(t)
		wrong.Say("tags", text)
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	if tags = slices.Compact(tags); len(tags) > MaxTags {
		wrong.Say("tags", fmt.Sprintf("A consumer has at most %d tags; these are %d.", MaxTags, len(tags)))
	}
	in.Tags = &tags
	return in
}

// Unused returns which of these tags no host has: allowed, since hosts may get them, and
// worth a word, since it may be misspelled.
func (s Service) Unused(ctx context.Context, tags []string) (none []string, err error) {
	for _, t := range tags {
		some, err := s.Store.HostsTagged(ctx, t)
		if err != nil {
			return nil, err
		}
		if len(some) == 0 {
			none = append(none, t)
		}
	}
	return none, nil
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
	if in = in.clean(wrong); in.Tags != nil {
		u.Tags = *in.Tags
	}
	if in.HomeAssistant != nil {
		u.HomeAssistant = *in.HomeAssistant
	}
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
	return s.change(ctx, by, name, in, nil)
}

// NewPassword gives a consumer another password, with an input also other rights,
// and ends its connections. The password is returned here and never again: whoever
// asked for it answers for the consumer from now on.
func (s Service) NewPassword(ctx context.Context, by store.Maker, name string, in Input) (u store.MQTTUser, secret string, err error) {
	secret = password.NewKey("")
	u, err = s.change(ctx, by, name, in, password.HashKey(secret))
	return u, secret, err
}

func (s Service) change(ctx context.Context, by store.Maker, name string, in Input, keyHash []byte) (store.MQTTUser, error) {
	wrong := field.Errors{}
	in = in.clean(wrong)
	if err := wrong.Err(); err != nil {
		return store.MQTTUser{}, err
	}
	u, err := s.Store.ChangeMQTTUser(ctx, by, name, store.MQTTUserChange{KeyHash: keyHash, MayDo: in.MayDo, Tags: in.Tags,
		HomeAssistant: in.HomeAssistant, Stays: rights.Stays})
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
