package store

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"
)

// A prepared transaction prepares each statement once, however often it runs:
// ingesting events repeats the same few, and parsing them would be most of the cost.
// The statements are closed with the transaction.
type prepared struct {
	tx    *sqlx.Tx
	stmts map[string]*sqlx.Stmt
}

func (p prepared) stmt(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if s := p.stmts[query]; s != nil {
		return s, nil
	}
	s, err := p.tx.PreparexContext(ctx, query)
	if err == nil {
		p.stmts[query] = s
	}
	return s, err
}

// ExecContext implements sqlx.ExecerContext.
func (p prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext implements sqlx.QueryerContext.
func (p prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// QueryxContext implements sqlx.QueryerContext.
func (p prepared) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryxContext(ctx, args...)
}

// QueryRowxContext implements sqlx.QueryerContext.
func (p prepared) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return p.tx.QueryRowxContext(ctx, query, args...) // returns the same error again, through the row
	}
	return s.QueryRowxContext(ctx, args...)
}
