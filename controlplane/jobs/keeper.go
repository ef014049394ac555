package jobs

import (
	"maps"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A NotKeeperError refuses maintenance on a host that is not the repository's keeper.
type NotKeeperError struct {
	Kind   topics.JobKind
	Keeper topics.HostID
	Name   string // of the keeper
}

// Error implements error.
func (e *NotKeeperError) Error() string {
	return string(e.Kind) + " of this repository runs on its keeper " + e.Name + " alone"
}

// everyday returns the credential that every host gets to open a repository. A host's
// config never holds any other.
func everyday(r store.Repository, a store.RepositoryAccess) topics.Repository {
	out := topics.Repository{ID: r.ID, URL: a.URL, Password: a.Password, Env: maps.Clone(a.Env), Files: maps.Clone(a.Files)}
	if r.Options.V != nil {
		out.Options = maps.Clone(*r.Options.V)
	}
	if out.Env == nil {
		out.Env = map[string]topics.Secret{}
	}
	// restic tries this key first, and at most 20 in all: without the hint, keys that
	// somebody planted would lock it out. Where each host has a repository of its own, it is
	// the key of that place.
	if r.KeyHint != "" && out.Env["RESTIC_KEY_HINT"] == "" {
		out.Env["RESTIC_KEY_HINT"] = topics.Secret(r.KeyHint)
	}
	return out
}

// keeps reports whether a job gets the maintenance credential, if that has a URL of its own.
func keeps(r store.Repository, host topics.HostID, k topics.JobKind) bool {
	return r.Keeper != "" && host == r.Keeper && (Maintains(k) || looks(k))
}

// access returns the credential with which a job opens its repository. The keeper
// alone gets the maintenance credential, and only for maintenance. If that credential
// has a URL of its own, the keeper lists the repository there, too, because its
// policy allows one address. Backups and restores always use the everyday credential.
func access(r store.Repository, a store.RepositoryAccess, host topics.HostID, k topics.JobKind) topics.Repository {
	out := everyday(r, a)
	m := a.Maintenance
	if m == nil || !keeps(r, host, k) || !Maintains(k) && m.URL == "" {
		return out
	}
	return Maintaining(out, m)
}

// accessOf is access for a job: one that adds or removes keys has the credential of
// maintenance, as the everyday one may not be able to delete.
func accessOf(r store.Repository, a store.RepositoryAccess, j store.Job) topics.Repository {
	if changesKey(j) != nil && a.Maintenance != nil && keeps(r, j.Host, j.Kind) {
		return Maintaining(everyday(r, a), a.Maintenance)
	}
	return access(r, a, j.Host, j.Kind)
}

// Maintaining is a repository as the credential of maintenance opens it. It changes the maps
// of out.
func Maintaining(out topics.Repository, m *store.Maintenance) topics.Repository {
	if out.Env == nil {
		out.Env = map[string]topics.Secret{}
	}
	maps.Copy(out.Env, m.Env)
	for name, file := range m.Files { // each takes the place of the everyday one, however that is given
		if out.Files == nil {
			out.Files = map[string]topics.Secret{}
		}
		out.Files[name] = file
		delete(out.Env, name)
	}
	for name := range m.Env {
		delete(out.Files, name)
	}
	if m.URL != "" {
		out.URL = m.URL
	}
	if m.Env[location.RESTUser] != "" {
		out.URL, _ = location.SplitLogin(out.URL, nil) // a login in the URL would take precedence over the variables
	}
	return out
}
