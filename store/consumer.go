package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/changes"
	"github.com/restic-manager/restic-manager/topics"
)

// An MQTTUser is a consumer on the public broker. Its password is a generated key;
// only the hash is stored.
type MQTTUser struct {
	Name      string `db:"name"`
	KeyHash   []byte `db:"key_hash"`
	MayDo     bool   `db:"may_do"` // may publish to do/ topics
	CreatedAt int64  `db:"created_at"`
	CreatedBy string `db:"created_by"`
	SeenAt    int64  `db:"seen_at"` // when it last connected
}

// AddMQTTUser adds a consumer. Names are unique: ErrConflict.
func (s *Store) AddMQTTUser(ctx context.Context, actor string, u MQTTUser) error {
	u.CreatedBy = actor
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO mqtt_users (name, key_hash, may_do, created_at, created_by)
			VALUES (:name, :key_hash, :may_do, :created_at, :created_by)`, u); err != nil {
			return fmt.Errorf("add MQTT user: %w", err)
		}
		return s.audit(ctx, tx, actor, "mqtt_user.created", u.Name, fmt.Sprintf("may do: %t", u.MayDo))
	})
}

// A MQTTUserChange is what is to be changed about a consumer; nil stays as it is.
type MQTTUserChange struct {
	KeyHash []byte
	MayDo   *bool
}

// ChangeMQTTUser changes a consumer and returns it as it is now; ErrNotFound if
// there is none of that name.
func (s *Store) ChangeMQTTUser(ctx context.Context, actor, name string, c MQTTUserChange) (u MQTTUser, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if u, err = get[MQTTUser](ctx, tx, `SELECT * FROM mqtt_users WHERE name = $1`, name); err != nil {
			return err
		}
		was := u
		if c.MayDo != nil {
			u.MayDo = *c.MayDo
		}
		if c.KeyHash != nil {
			u.KeyHash = c.KeyHash
		}
		var l changes.List
		l.Columns(was, u, "key_hash")
		l.Secret("password", topics.Secret(was.KeyHash), topics.Secret(u.KeyHash))
		if err := change(ctx, tx, `UPDATE mqtt_users SET key_hash = $1, may_do = $2 WHERE name = $3`, u.KeyHash, u.MayDo, name); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "mqtt_user.changed", name, l.Of(name))
	})
	return u, err
}

// RemoveMQTTUser revokes a consumer's credential; ErrNotFound if there is none.
func (s *Store) RemoveMQTTUser(ctx context.Context, actor, name string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := change(ctx, tx, `DELETE FROM mqtt_users WHERE name = $1`, name); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "mqtt_user.revoked", name, "")
	})
}

// MQTTUsers lists the consumers, by name.
func (s *Store) MQTTUsers(ctx context.Context) ([]MQTTUser, error) {
	return all[MQTTUser](ctx, s.r, `SELECT * FROM mqtt_users ORDER BY name`)
}

// MQTTUser returns a consumer, or ErrNotFound.
func (s *Store) MQTTUser(ctx context.Context, name string) (MQTTUser, error) {
	return get[MQTTUser](ctx, s.r, `SELECT * FROM mqtt_users WHERE name = $1`, name)
}

// SeenMQTTUser records that a consumer connected, at most once a minute.
func (s *Store) SeenMQTTUser(ctx context.Context, name string) error {
	_, err := s.w.ExecContext(ctx, `UPDATE mqtt_users SET seen_at = $1 WHERE name = $2 AND seen_at < $3`, s.Now(), name, s.Now()-60_000)
	return ours(err)
}
