package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// Role is what a person or a token may do.
type Role string

// The roles, each with the rights of those before it.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// Roles lists the roles, the weakest first.
var Roles = []Role{Viewer, Operator, Admin}

// A User is a person with a password.
type User struct {
	ID           string `db:"id"`
	Name         string `db:"name"`
	Role         Role   `db:"role"`
	PasswordHash string `db:"password_hash"` // argon2id, in its PHC form
	CreatedAt    int64  `db:"created_at"`
}

// AddUser adds a user. The name is theirs alone, or ErrConflict.
func (s *Store) AddUser(ctx context.Context, actor string, u User) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return s.addUser(ctx, tx, actor, u) })
}

// AddFirstUser adds a user only if there is none yet; otherwise ErrConflict.
func (s *Store) AddFirstUser(ctx context.Context, actor string, u User) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		n, err := get[int](ctx, tx, `SELECT count(*) FROM users`)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%w: there is a user already", ErrConflict)
		}
		return s.addUser(ctx, tx, actor, u)
	})
}

func (s *Store) addUser(ctx context.Context, tx *sqlx.Tx, actor string, u User) error {
	if _, err := tx.NamedExecContext(ctx, `INSERT INTO users (id, name, role, password_hash, created_at)
		VALUES (:id, :name, :role, :password_hash, :created_at)`, u); err != nil {
		return fmt.Errorf("add user: %w", err)
	}
	return s.audit(ctx, tx, actor, "user.created", u.ID, u.Name+" as "+string(u.Role))
}

// UserCount counts users; with none, the first-run page is open to whoever holds its link.
func (s *Store) UserCount(ctx context.Context) (int, error) {
	return get[int](ctx, s.r, `SELECT count(*) FROM users`)
}

// UserByName returns a user by name, or ErrNotFound.
func (s *Store) UserByName(ctx context.Context, name string) (User, error) {
	return get[User](ctx, s.r, `SELECT * FROM users WHERE name = $1`, name)
}

// User returns a user by ID, or ErrNotFound.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	return get[User](ctx, s.r, `SELECT * FROM users WHERE id = $1`, id)
}

// Sessions keeps browser sessions for scs, which hands it hashes of tokens only.
type Sessions struct{ s *Store }

// Sessions returns the store of browser sessions.
func (s *Store) Sessions() Sessions { return Sessions{s} }

// FindCtx implements scs.CtxStore.
func (v Sessions) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	rows, err := all[[]byte](ctx, v.s.r, `SELECT data FROM sessions WHERE token = $1 AND expires_at > $2`, token, v.s.Now())
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	return rows[0], true, nil
}

// CommitCtx implements scs.CtxStore. The user's ID is in the context: see WithUser.
func (v Sessions) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	_, err := v.s.w.ExecContext(ctx, `INSERT INTO sessions (token, user_id, data, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (token) DO UPDATE SET user_id = excluded.user_id, data = excluded.data, expires_at = excluded.expires_at`,
		token, userOf(ctx), b, expiry.UnixMilli())
	return ours(err)
}

// DeleteCtx implements scs.CtxStore.
func (v Sessions) DeleteCtx(ctx context.Context, token string) error {
	_, err := v.s.w.ExecContext(ctx, `DELETE FROM sessions WHERE token = $1`, token)
	return ours(err)
}

// Find implements scs.Store.
func (v Sessions) Find(token string) ([]byte, bool, error) {
	return v.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (v Sessions) Commit(token string, b []byte, expiry time.Time) error {
	return v.CommitCtx(context.Background(), token, b, expiry)
}

// Delete implements scs.Store.
func (v Sessions) Delete(token string) error { return v.DeleteCtx(context.Background(), token) }

// Expire removes sessions that are over.
func (v Sessions) Expire(ctx context.Context) error {
	_, err := v.s.w.ExecContext(ctx, `DELETE FROM sessions WHERE expires_at <= $1`, v.s.Now())
	return ours(err)
}

type userKey struct{}

// WithUser says whose session is being written.
func WithUser(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, userKey{}, id)
}

func userOf(ctx context.Context) string {
	id, _ := ctx.Value(userKey{}).(string)
	return id
}

// An APIToken lets a program in. Only the hash of its key is kept.
type APIToken struct {
	ID        string `db:"id"`
	Name      string `db:"name"`
	Role      Role   `db:"role"`
	KeyHash   []byte `db:"key_hash"`
	CreatedAt int64  `db:"created_at"`
}

// AddAPIToken adds a token.
func (s *Store) AddAPIToken(ctx context.Context, actor string, t APIToken) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO api_tokens (id, name, role, key_hash, created_at)
			VALUES (:id, :name, :role, :key_hash, :created_at)`, t); err != nil {
			return fmt.Errorf("add API token: %w", err)
		}
		return s.audit(ctx, tx, actor, "api_token.created", t.ID, t.Name+" as "+string(t.Role))
	})
}

// APITokenByHash returns the token whose key has this hash, or ErrNotFound.
func (s *Store) APITokenByHash(ctx context.Context, hash []byte) (APIToken, error) {
	return get[APIToken](ctx, s.r, `SELECT * FROM api_tokens WHERE key_hash = $1`, hash)
}

// An MQTTUser is a consumer on the public broker. Its password is a key that
// was made for it; only the hash is kept.
type MQTTUser struct {
	Name      string `db:"name"`
	KeyHash   []byte `db:"key_hash"`
	MayDo     bool   `db:"may_do"` // may publish to do/ topics
	CreatedAt int64  `db:"created_at"`
}

// PutMQTTUser adds a consumer, or gives the one of that name a new password and rights.
func (s *Store) PutMQTTUser(ctx context.Context, actor string, u MQTTUser) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO mqtt_users (name, key_hash, may_do, created_at)
			VALUES (:name, :key_hash, :may_do, :created_at)
			ON CONFLICT (name) DO UPDATE SET key_hash = excluded.key_hash, may_do = excluded.may_do`, u); err != nil {
			return fmt.Errorf("put MQTT user: %w", err)
		}
		return s.audit(ctx, tx, actor, "mqtt_user.saved", u.Name, fmt.Sprintf("may do: %t", u.MayDo))
	})
}

// MQTTUser returns a consumer, or ErrNotFound.
func (s *Store) MQTTUser(ctx context.Context, name string) (MQTTUser, error) {
	return get[MQTTUser](ctx, s.r, `SELECT * FROM mqtt_users WHERE name = $1`, name)
}
