package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Day holds the size of a repository on one day, as the last job of that day
// measured it.
type Day struct {
	Repository   topics.RepositoryID `db:"repository"`
	Day          int64               `db:"day"` // since 1 January 1970, in UTC
	Snapshots    int64               `db:"snapshots"`
	RestoreBytes int64               `db:"restore_bytes"`
	StoredBytes  int64               `db:"stored_bytes"`
	PlainBytes   int64               `db:"plain_bytes"`
}

const dayMillis = 24 * 60 * 60 * 1000

// Days lists the sizes of a repository since a time, oldest day first; of all
// repositories if the ID is empty.
func (s *Store) Days(ctx context.Context, id topics.RepositoryID, since int64) ([]Day, error) {
	return all[Day](ctx, s.r, `SELECT * FROM repository_days WHERE `+one("repository", id)+` AND day >= $2 ORDER BY repository, day`,
		id, since/dayMillis)
}

// measured stores the size that a job measured.
func measured(ctx context.Context, tx *sqlx.Tx, j Job, st topics.Stats, at int64) error {
	d := Day{Repository: j.Repository, Day: at / dayMillis, Snapshots: most(st.Snapshots), RestoreBytes: most(st.RestoreBytes),
		StoredBytes: most(st.StoredBytes), PlainBytes: most(st.PlainBytes)}
	if _, err := tx.NamedExecContext(ctx, `INSERT INTO repository_days (repository, day, snapshots, restore_bytes, stored_bytes, plain_bytes)
		VALUES (:repository, :day, :snapshots, :restore_bytes, :stored_bytes, :plain_bytes)
		ON CONFLICT (repository, day) DO UPDATE SET snapshots = excluded.snapshots, restore_bytes = excluded.restore_bytes,
			stored_bytes = excluded.stored_bytes, plain_bytes = excluded.plain_bytes`, d); err != nil {
		return err
	}
	return change(ctx, tx, `UPDATE repositories SET measured_at = $1, restore_bytes = $2, stored_bytes = $3, plain_bytes = $4 WHERE id = $5`,
		at, d.RestoreBytes, d.StoredBytes, d.PlainBytes, j.Repository)
}
