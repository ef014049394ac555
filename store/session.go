package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// A Session is a browser that somebody signed in with.
type Session struct {
	ID        string `db:"id"` // names the session to end it; does not authenticate
	User      string `db:"user_id"`
	BeganAt   int64  `db:"began_at"`
	SeenAt    int64  `db:"seen_at"`
	Remote    string `db:"remote"`  // address that signed in
	Browser   string `db:"browser"` // what the browser called itself
	ExpiresAt int64  `db:"expires_at"`
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

// Has reports whether there is a session, over or not.
func (v Sessions) Has(ctx context.Context, token string) (bool, error) {
	n, err := get[int](ctx, v.s.r, `SELECT count(*) FROM sessions WHERE token = $1`, token)
	return n > 0, err
}

// SignedOut reports whether all sessions of a user were ended at a time or after it.
func (v Sessions) SignedOut(ctx context.Context, user string, since int64) (bool, error) {
	n, err := get[int](ctx, v.s.r, `SELECT count(*) FROM audit WHERE action = 'user.signed_out' AND target = $1 AND at >= $2`, user, since)
	return n > 0, err
}

type beginKey struct{}

type beginning struct {
	Session
	hash string
}

// BeginSession marks the session written next as a new one, for a user whose password
// has this hash. Without it only existing sessions can be written, so that a session
// that was ended is not revived by a request in flight.
func BeginSession(ctx context.Context, n Session, passwordHash string) context.Context {
	return context.WithValue(ctx, beginKey{}, beginning{n, passwordHash})
}

// Begins returns whose session the next one written with a context is, and whether it is
// a new one.
func Begins(ctx context.Context) (user string, fresh bool) {
	n, fresh := ctx.Value(beginKey{}).(beginning)
	return n.User, fresh
}

// BeginAs marks the session written next as the new one that another context does.
func BeginAs(ctx, other context.Context) context.Context {
	return context.WithValue(ctx, beginKey{}, other.Value(beginKey{}))
}

// CommitCtx implements scs.CtxStore. It returns ErrNotFound for a new session of a
// user who was disabled, or whose password changed, since they signed in.
func (v Sessions) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	n, fresh := ctx.Value(beginKey{}).(beginning)
	return v.s.tx(ctx, func(tx *sqlx.Tx) error {
		if fresh {
			u, err := get[User](ctx, tx, `SELECT * FROM users WHERE id = $1`, n.User)
			if err != nil {
				return err
			}
			if u.DisabledAt != 0 || u.PasswordHash != n.hash {
				return fmt.Errorf("begin a session of %s: %w", n.User, ErrNotFound)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO sessions (token, id, user_id, began_at, seen_at, remote, browser, data, expires_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
				token, n.ID, n.User, v.s.Now(), v.s.Now(), n.Remote, n.Browser, b, expiry.UnixMilli()); err != nil {
				return err
			}
			if err := v.s.audit(ctx, tx, u.Name, "session.began", n.ID, u.Name); err != nil {
				return err
			}
		} else if err := change(ctx, tx, `UPDATE sessions SET data = $1, expires_at = $2, seen_at = $3
			WHERE token = $4`, b, expiry.UnixMilli(), v.s.Now(), token); errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE users SET seen_at = $1
			WHERE id = (SELECT user_id FROM sessions WHERE token = $2)`, v.s.Now(), token)
		return err
	})
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

// Expire removes expired sessions and password links.
func (v Sessions) Expire(ctx context.Context) error {
	_, err := v.s.w.ExecContext(ctx, `DELETE FROM sessions WHERE expires_at <= $1`, v.s.Now())
	if err == nil {
		_, err = v.s.w.ExecContext(ctx, `DELETE FROM password_links WHERE expires_at <= $1`, v.s.Now())
	}
	return ours(err)
}

// SessionList lists a user's sessions, or everybody's if the user is empty, last used
// first.
func (s *Store) SessionList(ctx context.Context, user string) ([]Session, error) {
	return all[Session](ctx, s.r, `SELECT id, user_id, began_at, seen_at, remote, browser, expires_at FROM sessions
		WHERE ($1 = '' OR user_id = $1) AND expires_at > $2 ORDER BY seen_at DESC, id`, user, s.Now())
}

// EndSession ends a session, of a user or of anybody if the user is empty;
// ErrNotFound if there is none.
func (s *Store) EndSession(ctx context.Context, actor, id, user string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		name, err := get[string](ctx, tx, `SELECT name FROM users JOIN sessions ON user_id = users.id
			WHERE sessions.id = $1 AND ($2 = '' OR user_id = $2)`, id, user)
		if err != nil {
			return err
		}
		if err := change(ctx, tx, `DELETE FROM sessions WHERE id = $1`, id); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "session.ended", id, name)
	})
}

// EndSessions ends all sessions of a user.
func (s *Store) EndSessions(ctx context.Context, actor, user string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		u, err := get[User](ctx, tx, `SELECT * FROM users WHERE id = $1`, user)
		if err != nil {
			return err
		}
		if err := endSessions(ctx, tx, user); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "user.signed_out", user, u.Name+", everywhere")
	})
}

func endSessions(ctx context.Context, tx *sqlx.Tx, user string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1`, user)
	return err
}
