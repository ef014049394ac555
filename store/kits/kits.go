// Package kits keeps when emergency kits were last shown, and to whom.
package kits

import (
	"context"

	"github.com/jmoiron/sqlx"
)

// A Kind says of what a kit is.
type Kind string

// The kinds of kits.
const (
	OfRepository Kind = "repository"
	OfHost       Kind = "host" // all repositories in which a host has something
	OfAll        Kind = "all"
)

// Of says which kit it is.
type Of struct {
	Kind    Kind   `db:"kind"`
	Subject string `db:"subject"` // the ID of the repository or host, "" of all
}

// Shown is when a kit was last shown. At is 0 if it never was.
type Shown struct {
	Of
	At    int64  `db:"at"`
	Actor string `db:"actor"` // to whom
}

// List is every kit that was ever shown.
func List(ctx context.Context, q sqlx.QueryerContext) (map[Of]Shown, error) {
	rows := []Shown{}
	err := sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM kits_shown`)
	all := make(map[Of]Shown, len(rows))
	for _, r := range rows {
		all[r.Of] = r
	}
	return all, err
}

// Note stores that a kit is shown.
func Note(ctx context.Context, tx sqlx.ExtContext, s Shown) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO kits_shown (kind, subject, at, actor) VALUES (:kind, :subject, :at, :actor)
		ON CONFLICT (kind, subject) DO UPDATE SET at = excluded.at, actor = excluded.actor`, s)
	return err
}
