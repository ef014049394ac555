package web

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A RepositoryInput is a repository as somebody wants it. What is nil stays as it
// is, secrets above all.
type RepositoryInput struct {
	Name        *string
	URL         *topics.Secret
	Password    *topics.Secret
	Everyday    *Credential
	Maintenance *Credential // one that is wholly empty takes it away
	Keeper      *string     // ID or name of a host, "" for none
	AppendOnly  *bool
	Keep        *store.Keep
}

// A Credential is how to be let in by the backend. Username and password are a
// REST server's; other backends go by variables.
type Credential struct {
	URL      *topics.Secret
	Username *string
	Password *topics.Secret
	Env      map[string]topics.Secret // set those it names; "" takes one away
}

// RepositoryErrors are what is wrong, by field; the one of no field is "".
type RepositoryErrors map[string]string

// Error implements error.
func (e RepositoryErrors) Error() string {
	var said []string
	for _, field := range slices.Sorted(maps.Keys(e)) {
		said = append(said, field+": "+e[field])
	}
	return strings.Join(said, " ")
}

// errNameTaken says that a repository of this name exists.
var errNameTaken = errors.New("the repository's name is taken")

// PutRepository adds a repository, with the ID "", or changes one. It answers
// with the row as it is now; with RepositoryErrors, errNameTaken or
// store.ErrNotFound nothing was changed.
func PutRepository(ctx context.Context, s *store.Store, actor string, id topics.RepositoryID, in RepositoryInput) (store.Repository, error) {
	r, a := store.Repository{ID: topics.RepositoryID(topics.NewID(time.UnixMilli(s.Now()))), CreatedAt: s.Now()}, store.RepositoryAccess{}
	if id != "" {
		var err error
		if r, err = s.Repository(ctx, id); err == nil && r.RemovedAt > 0 {
			err = store.ErrNotFound
		}
		if err == nil {
			a, err = s.RepositoryAccess(ctx, id)
		}
		if err != nil {
			return r, err
		}
	}
	wrong := RepositoryErrors{}
	say := func(field, text string) {
		if text != "" {
			wrong[field] = text
		}
	}
	if in.Name != nil || id == "" {
		r.Name = strings.TrimSpace(value(in.Name))
		say("name", checkName("name", r.Name, 1, 100))
	}
	if in.URL != nil || id == "" {
		address, err := location.Parse(value(in.URL).Reveal())
		say("url", textOf(err))
		a.URL, r.Location = value(in.URL), address.Public()
	}
	if in.Password != nil || id == "" {
		a.Password = value(in.Password)
		say("password", checkPassword(a.Password.Reveal()))
	}
	a.URL, a.Env = location.SplitLogin(a.URL, a.Env)
	if in.Everyday != nil {
		if in.Everyday.URL != nil {
			say("everyday", "The everyday credential goes with the repository's own URL.")
		}
		a.Env = in.Everyday.into(a.Env)
	}
	say("everyday", textOf(location.CheckEnv(a.Env)))
	if in.Maintenance != nil {
		m := store.Maintenance{}
		if a.Maintenance != nil {
			m = *a.Maintenance
		}
		m.Env = in.Maintenance.into(maps.Clone(m.Env))
		if in.Maintenance.URL != nil {
			if m.URL = *in.Maintenance.URL; m.URL != "" {
				_, err := location.Parse(m.URL.Reveal())
				say("maintenance", textOf(err))
				m.URL, m.Env = location.SplitLogin(m.URL, m.Env)
			}
		}
		say("maintenance", textOf(location.CheckEnv(m.Env)))
		if a.Maintenance = &m; m.URL == "" && len(m.Env) == 0 {
			a.Maintenance = nil
		}
	}
	if in.Keeper != nil {
		keeper, err := findHost(ctx, s, *in.Keeper)
		if err != nil {
			return r, err
		}
		if r.Keeper = keeper; keeper == "" && *in.Keeper != "" {
			say("keeper", "There is no host with this ID or name.")
		}
	}
	if in.AppendOnly != nil {
		r.AppendOnly = *in.AppendOnly
	}
	if in.Keep != nil {
		if r.Keep.V = in.Keep; *in.Keep == (store.Keep{}) {
			r.Keep.V = nil
		}
	}
	if r.Keep.V != nil {
		if err := retention.Check(*r.Keep.V, r.AppendOnly); err != nil {
			say("retention", err.Error()+".")
		}
	}
	if len(wrong) > 0 {
		return r, wrong
	}
	var err error
	if id == "" {
		err = s.AddRepository(ctx, actor, r, a)
	} else {
		err = s.ChangeRepository(ctx, actor, r, a)
	}
	if errors.Is(err, store.ErrConflict) {
		err = errNameTaken
	}
	return r, err
}

// textOf is what an error says, "" for none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// into sets what the credential says in the variables of a repository.
func (c Credential) into(env map[string]topics.Secret) map[string]topics.Secret {
	set := maps.Clone(c.Env)
	if set == nil {
		set = map[string]topics.Secret{}
	}
	if c.Username != nil {
		if set[location.RESTUser] = topics.Secret(*c.Username); *c.Username == "" {
			set[location.RESTPassword] = ""
		}
	}
	if c.Password != nil {
		set[location.RESTPassword] = *c.Password
	}
	if env == nil {
		env = map[string]topics.Secret{}
	}
	for name, v := range set {
		if env[name] = v; v == "" {
			delete(env, name)
		}
	}
	return env
}

// findHost finds a host by ID or name, "" for none.
func findHost(ctx context.Context, s *store.Store, text string) (topics.HostID, error) {
	rows, err := s.Hosts(ctx)
	found := topics.HostID("")
	for _, h := range rows {
		if string(h.ID) == text {
			return h.ID, err
		}
		if h.Name == text {
			found = h.ID
		}
	}
	return found, err
}

// refusal words why a repository was not saved.
func refusal(err error) error {
	var wrong RepositoryErrors
	switch {
	case errors.As(err, &wrong):
		return &problem.Problem{Kind: problem.Invalid, Title: "The repository was not saved", Say: wrong.Error()}
	case errors.Is(err, errNameTaken):
		return &problem.Problem{Kind: problem.Conflict, Title: "There is a repository of this name already",
			Say: "Names of repositories are their own.", Do: "Choose another name, or use the one that is there.", Err: err}
	case errors.Is(err, store.ErrNotFound):
		return problem.NoRepository
	}
	return err
}
