package jobs

import (
	"maps"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A NotKeeperError refuses maintenance on a host while another one is the
// repository's keeper.
type NotKeeperError struct {
	Kind   topics.JobKind
	Keeper topics.HostID
	Name   string // the keeper's
}

// Error implements error.
func (e *NotKeeperError) Error() string {
	return string(e.Kind) + " of this repository runs on its keeper " + e.Name + " alone"
}

// everyday is what every host gets to open a repository with. It is all that a
// host's config ever holds.
func everyday(r store.Repository, a store.RepositoryAccess) topics.Repository {
	out := topics.Repository{ID: r.ID, URL: a.URL, Password: a.Password, Env: maps.Clone(a.Env), Initialise: r.ReadyAt == 0}
	if out.Env == nil {
		out.Env = map[string]topics.Secret{}
	}
	// restic tries this key first, and no more than 20 in all: planted ones would
	// lock it out otherwise.
	if r.KeyHint != "" && out.Env["RESTIC_KEY_HINT"] == "" {
		out.Env["RESTIC_KEY_HINT"] = topics.Secret(r.KeyHint)
	}
	return out
}

// access is what a job gets to open its repository with. The maintenance
// credential is for the keeper alone, and there for maintenance alone; unless it
// has an address of its own. Then the keeper looks there, too, because its policy
// holds it to one address. Backups and restores go the everyday way in any case.
func access(r store.Repository, a store.RepositoryAccess, host topics.HostID, k topics.JobKind) topics.Repository {
	out := everyday(r, a)
	m := a.Maintenance
	if m == nil || r.Keeper == "" || host != r.Keeper || !Maintains(k) && (m.URL == "" || !looks(k)) {
		return out
	}
	maps.Copy(out.Env, m.Env)
	if m.URL != "" {
		out.URL = m.URL
	}
	if m.Env[location.RESTUser] != "" {
		out.URL, _ = location.SplitLogin(out.URL, nil) // a login in the URL would outrank the variables
	}
	return out
}
