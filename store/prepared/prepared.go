// Package prepared runs statements in a transaction and parses each only once.
package prepared

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"
)

// A Tx is a transaction that prepares each statement once, however often it runs:
// ingesting events repeats the same few, and parsing them would be most of the cost.
// The statements are closed with the transaction.
type Tx struct {
	Tx    *sqlx.Tx // for statements that run once
	stmts map[string]*sqlx.Stmt
}

// In returns a Tx of an open transaction, which the caller ends.
func In(tx *sqlx.Tx) Tx { return Tx{Tx: tx, stmts: map[string]*sqlx.Stmt{}} }

func (p Tx) stmt(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if s := p.stmts[query]; s != nil {
		return s, nil
	}
	s, err := p.Tx.PreparexContext(ctx, query)
	if err == nil {
		p.stmts[query] = s
	}
	return s, err
}

// ExecContext implements sqlx.ExecerContext.
func (p Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext implements sqlx.QueryerContext.
func (p Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// QueryxContext implements sqlx.QueryerContext.
func (p Tx) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryxContext(ctx, args...)
}

// QueryRowxContext implements sqlx.QueryerContext.
func (p Tx) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return p.Tx.QueryRowxContext(ctx, query, args...) // returns the same error again, through the row
	}
	return s.QueryRowxContext(ctx, args...)
}
