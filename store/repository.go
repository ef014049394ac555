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
	at := func(column string, plain []byte) []byte {
		return s.keys.seal(place("repositories", string(r.ID), column), plain)
	}
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO repositories (id, name, url, location, password, env, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			r.ID, r.Name, at("url", []byte(a.URL.Reveal())), r.Location, at("password", []byte(a.Password.Reveal())), at("env", env), r.CreatedAt); err != nil {
			return fmt.Errorf("add repository: %w", err)
		}
		return s.audit(ctx, tx, actor, "repository.created", string(r.ID), r.Name)
	})
}

const repositoryColumns = `id, name, location, created_at, ready_at`

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
			plain, err = s.keys.open(place("repositories", string(id), column), b)
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
}

// PutSourceGroup adds a host's source group, or changes the one of that name.
// It answers with the row as it is now.
func (s *Store) PutSourceGroup(ctx context.Context, actor string, g SourceGroup) (SourceGroup, error) {
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1`, g.Host); err != nil {
			return fmt.Errorf("host %s: %w", g.Host, err)
		}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO source_groups (id, host, name, repository, paths, excludes, one_file_system, created_at)
			VALUES (:id, :host, :name, :repository, :paths, :excludes, :one_file_system, :created_at)
			ON CONFLICT (host, name) DO UPDATE SET repository = excluded.repository, paths = excluded.paths,
				excludes = excluded.excludes, one_file_system = excluded.one_file_system`, g); err != nil {
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

// A Snapshot is one that a job of ours made.
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
}

// Snapshots lists a host's snapshots, the newest first.
func (s *Store) Snapshots(ctx context.Context, host topics.HostID, limit int) ([]Snapshot, error) {
	return all[Snapshot](ctx, s.r, `SELECT * FROM snapshots WHERE host = $1 ORDER BY time DESC, id LIMIT $2`, host, limit)
}

// SnapshotCount counts a host's snapshots.
func (s *Store) SnapshotCount(ctx context.Context, host topics.HostID) (int, error) {
	return get[int](ctx, s.r, `SELECT count(*) FROM snapshots WHERE host = $1`, host)
}

func addSnapshot(ctx context.Context, tx *sqlx.Tx, j Job, sum *topics.Summary, t topics.Snapshot) error {
	row := Snapshot{Repository: j.Repository, ID: t.ID, Host: j.Host, Job: j.ID, Time: t.Time, Hostname: t.Host,
		Paths: slices.Clone(t.Paths), Tags: slices.Clone(t.Tags)}
	if sum != nil {
		row.Files, row.Bytes = sum.TotalFiles, sum.TotalBytes
	}
	_, err := tx.NamedExecContext(ctx, `INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, files, bytes)
		VALUES (:repository, :id, :host, :job, :time, :hostname, :paths, :tags, :files, :bytes) ON CONFLICT (repository, id) DO NOTHING`, row)
	return err
}
