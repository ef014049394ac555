package repositories

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Access is how a repository would be opened if the input were saved, for who tries it
// before. Nothing is saved; id is "" for a new one. What is wrong with other fields than the
// address and its login does not matter here.
func (s *Service) Access(ctx context.Context, id topics.RepositoryID, in Input) (store.RepositoryAccess, error) {
	_, a, was, err := s.saved(ctx, id, Input{URL: in.URL, Everyday: in.Everyday, Options: in.Options})
	if err != nil || id == "" || whom(a.URL, a.Env) == whom(was.URL, was.Env) {
		return a, err
	}
	if kept(a.Env, in.typed) {
		return a, field.Errors{"everyday": keptHere}
	}
	return a, nil
}

const keptHere = "The login that was saved is not sent to another server for a test. Type its password or key again to try it there."

// saved is a repository, and how it would be opened, if the input were saved, and how it is
// opened now. Nothing is saved; id is "" for a new one.
func (s *Service) saved(ctx context.Context, id topics.RepositoryID, in Input) (r store.Repository, a, was store.RepositoryAccess,
	err error) {
	if id == "" {
		in.Name, in.Password = new("trial"), new(topics.Secret("trial"))
		n, err := New(ctx, s.Store, in)
		return n.Repository, n.RepositoryAccess, was, err
	}
	if r, err = Find(ctx, s.Store, id); err != nil {
		return r, a, was, err
	}
	if a, err = s.Store.RepositoryAccess(ctx, id); err != nil && !errors.As(err, new(*store.UnreadableError)) {
		return r, a, was, err
	}
	was = a
	was.Env = maps.Clone(a.Env)
	return r, a, was, in.apply(ctx, s.Store, &r, &a)
}

// kept reports whether a credential has a secret that the input does not say.
func kept(env map[string]topics.Secret, typed func(name string) bool) bool {
	return slices.ContainsFunc(location.Variables, func(v location.Variable) bool { return v.Secret && env[v.Name] != "" && !typed(v.Name) })
}

// MaintenanceTrial is what the keeper would get to look at the repository with the credential
// of maintenance if the input were saved, and which host that keeper is. there is false if
// no such credential would be saved; the keeper is "" if there would be none. Nothing is saved; id is
// "" for a new one.
func (s *Service) MaintenanceTrial(ctx context.Context, id topics.RepositoryID, in Input) (to topics.Repository, keeper topics.HostID,
	there bool, err error) {
	r, a, was, err := s.saved(ctx, id, Input{URL: in.URL, Everyday: in.Everyday, Options: in.Options, Maintenance: in.Maintenance,
		Keeper: in.Keeper})
	if err != nil || a.Maintenance == nil {
		return to, "", a.Maintenance != nil, err
	}
	if r.Keeper == "" {
		return to, "", true, nil
	}
	if to, err = s.Trial(ctx, id, in, r.Keeper); err != nil {
		return to, r.Keeper, true, err
	}
	m := *a.Maintenance
	if location.PerHost(m.URL) || location.LoginPerHost(m.Env) {
		name := ""
		h, err := s.Store.Host(ctx, r.Keeper)
		if err == nil {
			name, err = s.nameFor(ctx, id, h)
		}
		if err != nil {
			return to, r.Keeper, true, known(err)
		}
		m.URL, m.Env = location.Expand(m.URL, name), location.ExpandLogin(m.Env, name)
	}
	to.Env, to.Files = maps.Clone(to.Env), maps.Clone(to.Files)
	to = jobs.Maintaining(to, &m)
	if id == "" || was.Maintenance != nil && whom(to.URL, to.Env) == whom(cmp.Or(was.Maintenance.URL, was.URL), merged(was)) {
		return to, r.Keeper, true, nil
	}
	if kept(to.Env, func(name string) bool {
		return in.typed(name) || in.Maintenance != nil && in.Maintenance.Env[name] != ""
	}) {
		return to, r.Keeper, true, field.Errors{"maintenance": keptHere}
	}
	return to, r.Keeper, true, nil
}

// merged are the variables that the keeper has for maintenance.
func merged(a store.RepositoryAccess) map[string]topics.Secret {
	env := maps.Clone(a.Env)
	if env == nil {
		env = map[string]topics.Secret{}
	}
	maps.Copy(env, a.Maintenance.Env)
	return env
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
