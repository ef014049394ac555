package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Repository holds snapshots, somewhere else. Its secrets are sealed in the
// row; see RepositoryAccess for what a job needs.
type Repository struct {
	ID        topics.RepositoryID `db:"id"`
	Name      string              `db:"name"`
	Location  string              `db:"location"` // the URL without user and password, for people
	CreatedAt int64               `db:"created_at"`
	ReadyAt   int64               `db:"ready_at"` // when a job first found or initialised it; 0 is never

	// Keeper is the host that forgets, prunes and checks; it alone is given the
	// maintenance credential. "" is that none was chosen.
	Keeper     topics.HostID `db:"keeper"`
	AppendOnly bool          `db:"append_only"` // its everyday credential cannot delete
	Keep       JSON[Keep]    `db:"keep"`        // which snapshots are kept; none is every one

	// What jobs last found, and when; 0 is never.
	ListedAt     int64        `db:"listed_at"`
	MeasuredAt   int64        `db:"measured_at"`
	RestoreBytes int64        `db:"restore_bytes"` // of all snapshots, each counted whole
	StoredBytes  int64        `db:"stored_bytes"`  // what they take in the repository
	PlainBytes   int64        `db:"plain_bytes"`   // the same before compression, 0 if unknown
	ForgotAt     int64        `db:"forgot_at"`
	PrunedAt     int64        `db:"pruned_at"`
	CheckedAt    int64        `db:"checked_at"`
	CheckJob     topics.JobID `db:"check_job"`
	CheckErrors  int64        `db:"check_errors"`
	LocksAt      int64        `db:"locks_at"`
	KeysAt       int64        `db:"keys_at"`
}

// A Keep says which snapshots of each source group stay, in restic's words:
// first all within a time, then so many of each period. Durations are restic's,
// as in "30d" or "1y6m".
type Keep struct {
	Within        string `json:"keep_within,omitempty"`
	WithinHourly  string `json:"keep_within_hourly,omitempty"`
	WithinDaily   string `json:"keep_within_daily,omitempty"`
	WithinWeekly  string `json:"keep_within_weekly,omitempty"`
	WithinMonthly string `json:"keep_within_monthly,omitempty"`
	WithinYearly  string `json:"keep_within_yearly,omitempty"`
	Last          int    `json:"keep_last,omitempty"` // refused on append-only repositories, like all counts
	Hourly        int    `json:"keep_hourly,omitempty"`
	Daily         int    `json:"keep_daily,omitempty"`
	Weekly        int    `json:"keep_weekly,omitempty"`
	Monthly       int    `json:"keep_monthly,omitempty"`
	Yearly        int    `json:"keep_yearly,omitempty"`
}

// RepositoryAccess is everything a job needs to open a repository.
type RepositoryAccess struct {
	URL      topics.Secret
	Password topics.Secret
	Env      map[string]topics.Secret
}

// AddRepository registers a repository. Its name is its own, or ErrConflict.
func (s *Store) AddRepository(ctx context.Context, actor string, r Repository, a RepositoryAccess) error {
	env, err := json.Marshal(a.Env)
	if err != nil {
		return err
	}
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		at := func(column string, plain []byte) []byte {
			var sealed []byte
			if err == nil {
				sealed, err = s.keys.seal(ctx, tx, place("repositories", string(r.ID), column), plain)
			}
			return sealed
		}
		address, password, env := at("url", []byte(a.URL.Reveal())), at("password", []byte(a.Password.Reveal())), at("env", env)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO repositories (id, name, url, location, password, env, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			r.ID, r.Name, address, r.Location, password, env, r.CreatedAt); err != nil {
			return fmt.Errorf("add repository: %w", err)
		}
		return s.audit(ctx, tx, actor, "repository.created", string(r.ID), r.Name)
	})
}

const repositoryColumns = `id, name, location, created_at, ready_at, keeper, append_only, keep, listed_at, measured_at, restore_bytes,
	stored_bytes, plain_bytes, forgot_at, pruned_at, checked_at, check_job, check_errors, locks_at, keys_at`

// Repositories lists every repository, by name.
func (s *Store) Repositories(ctx context.Context) ([]Repository, error) {
	return all[Repository](ctx, s.r, `SELECT `+repositoryColumns+` FROM repositories ORDER BY name, id`)
}

// Repository returns one repository, or ErrNotFound.
func (s *Store) Repository(ctx context.Context, id topics.RepositoryID) (Repository, error) {
	return get[Repository](ctx, s.r, `SELECT `+repositoryColumns+` FROM repositories WHERE id = $1`, id)
}

// RepositoryAccess opens a repository's secrets.
func (s *Store) RepositoryAccess(ctx context.Context, id topics.RepositoryID) (RepositoryAccess, error) {
	type sealed struct {
		URL      []byte `db:"url"`
		Password []byte `db:"password"`
		Env      []byte `db:"env"`
	}
	var a RepositoryAccess
	row, err := get[sealed](ctx, s.r, `SELECT url, password, env FROM repositories WHERE id = $1`, id)
	if err != nil {
		return a, err
	}
	read := func(column string, b []byte) []byte {
		var plain []byte
		if err == nil {
			plain, err = s.keys.open(ctx, s.r, place("repositories", string(id), column), b)
		}
		return plain
	}
	a.URL = topics.Secret(read("url", row.URL))
	a.Password = topics.Secret(read("password", row.Password))
	if env := read("env", row.Env); err == nil {
		err = json.Unmarshal(env, &a.Env)
	}
	return a, err
}

// A SourceGroup says what a host backs up, and where to. Its ID is the restic
// tag of its snapshots; its name may change.
type SourceGroup struct {
	ID            topics.SourceGroupID `db:"id"`
	Host          topics.HostID        `db:"host"`
	Name          string               `db:"name"`
	Repository    topics.RepositoryID  `db:"repository"`
	Paths         List                 `db:"paths"`
	Excludes      List                 `db:"excludes"`
	OneFileSystem bool                 `db:"one_file_system"`
	CreatedAt     int64                `db:"created_at"`
	LiveFiles     JSON[bool]           `db:"live_files"`
	Hooks         JSON[topics.Hooks]   `db:"hooks"`
	Limits        JSON[topics.Limits]  `db:"limits"`
}

// Topic is the group as its host is told of it.
func (g SourceGroup) Topic() topics.SourceGroup {
	t := topics.SourceGroup{ID: g.ID, Name: g.Name, Paths: g.Paths, Excludes: g.Excludes, OneFileSystem: g.OneFileSystem}
	if g.LiveFiles.V != nil {
		t.LiveFiles = *g.LiveFiles.V
	}
	if g.Hooks.V != nil {
		t.Hooks = *g.Hooks.V
	}
	if g.Limits.V != nil {
		t.Limits = *g.Limits.V
	}
	return t
}

// PutSourceGroup adds a host's source group, or changes the one of that name. Of
// that LiveFiles, Hooks and Limits stay as they are where there are none.
// It answers with the row as it is now.
func (s *Store) PutSourceGroup(ctx context.Context, actor string, g SourceGroup) (SourceGroup, error) {
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1`, g.Host); err != nil {
			return fmt.Errorf("host %s: %w", g.Host, err)
		}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO source_groups (id, host, name, repository, paths, excludes, one_file_system, created_at, live_files, hooks, limits)
			VALUES (:id, :host, :name, :repository, :paths, :excludes, :one_file_system, :created_at, :live_files, :hooks, :limits)
			ON CONFLICT (host, name) DO UPDATE SET repository = excluded.repository, paths = excluded.paths,
				excludes = excluded.excludes, one_file_system = excluded.one_file_system,
				live_files = CASE WHEN excluded.live_files = '' THEN source_groups.live_files ELSE excluded.live_files END,
				hooks = CASE WHEN excluded.hooks = '' THEN source_groups.hooks ELSE excluded.hooks END,
				limits = CASE WHEN excluded.limits = '' THEN source_groups.limits ELSE excluded.limits END`, g); err != nil {
			return fmt.Errorf("put source group: %w", err)
		}
		var err error
		if g, err = get[SourceGroup](ctx, tx, `SELECT * FROM source_groups WHERE host = $1 AND name = $2`, g.Host, g.Name); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "source_group.saved", string(g.ID), g.Name)
	})
	return g, err
}

// SourceGroups lists a host's source groups, by name; of all hosts with "".
func (s *Store) SourceGroups(ctx context.Context, host topics.HostID) ([]SourceGroup, error) {
	return all[SourceGroup](ctx, s.r, `SELECT * FROM source_groups WHERE host = $1 OR $1 = '' ORDER BY name, id`, host)
}

// HostsWithGroups says which hosts have a source group.
func (s *Store) HostsWithGroups(ctx context.Context) (map[topics.HostID]bool, error) {
	ids, err := all[topics.HostID](ctx, s.r, `SELECT DISTINCT host FROM source_groups`)
	have := make(map[topics.HostID]bool, len(ids))
	for _, id := range ids {
		have[id] = true
	}
	return have, err
}

// SourceGroup returns one source group, or ErrNotFound.
func (s *Store) SourceGroup(ctx context.Context, id topics.SourceGroupID) (SourceGroup, error) {
	return get[SourceGroup](ctx, s.r, `SELECT * FROM source_groups WHERE id = $1`, id)
}

// A Snapshot is one that a repository holds, or held. One that no job of ours
// made has neither host nor job.
type Snapshot struct {
	Repository topics.RepositoryID `db:"repository"`
	ID         string              `db:"id"`
	Host       topics.HostID       `db:"host"`
	Job        topics.JobID        `db:"job"`
	Time       int64               `db:"time"`
	Hostname   string              `db:"hostname"`
	Paths      List                `db:"paths"`
	Tags       List                `db:"tags"`
	Files      uint64              `db:"files"`
	Bytes      uint64              `db:"bytes"`

	SourceGroup topics.SourceGroupID `db:"source_group"`
	Username    string               `db:"username"`
	Tree        string               `db:"tree"`
	Original    string               `db:"original"`
	SeenAt      int64                `db:"seen_at"` // when a job last saw it; 0 is that only the backup said so
	GoneAt      int64                `db:"gone_at"` // when it was found missing or removed; 0 is that it is there
}

// Snapshots lists a host's snapshots, the newest first.
func (s *Store) Snapshots(ctx context.Context, host topics.HostID, limit int) ([]Snapshot, error) {
	return all[Snapshot](ctx, s.r, `SELECT * FROM snapshots WHERE host = $1 AND gone_at = 0 ORDER BY time DESC, id LIMIT $2`, host, limit)
}

// SnapshotCount counts a host's snapshots.
func (s *Store) SnapshotCount(ctx context.Context, host topics.HostID) (int, error) {
	return get[int](ctx, s.r, `SELECT count(*) FROM snapshots WHERE host = $1 AND gone_at = 0`, host)
}

func addSnapshot(ctx context.Context, tx *sqlx.Tx, j Job, sum *topics.Summary, t topics.Snapshot) error {
	row := Snapshot{Repository: j.Repository, ID: t.ID, Host: j.Host, Job: j.ID, Time: t.Time, Hostname: t.Host,
		Paths: slices.Clone(t.Paths), Tags: slices.Clone(t.Tags), SourceGroup: j.SourceGroup, Username: t.Username, Tree: t.Tree, Original: t.Original}
	if sum != nil {
		row.Files, row.Bytes = sum.TotalFiles, sum.TotalBytes
	}
	_, err := tx.NamedExecContext(ctx, `INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, files, bytes, source_group, username, tree, original)
		VALUES (:repository, :id, :host, :job, :time, :hostname, :paths, :tags, :files, :bytes, :source_group, :username, :tree, :original) ON CONFLICT (repository, id) DO NOTHING`, row)
	return err
}
