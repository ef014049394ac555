package store

import "context"

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
