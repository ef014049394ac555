package store

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Lock was found in a repository by a job.
type Lock struct {
	Repository topics.RepositoryID `db:"repository"`
	ID         string              `db:"id"`
	Time       int64               `db:"time"` // by the clock of its host
	Exclusive  bool                `db:"exclusive"`
	Hostname   string              `db:"hostname"`
	Username   string              `db:"username"`
	PID        int64               `db:"pid"`
	Alive      sql.NullBool        `db:"alive"` // whether its process runs; unknown if another host listed it
	Job        topics.JobID        `db:"job"`   // the job of that process, if the host that listed it knew
	LookedBy   topics.HostID       `db:"looked_by"`
}

// Locks lists the locks that the last listing found in a repository, oldest first.
func (s *Store) Locks(ctx context.Context, id topics.RepositoryID) ([]Lock, error) {
	return all[Lock](ctx, s.r, `SELECT * FROM repository_locks WHERE repository = $1 ORDER BY time, id`, id)
}

// AllLocks lists the locks that the last listings found, in all repositories.
func (s *Store) AllLocks(ctx context.Context) ([]Lock, error) {
	return all[Lock](ctx, s.r, `SELECT * FROM repository_locks ORDER BY repository, time, id`)
}

// DiedSince reports whether a job on a repository ended since a time in a way that
// may have left its lock behind.
func (s *Store) DiedSince(ctx context.Context, id topics.RepositoryID, since int64) (bool, error) {
	n, err := get[int](ctx, s.r, `SELECT count(*) FROM jobs WHERE repository = $1 AND finished_at > $2 AND started_at > 0 AND
		(state IN ('interrupted', 'cancelled') OR state = 'failed' AND cause IN ('locked', 'killed', 'agent-died', 'unreachable',
		'unknown', ''))`, id, since)
	return n > 0, err
}

// LockedSince reports whether a job on a repository failed because of a lock since a
// time.
func (s *Store) LockedSince(ctx context.Context, id topics.RepositoryID, since int64) (bool, error) {
	n, err := get[int](ctx, s.r, `SELECT count(*) FROM jobs WHERE repository = $1 AND state = 'failed' AND cause = 'locked'
		AND finished_at >= $2`, id, since)
	return n > 0, err
}

// JobsSince lists at most a thousand of a repository's jobs that have not ended, or
// ended since a time, newest first.
func (s *Store) JobsSince(ctx context.Context, id topics.RepositoryID, since int64) ([]Job, error) {
	return all[Job](ctx, s.r, `SELECT * FROM jobs WHERE repository = $1 AND (finished_at = 0 OR finished_at >= $2)
		ORDER BY queued_at DESC, id LIMIT 1000`, id, since)
}

// look stores a complete listing of a repository's locks, made by job j. What a
// lock's own host reported about its process stays when another host lists it,
// because a renewed lock has another ID.
func look(ctx context.Context, tx *sqlx.Tx, j Job, found []topics.Lock, at int64) error {
	rows, err := all[Lock](ctx, tx, `SELECT * FROM repository_locks WHERE repository = $1`, j.Repository)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM repository_locks WHERE repository = $1`, j.Repository); err != nil {
		return err
	}
	for _, t := range found {
		l := Lock{Repository: j.Repository, ID: t.ID, Time: t.Time, Exclusive: t.Exclusive, Hostname: t.Host, Username: t.User, PID: int64(t.PID),
			Job: t.Job, LookedBy: j.Host}
		if t.Alive != nil {
			l.Alive = sql.NullBool{Bool: *t.Alive, Valid: true}
		} else {
			for _, was := range rows {
				if was.ID == l.ID && was.Time == l.Time && was.Alive.Valid {
					l.Alive, l.Job, l.LookedBy = was.Alive, was.Job, was.LookedBy
				}
			}
		}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO repository_locks (repository, id, time, exclusive, hostname, username, pid,
			alive, job, looked_by)
			VALUES (:repository, :id, :time, :exclusive, :hostname, :username, :pid, :alive, :job, :looked_by)
			ON CONFLICT (repository, id) DO NOTHING`, l); err != nil {
			return err
		}
	}
	return change(ctx, tx, `UPDATE repositories SET locks_at = $1 WHERE id = $2`, at, j.Repository)
}
