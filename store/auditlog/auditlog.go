// Package auditlog is an entry of the audit log, and the search for some.
package auditlog

import (
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/chain"
	"github.com/restic-manager/restic-manager/store/column"
)

// An Entry records who changed what. Entries are only added, in the transaction
// of the change, and each hash covers the entry before.
type Entry struct {
	N      int64  `db:"n"`
	At     int64  `db:"at"`
	Actor  string `db:"actor"`  // "admin", "api:NAME", "mqtt:NAME", "schedule:NAME", "cli", "plane"
	Action string `db:"action"` // "job.queued"
	Target string `db:"target"` // an ID
	Detail string `db:"detail"`
	Remote string `db:"remote"` // network address of the request, "" if it did not come over the network
	Hash   []byte `db:"hash"`
}

// Chain returns the hash of an entry that follows another. An entry without an
// address is hashed as entries were before the column existed.
func (e Entry) Chain(previous []byte) []byte {
	fields := []any{e.N, e.At, e.Actor, e.Action, e.Target, e.Detail}
	if e.Remote != "" {
		fields = append(fields, e.Remote)
	}
	return chain.Sum(previous, fields...)
}

// Text returns valid UTF-8 without NUL, which the database returns unchanged.
func Text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// A Filter selects entries. Empty fields match everything.
type Filter struct {
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

// Where returns the filter as SQL, with "?" for its values.
func (f Filter) Where() (string, []any, error) {
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
		for _, name := range []string{"actor", "action", "target", "detail", "remote"} {
			cond, parts := column.Holds(name, f.Text)
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
