package repositories

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Input is a repository as somebody wants it. What is nil stays as it is, secrets
// above all.
type Input struct {
	Name        *string
	URL         *topics.Secret
	Password    *topics.Secret
	Everyday    *Credential
	Maintenance *Credential // one that is wholly empty takes it away
	Keeper      *string     // ID or name of a host, "" for none
	AppendOnly  *bool
	Keep        *store.Keep
	Options     *map[string]string // restic's extended ones, whole: see location.Options
	// Exists is, of one that is added, that somebody has made it: no job of ours ever makes
	// one there, and if there is none, it is missing.
	Exists bool
}

// A Credential is how to be let in by the backend. Username and password are a
// REST server's; other backends go by variables.
type Credential struct {
	URL      *topics.Secret
	Username *string
	Password *topics.Secret
	Env      map[string]topics.Secret // sets those it names; "" takes one away
	Files    map[string]topics.Secret // contents by the names of location.Pastes, likewise
}

// maxPassword is how many bytes a repository's password may have: it is part of a
// command.
const maxPassword = 1000

// apply checks the input and changes a repository as it says. It returns a
// field.Errors if something is wrong with it.
func (in Input) apply(ctx context.Context, s *store.Store, r *store.Repository, a *store.RepositoryAccess) error {
	wrong := field.Errors{}
	if in.Name != nil {
		r.Name = field.Clean(*in.Name)
		wrong.Say("name", field.Name("name", r.Name))
	}
	defer in.enter(a)
	if in.URL != nil {
		// What was saved before there were these rules is kept as it is, and what it means.
		if at := topics.Secret(field.Clean(in.URL.Reveal())); at == "" || at != a.URL {
			at = location.Meant(at)
			address, err := location.ParseNew(at.Reveal())
			wrong.Say("url", textOf(err))
			if at := address.Public(); at != r.Location { // another row may lie there from then on
				said, err := beginning(ctx, s, r.ID)
				if err != nil {
					return err
				}
				wrong.Say("url", said)
			}
			if o := r.Options.V; o != nil && err == nil && in.Options == nil { // those of another kind of storage mean nothing here
				left := maps.Clone(*o)
				maps.DeleteFunc(left, func(name, _ string) bool {
					return location.CheckOptions(address.Scheme(), map[string]string{name: left[name]}) != nil
				})
				if r.Options.V = &left; len(left) == 0 {
					r.Options.V = nil
				}
			}
			a.URL, r.Location = at, address.Public()
		}
	}
	if in.Password != nil {
		a.Password = *in.Password
		wrong.Say("password", checkPassword(*in.Password))
	}
	if in.URL != nil && location.PerHost(r.Location) && r.CreatedAt > 0 {
		users, err := s.HostsInto(ctx, r.ID)
		if err != nil {
			return err
		}
		for _, h := range users {
			unfit, err := (&Service{Store: s}).unfit(ctx, r.ID, h)
			if err != nil {
				return err
			}
			wrong.Say("url", unfit)
		}
	}
	if at, env := location.SplitLogin(a.URL, a.Env); in.Everyday != nil || in.URL != nil || !slices.Contains(a.Unread, "env") {
		a.URL, a.Env = at, env
	}
	if in.Everyday != nil {
		if in.Everyday.URL != nil {
			wrong.Say("everyday", "The everyday credential goes with the repository's own URL.")
		}
		in.Everyday.into(a.Env)
	}
	if in.Everyday != nil {
		a.Files = in.Everyday.pasted(a.Env, a.Files)
	}
	wrong.Say("everyday", textOf(location.CheckEnv(a.Env)))
	wrong.Say("everyday", textOf(location.CheckPasted(a.Files, a.Env)))
	if in.Everyday != nil {
		wrong.Say("everyday", in.Everyday.misplaced(a.URL))
	}
	if in.Maintenance != nil {
		wrong.Say("maintenance", in.Maintenance.maintenance(a))
	}
	if m := a.Maintenance; (in.URL != nil || in.Maintenance != nil && in.Maintenance.URL != nil) && m != nil && m.URL != "" &&
		location.PerHost(m.URL) != location.PerHost(r.Location) {
		wrong.Say("maintenance", "{host} stands in both addresses or in none: the maintenance credential is for the same repositories.")
	}
	if in.Options != nil {
		options := maps.Clone(*in.Options)
		maps.DeleteFunc(options, func(_, value string) bool { return value == "" })
		if r.Options.V = &options; len(options) == 0 {
			r.Options.V = nil
		}
		wrong.Say("options", textOf(location.CheckOptions(location.Scheme(a.URL.Reveal()), options)))
	}
	if in.Keeper != nil {
		keeper, err := findHost(ctx, s, *in.Keeper)
		if err != nil {
			return err
		}
		if r.Keeper = keeper; keeper == "" && *in.Keeper != "" {
			wrong.Say("keeper", "There is no host with this ID or name.")
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
	if err := retention.Check(retention.KeepOf(*r), r.AppendOnly); err != nil {
		wrong.Say("retention", strings.ReplaceAll(err.Error(), "\n", "; ")+".")
	}
	return wrong.Err()
}

// enter notes what of the secrets that could not be read is entered again. Pages send both
// credentials whole, so that one without anything in it says nothing of the maintenance one.
func (in Input) enter(a *store.RepositoryAccess) {
	_, login := location.SplitLogin(a.URL, a.Env)
	a.Unread = slices.DeleteFunc(slices.Clone(a.Unread), func(part string) bool {
		switch part {
		case "url":
			return in.URL != nil
		case "password":
			return in.Password != nil
		case "env":
			return in.Everyday != nil || in.URL != nil && len(login) > 0
		case "files":
			at := a.URL
			if in.URL != nil {
				at = *in.URL
			}
			return in.Everyday != nil && slices.ContainsFunc(location.Pastes, func(p location.Pasted) bool {
				text, said := in.Everyday.Files[p.Name] // "" takes away what this kind of storage can have
				return text != "" || said && slices.Contains(p.Schemes, location.Scheme(at.Reveal()))
			})
		}
		return in.Maintenance != nil && (in.Maintenance.URL != nil || a.Maintenance != nil)
	})
}

// beginning says who is at work making a repository where it lies now, "" if nobody is.
func beginning(ctx context.Context, s *store.Store, id topics.RepositoryID) (said string, err error) {
	by, err := s.Beginning(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	return fmt.Sprintf("The host %s is making the repository at the address it has. Wait for job %s to end, or release it, and change the "+
		"address then.", by.Host, by.Job), nil
}

// maintenance changes the credential that may delete, and says what is wrong.
func (c Credential) maintenance(a *store.RepositoryAccess) (wrong string) {
	m := store.Maintenance{}
	if a.Maintenance != nil {
		m = *a.Maintenance
	}
	if m.Env = maps.Clone(m.Env); m.Env == nil {
		m.Env = map[string]topics.Secret{}
	}
	c.into(m.Env)
	m.Files = c.pasted(m.Env, m.Files)
	if c.URL != nil {
		if m.URL = topics.Secret(field.Clean(c.URL.Reveal())); m.URL != "" {
			if a.Maintenance == nil || a.Maintenance.URL != m.URL {
				m.URL = location.Meant(m.URL)
			}
			_, err := location.ParseNew(m.URL.Reveal())
			if a.Maintenance != nil && a.Maintenance.URL == m.URL {
				err = nil
			}
			wrong = textOf(err)
			m.URL, m.Env = location.SplitLogin(m.URL, m.Env)
		}
	}
	if a.Maintenance = &m; m.URL == "" && len(m.Env) == 0 && len(m.Files) == 0 {
		a.Maintenance = nil
	}
	both := maps.Clone(a.Env) // what the keeper is sent
	if both == nil {
		both = map[string]topics.Secret{}
	}
	maps.Copy(both, m.Env)
	for _, err := range []error{location.CheckEnv(both), location.CheckPasted(m.Files, m.Env)} {
		if wrong == "" {
			wrong = textOf(err)
		}
	}
	if wrong == "" {
		wrong = c.misplaced(cmp.Or(m.URL, a.URL))
	}
	return wrong
}

// pasted sets what the credential says among the files of a repository. A file that is pasted
// takes the place of one that is named on the host, and the other way round.
func (c Credential) pasted(env, files map[string]topics.Secret) map[string]topics.Secret {
	out := maps.Clone(files)
	if out == nil {
		out = map[string]topics.Secret{}
	}
	for name, path := range c.Env {
		if path != "" && c.Files[name] == "" {
			delete(out, name)
		}
	}
	for name, text := range c.Files {
		switch {
		case strings.TrimSpace(text.Reveal()) == "":
			delete(out, name)
		default:
			out[name] = topics.Secret(strings.TrimSpace(strings.ReplaceAll(text.Reveal(), "\r\n", "\n")) + "\n")
			if c.Env[name] == "" {
				delete(env, name)
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// misplaced says which of the credential's files no repository of this kind has, "" if all
// fit.
func (c Credential) misplaced(at topics.Secret) string {
	scheme := location.Scheme(at.Reveal())
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		p, known := location.FindPasted(name)
		if known && c.Files[name] != "" && !slices.Contains(p.Schemes, scheme) {
			return p.Label + ": this kind of storage has none."
		}
	}
	return ""
}

// into sets what the credential says in the variables of a repository.
func (c Credential) into(env map[string]topics.Secret) {
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
	for name, v := range set {
		if env[name] = v; v == "" {
			delete(env, name)
		}
	}
}

func checkPassword(p topics.Secret) string {
	if p == "" {
		return "A repository has a password. Choose a new one for a new repository, or give the one it was made with."
	}
	return field.Secret(p.Reveal(), maxPassword)
}

// textOf is what an error says, "" for none.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// findHost finds a host by ID or name, "" for none.
func findHost(ctx context.Context, s *store.Store, text string) (topics.HostID, error) {
	if text == "" {
		return "", nil
	}
	h, err := s.FindHost(ctx, text)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return h.ID, err
}
