package found

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Lock was found in a repository by a job.
type Lock struct {
	Repository topics.RepositoryID `db:"repository"`
	ID         string              `db:"id"`
	Place      topics.HostID       `db:"place"` // the host at whose place it is; "" if all share one
	Time       int64               `db:"time"`  // by the clock of its host
	Exclusive  bool                `db:"exclusive"`
	Hostname   string              `db:"hostname"`
	Username   string              `db:"username"`
	PID        int64               `db:"pid"`
	Alive      sql.NullBool        `db:"alive"` // whether its process runs; unknown if another host listed it
	Job        topics.JobID        `db:"job"`   // the job of that process, if the host that listed it knew
	LookedBy   topics.HostID       `db:"looked_by"`
}

// Locks stores a complete listing of a repository's locks, made by a host at the place of
// one unless all share one. Places at which the same lock was found are one, such as a
// folder of a server that two hosts have mounted. What a lock's own host reported about its
// process stays when another host lists it, because a renewed lock has another ID.
func Locks(
	ctx context.Context, tx *sqlx.Tx, repository topics.RepositoryID, place, host topics.HostID, found []topics.Lock, at int64,
) error {
	ids := make([]string, len(found))
	for i, l := range found {
		ids[i] = l.ID
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	here := atPlace(1, 2) + ` OR repository = $1 AND place IN (SELECT l.place FROM repository_locks l
		WHERE l.repository = $1 AND l.id IN (SELECT value FROM json_each($3)))`
	var rows []Lock
	if err := tx.SelectContext(ctx, &rows, `SELECT * FROM repository_locks WHERE `+here, repository, place, string(list)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM repository_locks WHERE `+here, repository, place, string(list)); err != nil {
		return err
	}
	for _, t := range found {
		l := Lock{Repository: repository, ID: t.ID, Place: place, Time: t.Time, Exclusive: t.Exclusive, Hostname: t.Host,
			Username: t.User, PID: int64(t.PID), Job: t.Job, LookedBy: host}
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
			alive, job, looked_by, place)
			VALUES (:repository, :id, :time, :exclusive, :hostname, :username, :pid, :alive, :job, :looked_by, :place)
			ON CONFLICT (repository, id) DO NOTHING`, l); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE repositories SET locks_at = $1 WHERE id = $2`, at, repository)
	return err
}
