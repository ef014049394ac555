package views

import "context"

// Rights are what whoever looks at a page may do. What they may not do is not
// offered to them; the server refuses it in any case.
type Rights struct {
	Operate    bool // ask for jobs, and cancel them
	Administer bool // change what is backed up, hosts, people and consumers
}

type rightsKey struct{}

// WithRights says who a page or a part of one is rendered for. Without it, it is
// for somebody who may only look.
func WithRights(ctx context.Context, r Rights) context.Context {
	return context.WithValue(ctx, rightsKey{}, r)
}

func may(ctx context.Context) Rights {
	r, _ := ctx.Value(rightsKey{}).(Rights)
	return r
}
