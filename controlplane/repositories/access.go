package repositories

import (
	"context"
	"errors"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Access is how a repository would be opened if the input were saved, for who tries it
// before. Nothing is saved; id is "" for a new one. What is wrong with other fields than the
// address and its login does not matter here.
func (s *Service) Access(ctx context.Context, id topics.RepositoryID, in Input) (store.RepositoryAccess, error) {
	only := Input{URL: in.URL, Everyday: in.Everyday}
	if id == "" {
		only.Name, only.Password = new("trial"), new(topics.Secret("trial"))
		n, err := New(ctx, s.Store, only)
		return n.RepositoryAccess, err
	}
	r, err := Find(ctx, s.Store, id)
	if err != nil {
		return store.RepositoryAccess{}, err
	}
	a, err := s.Store.RepositoryAccess(ctx, id)
	if err != nil && !errors.As(err, new(*store.UnreadableError)) {
		return store.RepositoryAccess{}, err
	}
	was := a.URL
	if err := only.apply(ctx, s.Store, &r, &a); err != nil {
		return a, err
	}
	if server(a.URL) != server(was) && a.Env[location.RESTPassword] != "" && !in.typed() {
		return a, field.Errors{"everyday": "The login that was saved is not sent to another server for a test. Type its password again " +
			"to try it there."}
	}
	return a, nil
}

// typed reports whether the input has the password of a REST server, which is said there.
func (in Input) typed() bool {
	if in.URL != nil {
		if _, login := location.SplitLogin(*in.URL, nil); login[location.RESTPassword] != "" {
			return true
		}
	}
	e := in.Everyday
	return e != nil && (e.Password != nil && *e.Password != "" || e.Env[location.RESTPassword] != "")
}

// server is whom a URL leads to, and whether in clear; "" for what is none.
func server(at topics.Secret) string {
	a, err := location.Parse(at.Reveal())
	if err != nil || a.URL() == nil {
		return ""
	}
	return a.URL().Scheme + "://" + strings.ToLower(a.URL().Host)
}
