package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// An APIToken authenticates a program. Only the hash of its key is stored.
type APIToken struct {
	ID        string `db:"id"`
	Name      string `db:"name"`
	Role      Role   `db:"role"`
	KeyHash   []byte `db:"key_hash"`
	CreatedAt int64  `db:"created_at"`
	CreatedBy string `db:"created_by"`
	ExpiresAt int64  `db:"expires_at"` // 0 is never
	UsedAt    int64  `db:"used_at"`
}

// AddAPIToken adds a token.
func (s *Store) AddAPIToken(ctx context.Context, actor string, t APIToken) error {
	t.CreatedBy = actor
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO api_tokens (id, name, role, key_hash, created_at, created_by, expires_at)
			VALUES (:id, :name, :role, :key_hash, :created_at, :created_by, :expires_at)`, t); err != nil {
			return fmt.Errorf("add API token: %w", err)
		}
		return s.audit(ctx, tx, actor, "api_token.created", t.ID, t.Name+" as "+string(t.Role))
	})
}

// APITokens lists the tokens, by name.
func (s *Store) APITokens(ctx context.Context) ([]APIToken, error) {
	return all[APIToken](ctx, s.r, `SELECT * FROM api_tokens ORDER BY name, id`)
}

// APITokenByHash returns the token whose key has this hash, or ErrNotFound. It
// may have expired.
func (s *Store) APITokenByHash(ctx context.Context, hash []byte) (APIToken, error) {
	return get[APIToken](ctx, s.r, `SELECT * FROM api_tokens WHERE key_hash = $1`, hash)
}

// UsedAPIToken records the use of a token.
func (s *Store) UsedAPIToken(ctx context.Context, id string) error {
	_, err := s.w.ExecContext(ctx, `UPDATE api_tokens SET used_at = $1 WHERE id = $2`, s.Now(), id)
	return ours(err)
}

// RemoveAPIToken revokes a token; ErrNotFound if there is none.
func (s *Store) RemoveAPIToken(ctx context.Context, actor, id string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		t, err := get[APIToken](ctx, tx, `SELECT * FROM api_tokens WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if err := change(ctx, tx, `DELETE FROM api_tokens WHERE id = $1`, id); err != nil {
			return err
		}
		if err := s.withdraw(ctx, tx, "api:"+t.Name); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "api_token.revoked", id, t.Name)
	})
}
