// Package places knows where the repository of a row lies, and since when there is
// one: a job found or made it there.
//
// An address is either one place for all hosts, or names another one to each: a path on
// the host, or an address in which {host} stands for the host. A place is ready once a
// job has found or made a repository there; from then on none is ever made there again,
// since one that is gone is to be missed.
package places

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// A Place is where hosts find the repository of a row.
type Place struct {
	Repository topics.RepositoryID `db:"repository"`
	Host       topics.HostID       `db:"host"`     // "" is one that all hosts share
	ReadyAt    int64               `db:"ready_at"` // when a job first found or made it, Unix milliseconds; 0 is never
	MadeJob    topics.JobID        `db:"made_job"` // the init job that made it, "" if it was found
	Name       string              `db:"name"`     // what {host} in the address stands for, "" if it is not used yet
}

// Ready reports whether there is a repository, as far as we know.
func (p Place) Ready() bool { return p.ReadyAt > 0 }

// Shared reports whether an address names the same place to every host.
func Shared(address string) bool {
	return location.Scheme(address) != location.Local && !strings.Contains(address, "{host}") && !strings.HasPrefix(address, "rest:http+unix:")
}

// Key is the host that a place of this address belongs to: "" if all share it.
func Key(address string, host topics.HostID) topics.HostID {
	if Shared(address) {
		return ""
	}
	return host
}

// At returns the place where a host finds a repository; it need not have a row yet.
func At(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, host topics.HostID) (Place, error) {
	p := Place{Repository: repository}
	var address string
	if err := sqlx.GetContext(ctx, q, &address, `SELECT location FROM repositories WHERE id = $1`, repository); err != nil {
		return p, err
	}
	p.Host = Key(address, host)
	err := sqlx.GetContext(ctx, q, &p, `SELECT * FROM places WHERE repository = $1 AND host = $2`, repository, p.Host)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return p, err
}

// Of lists the places of a repository that were used, by host.
func Of(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) ([]Place, error) {
	rows := []Place{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM places WHERE repository = $1 ORDER BY host`, repository)
}

// Found notes that a job of a host found a repository at its place, or made it. The
// earliest time counts, also for the row of the repository.
func Found(ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, host topics.HostID, made topics.JobID, at int64) error {
	p, err := At(ctx, tx, repository, host)
	if err != nil || p.Ready() && p.ReadyAt <= at {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO places (repository, host, ready_at, made_job) VALUES ($1, $2, $3, $4)
		ON CONFLICT (repository, host) DO UPDATE SET ready_at = excluded.ready_at, made_job = max(made_job, excluded.made_job)`,
		repository, p.Host, at, made); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE repositories SET ready_at = $1 WHERE id = $2 AND (ready_at = 0 OR ready_at > $1)`, at, repository)
	return err
}

// Moved notes that a repository has another address. Where hosts found the repository
// before, they are to find it now: none is made silently at the new address. A host has
// been where it opened the repository, or has snapshots there.
func Moved(ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, was, now string) error {
	if Shared(was) == Shared(now) {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `UPDATE places SET ready_at = 0 WHERE repository = $1 AND (host = '') <> $2`, repository,
		Shared(now)); err != nil {
		return err
	}
	if Shared(now) {
		_, err := tx.ExecContext(ctx, `INSERT INTO places (repository, host, ready_at) SELECT id, '', ready_at FROM repositories
			WHERE id = $1 AND ready_at > 0 ON CONFLICT (repository, host) DO UPDATE SET ready_at = excluded.ready_at`, repository)
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO places (repository, host, ready_at)
		SELECT $1, f.host, max(min(f.at), 1) FROM (
			SELECT host, good_at AS at FROM repository_looks WHERE repository = $1 AND kind = 'open' AND good_at > 0
			UNION ALL SELECT host, min(time) AS at FROM snapshots WHERE repository = $1 AND job <> '' AND copied_from = '' GROUP BY host) f
		JOIN host_names h ON h.id = f.host WHERE true GROUP BY f.host
		ON CONFLICT (repository, host) DO UPDATE SET ready_at = max(ready_at, excluded.ready_at)`, repository)
	return err
}
