package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/access"
	"github.com/restic-manager/restic-manager/store/changes"
	"github.com/restic-manager/restic-manager/topics"
)

// An MQTTUser is a consumer on the public broker, which acts in the lower of its own
// role and its maker's.
type MQTTUser = access.Consumer

// AddMQTTUser adds a consumer. Names are unique: ErrConflict.
func (s *Store) AddMQTTUser(ctx context.Context, by Maker, u MQTTUser) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := access.AddConsumer(ctx, tx, by, u); err != nil {
			return err
		}
		said := fmt.Sprintf("may do: %t", u.MayDo)
		if len(u.Tags) > 0 {
			said += ", tags: " + strings.Join(u.Tags, ", ")
		}
		if u.HomeAssistant {
			said += ", is Home Assistant"
		}
		return s.audit(ctx, tx, by.Name, "mqtt_user.created", u.Name, said)
	})
}

// A MQTTUserChange is what is to be changed about a consumer; nil stays as it is.
type MQTTUserChange struct {
	KeyHash []byte // of another password, which whoever changes it knows: it is theirs then
	MayDo   *bool
	Tags    *[]string // of the hosts that it hears of; none is all
	// HomeAssistant is whether it may be Home Assistant.
	HomeAssistant *bool
	Stays         Stays // which jobs it may still have that it asked for before; nil is all
}

// ChangeMQTTUser changes a consumer and returns it as it is now; ErrNotFound if
// there is none of that name.
func (s *Store) ChangeMQTTUser(ctx context.Context, by Maker, name string, c MQTTUserChange) (u MQTTUser, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if u, err = access.ConsumerNamed(ctx, tx, name); err != nil {
			return err
		}
		was := u
		if c.MayDo != nil {
			u.MayDo = *c.MayDo
		}
		if c.Tags != nil {
			u.Tags = *c.Tags
		}
		if c.HomeAssistant != nil {
			u.HomeAssistant = *c.HomeAssistant
		}
		if c.KeyHash != nil {
			u = u.Renewed(c.KeyHash, by)
		}
		var l changes.List
		l.Text("may_do", fmt.Sprint(was.MayDo), fmt.Sprint(u.MayDo))
		l.Text("tags", strings.Join(was.Tags, ", "), strings.Join(u.Tags, ", "))
		l.Text("home_assistant", fmt.Sprint(was.HomeAssistant), fmt.Sprint(u.HomeAssistant))
		l.Text("made by", was.CreatedBy, u.CreatedBy)
		l.Secret("password", topics.Secret(was.KeyHash), topics.Secret(u.KeyHash))
		if err := access.PutConsumer(ctx, tx, u); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, by.Name, "mqtt_user.changed", name, l.Of(name)); err != nil {
			return err
		}
		if u, err = access.ConsumerNamed(ctx, tx, name); err != nil || c.Stays == nil {
			return err
		}
		return s.callOff(ctx, tx, by.Name, []string{"mqtt:" + name}, c.Stays, &Left{})
	})
	return u, err
}

// RemoveMQTTUser revokes a consumer's credential, and cancels its jobs that wait;
// ErrNotFound if there is none.
func (s *Store) RemoveMQTTUser(ctx context.Context, actor, name string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		u, err := access.ConsumerNamed(ctx, tx, name)
		if err != nil {
			return err
		}
		return s.leave(ctx, tx, actor, nil, &Left{Credentials: access.Credentials{Consumers: []MQTTUser{u}}}, nil)
	})
}

// MQTTUsers lists the consumers, by name.
func (s *Store) MQTTUsers(ctx context.Context) ([]MQTTUser, error) {
	list, err := access.Consumers(ctx, s.r)
	return list, ours(err)
}

// MQTTUser returns a consumer, or ErrNotFound.
func (s *Store) MQTTUser(ctx context.Context, name string) (MQTTUser, error) {
	u, err := access.ConsumerNamed(ctx, s.r, name)
	return u, ours(err)
}

// SeenMQTTUser records that a consumer connected, at most once a minute.
func (s *Store) SeenMQTTUser(ctx context.Context, name string) error {
	_, err := s.w.ExecContext(ctx, `UPDATE mqtt_users SET seen_at = $1 WHERE name = $2 AND seen_at < $3`, s.Now(), name, s.Now()-60_000)
	return ours(err)
}
