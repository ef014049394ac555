package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/chain"
)

// An AuditEntry records who changed what. Entries are only added, in the transaction
// of the change, and each hash covers the entry before.
type AuditEntry struct {
	N      int64  `db:"n"`
	At     int64  `db:"at"`
	Actor  string `db:"actor"`  // "admin", "api:NAME", "mqtt:NAME", "schedule:NAME", "cli", "plane"
	Action string `db:"action"` // "job.queued"
	Target string `db:"target"` // an ID
	Detail string `db:"detail"`
	Remote string `db:"remote"` // network address of the request, "" if it did not come over the network
	Hash   []byte `db:"hash"`
}

// chain returns the hash of an entry that follows another. An entry without an
// address is hashed as entries were before the column existed.
func (e AuditEntry) chain(previous []byte) []byte {
	fields := []any{e.N, e.At, e.Actor, e.Action, e.Target, e.Detail}
	if e.Remote != "" {
		fields = append(fields, e.Remote)
	}
	return chain.Sum(previous, fields...)
}

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
		Actor:  text(actor),
		Action: action,
		Target: text(target),
		Detail: text(detail),
		Remote: text(remote),
	}
	e.Hash = e.chain(last.Hash)
	_, err = tx.NamedExecContext(ctx, `INSERT INTO audit (n, at, actor, action, target, detail, remote, hash)
		VALUES (:n, :at, :actor, :action, :target, :detail, :remote, :hash)`, e)
	if err != nil {
		return fmt.Errorf("audit %s of %s: %w", action, target, err)
	}
	return nil
}

// text returns valid UTF-8 without NUL, which the database returns unchanged.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
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

// An AuditFilter selects entries. Empty fields match everything.
type AuditFilter struct {
	Kinds  []string // of actors: "people", "tokens", "consumers", "schedules", "server"
	Actor  string   // in full
	Action string   // in full, or its first part: "job" for all of jobs
	Target string   // in full
	Since  int64    // at or after this time
	Until  int64    // before this time
	Text   string   // part of actor, action, target, detail or address, in lower case
	Named  []string // targets whose names hold Text
	After  int64    // with a higher number
	Before int64    // with a lower number
}

// actorKinds are conditions on the form of an actor's name. A person is whoever has
// none of the other forms.
var actorKinds = map[string]string{
	"tokens":    `actor LIKE 'api:%'`,
	"consumers": `actor LIKE 'mqtt:%'`,
	"schedules": `actor LIKE 'schedule:%'`,
	"server":    `actor IN ('plane', 'cli')`,
}

const people = "people"

// where returns the filter as SQL, with "?" for its values.
func (f AuditFilter) where() (string, []any, error) {
	var terms []string
	var args []any
	add := func(term string, values ...any) {
		terms = append(terms, term)
		args = append(args, values...)
	}
	var kinds []string
	for _, k := range f.Kinds {
		if k == people {
			var others []string
			for _, other := range actorKinds {
				others = append(others, other)
			}
			kinds = append(kinds, `NOT (`+strings.Join(others, ` OR `)+`)`)
		} else if term, ok := actorKinds[k]; ok {
			kinds = append(kinds, term)
		}
	}
	if len(kinds) > 0 {
		add(`(` + strings.Join(kinds, ` OR `) + `)`)
	}
	if f.Actor != "" {
		add(`actor = ?`, f.Actor)
	}
	if f.Action != "" {
		add(`(action = ? OR action >= ? AND action < ?)`, f.Action, f.Action+".", f.Action+"/") // "/" sorts next to "."
	}
	if f.Target != "" {
		add(`target = ?`, f.Target)
	}
	for _, bound := range []struct {
		term  string
		value int64
	}{{`at >= ?`, f.Since}, {`at < ?`, f.Until}, {`n > ?`, f.After}, {`n < ?`, f.Before}} {
		if bound.value != 0 {
			add(bound.term, bound.value)
		}
	}
	if f.Text != "" {
		var found []string
		var values []any
		for _, column := range []string{"actor", "action", "target", "detail", "remote"} {
			cond, parts := holds(column, f.Text)
			found, values = append(found, cond), append(values, parts...)
		}
		if len(f.Named) > 0 {
			found, values = append(found, `target IN (?)`), append(values, f.Named)
		}
		add(`(`+strings.Join(found, ` OR `)+`)`, values...)
	}
	if len(terms) == 0 {
		return "", nil, nil
	}
	return sqlx.In(` WHERE `+strings.Join(terms, ` AND `), args...)
}

// holds returns the condition that a column contains a text, ignoring case. SQLite
// knows only ASCII letters in both cases; other letters must match exactly.
func holds(column, text string) (cond string, args []any) {
	ascii := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, text)
	return `(LOWER(` + column + `) LIKE ? ESCAPE '!' OR LOWER(` + column + `) LIKE ? ESCAPE '!')`,
		[]any{"%" + likely(ascii) + "%", "%" + likely(strings.ToLower(text)) + "%"}
}

// likely escapes the wildcards of LIKE in a text.
func likely(s string) string { return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s) }

// AuditEntries lists entries, the newest first.
func (s *Store) AuditEntries(ctx context.Context, f AuditFilter, limit int) ([]AuditEntry, error) {
	where, args, err := f.where()
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
		cond, values := holds(p.name, text)
		parts, args = append(parts, `SELECT id FROM `+p.table+` WHERE `+cond), append(args, values...)
	}
	return all[string](ctx, s.r, sqlx.Rebind(sqlx.DOLLAR, strings.Join(parts, ` UNION ALL `)+` LIMIT ?`), append(args, most)...)
}

// AuditCount counts entries. Their numbers rise by one with each: those of a span
// need not be looked at.
func (s *Store) AuditCount(ctx context.Context, f AuditFilter) (int, error) {
	span := f
	span.After, span.Before = 0, 0
	if terms, _, err := span.where(); err == nil && terms == "" {
		last, err := get[int64](ctx, s.r, `SELECT coalesce(max(n), 0) FROM audit`)
		if f.Before > 0 {
			last = min(last, f.Before-1)
		}
		return int(max(last-max(f.After, 0), 0)), err
	}
	where, args, err := f.where()
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
		if err := walk.Next(e.N, e.Hash, e.chain); err != nil {
			return walk.Head, err
		}
	}
	if err := rows.Err(); err != nil {
		return walk.Head, err
	}
	err = walk.End()
	return walk.Head, err
}
