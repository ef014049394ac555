package session

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
)

// A Visitor is the authenticated sender of a request: a person with a session, or
// a program with a token.
type Visitor struct {
	Name   string // as the audit log spells it: "anna", "api:nightly"
	Role   store.Role
	UserID string // "" for a program
	ID     string // the session's, to tell it from others; "" for a program
	Zone   string // in which they want to see moments, as [store.User] has it; "" for a program

	data    context.Context //nolint:containedctx // carries scs's session data, as scs wants it
	token   string          // the session's, which lets them in
	program *store.APIToken // nil for a person
}

// Key tells a visitor's session or token from all others.
func (v *Visitor) Key() string {
	if v.program != nil {
		return "token " + v.program.ID
	}
	return "session " + v.token
}

// Maker returns the visitor as a credential knows who made it: a token is its own
// maker's in turn.
func (v *Visitor) Maker() store.Maker {
	m := store.Maker{Name: v.Name, User: v.UserID}
	if v.program != nil {
		m.User, m.Token = v.program.Maker, v.program.ID
	}
	return m
}

// Lowered says why a token has fewer rights than its role, "" if it does not.
func (v *Visitor) Lowered() string {
	if v.program == nil || v.program.Role == v.Role {
		return ""
	}
	p := v.program
	return "it was made as " + string(p.Role) + ", and " + p.MakerName + ", who made it, is " + string(p.MakerRole) + " now"
}

// May reports whether a visitor's role has a right.
func (v *Visitor) May(r rights.Right) bool { return rights.May(v.Role, r) }

// Actor returns the visitor as the jobs engine knows those who ask for jobs.
func (v *Visitor) Actor() jobs.Actor { return jobs.Actor{Name: v.Name, Role: v.Role} }

type visitorKey struct{}

// With returns the context of an authenticated request.
func With(ctx context.Context, v *Visitor) context.Context {
	return context.WithValue(ctx, visitorKey{}, v)
}

// Of returns the authenticated visitor of a request. On public routes, where
// nobody was authenticated, it returns a visitor without any rights.
func Of(ctx context.Context) *Visitor {
	if v := In(ctx); v != nil {
		return v
	}
	return &Visitor{Name: "nobody"}
}

// In is Of, but returns nil where nobody was authenticated.
func In(ctx context.Context) *Visitor {
	v, _ := ctx.Value(visitorKey{}).(*Visitor)
	return v
}
