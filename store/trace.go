package store

import (
	"context"

	"github.com/jmoiron/sqlx"
)

type traceKey struct{}

// WithTrace has f told of each query by which rows are read with this context, and of
// what stands for its parameters. Tests look at the plans of these queries.
func WithTrace(ctx context.Context, f func(query string, args []any)) context.Context {
	return context.WithValue(ctx, traceKey{}, f)
}

func trace(ctx context.Context, query string, args []any) {
	if f, ok := ctx.Value(traceKey{}).(func(string, []any)); ok {
		f(query, args)
	}
}

// traced has the queries of subpackages told of, too.
type traced struct{ sqlx.QueryerContext }

// QueryxContext implements sqlx.QueryerContext.
func (t traced) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	trace(ctx, query, args)
	return t.QueryerContext.QueryxContext(ctx, query, args...)
}

// QueryRowxContext implements sqlx.QueryerContext.
func (t traced) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	trace(ctx, query, args)
	return t.QueryerContext.QueryRowxContext(ctx, query, args...)
}
