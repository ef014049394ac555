package repositories

import (
	"context"
	"errors"
	"slices"
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
	only := Input{URL: in.URL, Everyday: in.Everyday, Options: in.Options}
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
	was := whom(a.URL, a.Env)
	if err := only.apply(ctx, s.Store, &r, &a); err != nil {
		return a, err
	}
	if whom(a.URL, a.Env) == was {
		return a, nil
	}
	for _, v := range location.Variables {
		if v.Secret && a.Env[v.Name] != "" && !in.typed(v.Name) {
			return a, field.Errors{"everyday": "The login that was saved is not sent to another server for a test. Type its password or key " +
				"again to try it there."}
		}
	}
	return a, nil
}

// Trial is what a host would get to look where the repository is to be if the input were
// saved, and the everyday credential. Nothing is saved; id is "" for a new one.
func (s *Service) Trial(ctx context.Context, id topics.RepositoryID, in Input, host topics.HostID) (topics.Repository, error) {
	a, err := s.Access(ctx, id, in)
	if err != nil {
		return topics.Repository{}, err
	}
	h, err := s.Store.Host(ctx, host)
	if err != nil {
		return topics.Repository{}, known(err)
	}
	out := topics.Repository{ID: id, URL: a.URL, Env: a.Env, Files: a.Files}
	if in.Options != nil {
		out.Options = *in.Options
	} else if id != "" {
		r, err := Find(ctx, s.Store, id)
		if err != nil {
			return out, err
		}
		if r.Options.V != nil {
			out.Options = *r.Options.V
		}
	}
	if id != "" && !slices.Contains(a.Unread, "password") {
		out.Password = a.Password
	}
	if in.Password != nil && *in.Password != "" {
		if said := field.Secret(in.Password.Reveal(), maxPassword); said != "" {
			return out, field.Errors{"password": said}
		}
		out.Password = *in.Password
	}
	if location.PerHost(out.URL) || location.LoginPerHost(out.Env) {
		name, err := s.nameFor(ctx, id, h)
		if err != nil {
			return out, err
		}
		if said := location.CheckName(name); said != "" {
			return out, field.Errors{"url": said}
		}
		out.URL, out.Env = location.Expand(out.URL, name), location.ExpandLogin(out.Env, name)
	}
	return out, nil
}

// typed reports whether the input says the value of a secret variable.
func (in Input) typed(name string) bool {
	if in.URL != nil {
		if _, login := location.SplitLogin(*in.URL, nil); login[name] != "" {
			return true
		}
	}
	e := in.Everyday
	return e != nil && (name == location.RESTPassword && e.Password != nil && *e.Password != "" || e.Env[name] != "")
}

// whom says whom a credential is shown to: the kind of storage, the server and whether in
// clear, and whom variables name.
func whom(at topics.Secret, env map[string]topics.Secret) string {
	a, err := location.Parse(at.Reveal())
	if err != nil {
		return ""
	}
	server := ""
	if u := a.URL(); u != nil {
		server = u.Scheme + "://" + strings.ToLower(u.Host)
	} else if a.Scheme() == "s3" {
		host, _, _ := strings.Cut(strings.TrimPrefix(a.Rest(), "//"), "/")
		server = "https://" + strings.ToLower(host)
	}
	for _, name := range []string{"OS_AUTH_URL", "OS_STORAGE_URL", "ST_AUTH", "AZURE_ENDPOINT_SUFFIX"} {
		server += " " + env[name].Reveal()
	}
	return a.Scheme() + ":" + server
}
