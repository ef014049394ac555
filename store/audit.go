package store

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// An AuditEntry says who did what to what. Entries are only ever added, in the
// transaction of the change, and each hash covers the one before.
type AuditEntry struct {
	N      int64  `db:"n"`
	At     int64  `db:"at"`
	Actor  string `db:"actor"`  // "admin", "api:NAME", "mqtt:NAME", "cli", "plane"
	Action string `db:"action"` // "job.queued"
	Target string `db:"target"` // an ID
	Detail string `db:"detail"`
	Hash   []byte `db:"hash"`
}

func (e AuditEntry) chain(previous []byte) []byte {
	b, err := json.Marshal([]any{e.N, e.At, e.Actor, e.Action, e.Target, e.Detail})
	if err != nil {
		panic(err) // numbers and strings always encode
	}
	sum := sha256.Sum256(append(previous[:len(previous):len(previous)], b...))
	return sum[:]
}

func (s *Store) audit(ctx context.Context, tx *sqlx.Tx, actor, action, target, detail string) error {
	last, err := get[AuditEntry](ctx, tx, `SELECT * FROM audit ORDER BY n DESC LIMIT 1`)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	e := AuditEntry{N: last.N + 1, At: s.Now(), Actor: actor, Action: action, Target: target, Detail: detail}
	e.Hash = e.chain(last.Hash)
	_, err = tx.NamedExecContext(ctx, `INSERT INTO audit (n, at, actor, action, target, detail, hash)
		VALUES (:n, :at, :actor, :action, :target, :detail, :hash)`, e)
	if err != nil {
		return fmt.Errorf("audit %s of %s: %w", action, target, err)
	}
	return nil
}
