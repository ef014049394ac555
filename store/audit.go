package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/auditlog"
	"github.com/restic-manager/restic-manager/store/chain"
	"github.com/restic-manager/restic-manager/store/column"
)

// An AuditEntry records who changed what.
type AuditEntry = auditlog.Entry

// An AuditFilter selects entries. Empty fields match everything.
type AuditFilter = auditlog.Filter

type remoteKey struct{}

// WithRemote returns a context that holds the network address of a request, for the
// audit log.
func WithRemote(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, remoteKey{}, address)
}

// audit adds an entry in the transaction of the change. Invalid UTF-8 is replaced
// first, as it would have another hash when it is read back.
func (s *Store) audit(ctx context.Context, tx *sqlx.Tx, actor, action, target, detail string) error {
	last, err := get[AuditEntry](ctx, tx, `SELECT * FROM audit ORDER BY n DESC LIMIT 1`)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	remote, _ := ctx.Value(remoteKey{}).(string)
	e := AuditEntry{
		N:      last.N + 1,
		At:     s.Now(),
		Actor:  auditlog.Text(actor),
		Action: action,
		Target: auditlog.Text(target),
		Detail: auditlog.Text(detail),
		Remote: auditlog.Text(remote),
	}
	e.Hash = e.Chain(last.Hash)
	_, err = tx.NamedExecContext(ctx, `INSERT INTO audit (n, at, actor, action, target, detail, remote, hash)
		VALUES (:n, :at, :actor, :action, :target, :detail, :remote, :hash)`, e)
	if err != nil {
		return fmt.Errorf("audit %s of %s: %w", action, target, err)
	}
	return nil
}

// Audit adds an entry for something that changes no row but must be recorded.
func (s *Store) Audit(ctx context.Context, actor, action, target, detail string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return s.audit(ctx, tx, actor, action, target, detail) })
}

// protectAudit adds triggers that refuse to change or delete entries, which stops a
// mistake in this program. Whoever can write the file can drop the triggers; the hash
// chain reveals that. The syntax is SQLite's.
func (s *Store) protectAudit(ctx context.Context) error {
	for _, verb := range []string{"UPDATE", "DELETE"} {
		if _, err := s.w.ExecContext(ctx, `CREATE TRIGGER IF NOT EXISTS audit_keeps_`+strings.ToLower(verb)+` BEFORE `+verb+` ON audit
			BEGIN SELECT RAISE(ABORT, 'audit entries are never changed or removed'); END`); err != nil {
			return err
		}
	}
	return nil
}

// AuditEntries lists entries, the newest first.
func (s *Store) AuditEntries(ctx context.Context, f AuditFilter, limit int) ([]AuditEntry, error) {
	where, args, err := f.Where()
	if err != nil {
		return nil, err
	}
	return all[AuditEntry](ctx, s.r, sqlx.Rebind(sqlx.DOLLAR, `SELECT * FROM audit`+where+` ORDER BY n DESC LIMIT ?`), append(args, limit)...)
}

// TargetsNamed lists hosts, source groups ("NAME of HOST") and repositories whose names
// hold a text, in capitals or not: at most so many.
func (s *Store) TargetsNamed(ctx context.Context, text string, most int) ([]string, error) {
	var parts []string
	var args []any
	for _, p := range []struct{ table, name string }{{`hosts`, `name`}, {`repositories`, `name`}, // with removed_at: what was removed, too
		{`source_groups g`, `g.name || ' of ' || (SELECT h.name FROM hosts h WHERE h.id = g.host AND h.removed_at = 0)`},
		{`removed`, `name`}} {
		cond, values := column.Holds(p.name, text)
		parts, args = append(parts, `SELECT id FROM `+p.table+` WHERE `+cond), append(args, values...)
	}
	return all[string](ctx, s.r, sqlx.Rebind(sqlx.DOLLAR, strings.Join(parts, ` UNION ALL `)+` LIMIT ?`), append(args, most)...)
}

// AuditCount counts entries. Their numbers rise by one with each: those of a span
// need not be looked at.
func (s *Store) AuditCount(ctx context.Context, f AuditFilter) (int, error) {
	span := f
	span.After, span.Before = 0, 0
	if terms, _, err := span.Where(); err == nil && terms == "" {
		last, err := get[int64](ctx, s.r, `SELECT coalesce(max(n), 0) FROM audit`)
		if f.Before > 0 {
			last = min(last, f.Before-1)
		}
		return int(max(last-max(f.After, 0), 0)), err
	}
	where, args, err := f.Where()
	if err != nil {
		return 0, err
	}
	return get[int](ctx, s.r, sqlx.Rebind(sqlx.DOLLAR, `SELECT count(*) FROM audit`+where), args...)
}

// VerifyAudit checks the chain from a known good head, or from the beginning with the
// zero head, and returns its end. All of known must be in it. If the chain is broken
// it returns a [chain.Broken].
func (s *Store) VerifyAudit(ctx context.Context, from chain.Head, known ...chain.Head) (head chain.Head, err error) {
	walk := chain.NewWalk(from, known...)
	const query = `SELECT * FROM audit WHERE n >= $1 ORDER BY n`
	trace(ctx, query, []any{from.N})
	rows, err := s.r.QueryxContext(ctx, query, from.N)
	if err != nil {
		return from, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e AuditEntry
		if err := rows.StructScan(&e); err != nil {
			return walk.Head, err
		}
		if err := walk.Next(e.N, e.Hash, e.Chain); err != nil {
			return walk.Head, err
		}
	}
	if err := rows.Err(); err != nil {
		return walk.Head, err
	}
	err = walk.End()
	return walk.Head, err
}
