package admission

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// A Key lets many hosts enrol. Moments are in Unix milliseconds.
type Key struct {
	ID          string      `db:"id"`
	KeyHash     []byte      `db:"key_hash"`
	Name        string      `db:"name"`
	CreatedBy   string      `db:"created_by"`
	CreatedAt   int64       `db:"created_at"`
	ExpiresAt   int64       `db:"expires_at"`
	Uses        int64       `db:"uses"` // how many hosts it lets in
	Used        int64       `db:"used"`
	UsedAt      int64       `db:"used_at"`
	Tags        column.List `db:"tags"`    // that its hosts get
	Policy      string      `db:"policy"`  // the widest that it accepts
	Approve     bool        `db:"approve"` // each host waits until somebody approves it
	Drill       bool        `db:"drill"`
	WithdrawnAt int64       `db:"withdrawn_at"`
}

// Why a key lets nobody in.
var (
	ErrWithdrawn = errors.New("the enrolment key was withdrawn")
	ErrUsedUp    = errors.New("the enrolment key has let in as many hosts as it may")
	ErrKeyOver   = errors.New("the enrolment key has expired")
	ErrRestored  = errors.New("the enrolment key is older than the restore of the control plane")
	ErrPolicy    = errors.New("the host permits more than the enrolment key accepts")
	ErrTaken     = errors.New("there is an enrolment key of this name already")
	ErrNone      = errors.New("there is no such enrolment key")
	ErrNotHeld   = errors.New("the host does not wait for approval")
)

// Good says why the key lets nobody in at a moment, nil if it does. restored is when the
// control plane was restored from a copy: what was withdrawn after the copy is not in it.
func (k Key) Good(now, restored int64) error {
	switch {
	case k.WithdrawnAt > 0:
		return ErrWithdrawn
	case k.CreatedAt < restored:
		return ErrRestored
	case now > k.ExpiresAt:
		return ErrKeyOver
	case k.Used >= k.Uses:
		return ErrUsedUp
	}
	return nil
}

// AddKey adds a key. The error is ErrTaken if a key that is not withdrawn has its name.
func (r Rows) AddKey(ctx context.Context, k Key) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		var n int
		if err := sqlx.GetContext(ctx, tx, &n, `SELECT count(*) FROM enroll_keys WHERE name = $1 AND withdrawn_at = 0`, k.Name); err != nil {
			return err
		}
		if n > 0 {
			return ErrTaken
		}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO enroll_keys (id, key_hash, name, created_by, created_at, expires_at, uses, tags,
			policy, approve, drill) VALUES (:id, :key_hash, :name, :created_by, :created_at, :expires_at, :uses, :tags, :policy, :approve,
			:drill)`, k); err != nil {
			return fmt.Errorf("add an enrolment key: %w", err)
		}
		return r.Audit(ctx, tx, k.CreatedBy, "enroll_key.created", k.ID,
			fmt.Sprintf("%s, for %d hosts, policy %s, tags %v, approval %t", k.Name, k.Uses, k.Policy, []string(k.Tags), k.Approve))
	})
}

// Keys lists all keys, those made last first.
func (r Rows) Keys(ctx context.Context) (list []Key, err error) {
	err = sqlx.SelectContext(ctx, r.R, &list, `SELECT * FROM enroll_keys ORDER BY id DESC`)
	return list, err
}

// KeyByHash returns a key by the hash of its secret, or ErrNone.
func (r Rows) KeyByHash(ctx context.Context, hash []byte) (Key, error) { return KeyBy(ctx, r.R, hash) }

// KeyBy is KeyByHash within a transaction.
func KeyBy(ctx context.Context, q sqlx.QueryerContext, hash []byte) (k Key, err error) {
	err = sqlx.GetContext(ctx, q, &k, `SELECT * FROM enroll_keys WHERE key_hash = $1`, hash)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNone
	}
	return k, err
}

// Withdraw has a key, by ID, let nobody in any more. What it let in stays.
func (r Rows) Withdraw(ctx context.Context, actor, id string) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		var k Key
		err := sqlx.GetContext(ctx, tx, &k, `SELECT * FROM enroll_keys WHERE id = $1`, id)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNone
		}
		if err != nil || k.WithdrawnAt > 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE enroll_keys SET withdrawn_at = $1 WHERE id = $2`, r.Now(), id); err != nil {
			return err
		}
		return r.Audit(ctx, tx, actor, "enroll_key.withdrawn", id, k.Name)
	})
}

// Use counts one more host that a key lets in. Whoever calls it has looked whether it may,
// in the same transaction.
func Use(ctx context.Context, tx *sqlx.Tx, k Key, now int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE enroll_keys SET used = used + 1, used_at = $1 WHERE id = $2`, now, k.ID)
	return err
}

// Hold has a host wait for approval.
func Hold(ctx context.Context, tx *sqlx.Tx, host topics.HostID, k Key, now int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO enroll_held (host, key, held_at) VALUES ($1, $2, $3)`, host, k.ID, now)
	return err
}

// A Held is a host that waits for approval.
type Held struct {
	Host     topics.HostID `db:"host"`
	Name     string        `db:"name"`
	Platform string        `db:"platform"`
	Arch     string        `db:"arch"`
	Policy   string        `db:"policy"`
	Key      string        `db:"key_name"`
	HeldAt   int64         `db:"held_at"`
}

// MostHeld is how many are listed at once.
const MostHeld = 1000

// Held lists the hosts that wait, those that came last first.
func (r Rows) Held(ctx context.Context) (list []Held, err error) {
	err = sqlx.SelectContext(ctx, r.R, &list, `SELECT w.host, h.name, h.platform, h.arch, h.policy, coalesce(k.name, '') AS key_name, w.held_at
		FROM enroll_held w JOIN hosts h ON h.id = w.host AND h.removed_at = 0 AND h.revoked_at > 0
		LEFT JOIN enroll_keys k ON k.id = w.key ORDER BY w.held_at DESC, w.host LIMIT $1`, MostHeld)
	return list, err
}

// Waits reports whether a host waits for approval.
func (r Rows) Waits(ctx context.Context, host topics.HostID) bool {
	var n int
	err := sqlx.GetContext(ctx, r.R, &n, `SELECT count(*) FROM enroll_held WHERE host = $1`, host)
	return err == nil && n > 0
}

// Release ends the wait of a host. The error is ErrNotHeld if it does not wait.
func Release(ctx context.Context, tx *sqlx.Tx, host topics.HostID) error {
	out, err := tx.ExecContext(ctx, `DELETE FROM enroll_held WHERE host = $1`, host)
	if err != nil {
		return err
	}
	if n, err := out.RowsAffected(); err != nil || n == 0 {
		return errors.Join(ErrNotHeld, err)
	}
	return nil
}
