package views

import "context"

// Rights are what whoever looks at a page may do. What they may not do is absent, or
// disabled with the reason; the server refuses it in any case.
type Rights struct {
	// Why says why they lack a right, by its name in the control plane's table of
	// rights; "" if they have it. Nil lacks every right.
	Why func(right string) string
	// Opens reports whether they may open a page of this server's. Nil is that they
	// may open any.
	Opens func(url string) bool
}

// To reports whether they have a right.
func (r Rights) To(right string) bool { return r.Why != nil && r.Why(right) == "" }

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

// MayOpen reports whether whoever looks may open a page of this server's.
func MayOpen(ctx context.Context, url string) bool {
	r := may(ctx)
	return r.Opens == nil || r.Opens(url)
}

// opens reports whether there is a link that whoever looks may follow: what notes and
// remedies lead to is decided where it is not known who reads them.
func opens(ctx context.Context, l Link) bool { return l.URL != "" && MayOpen(ctx, l.URL) }

// lacks is why whoever looks has none of these rights, "" if they have one.
func lacks(ctx context.Context, rights ...string) string {
	why := ""
	for _, right := range rights {
		if may(ctx).To(right) {
			return ""
		}
		if r := may(ctx); why == "" && r.Why != nil {
			why = r.Why(right)
		}
	}
	if why == "" && len(rights) > 0 {
		return "You may not do this."
	}
	return why
}
