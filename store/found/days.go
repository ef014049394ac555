// Package found stores what jobs find in repositories: keys, locks and sizes. Its
// functions are steps of the transaction in which a job ends.
package found

import (
	"context"
	"math"

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

// DayMillis is a day in milliseconds.
const DayMillis = 24 * 60 * 60 * 1000

// most is a number of ours, whatever an agent said.
func most(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// Measured stores the size that a job measured.
func Measured(ctx context.Context, tx *sqlx.Tx, repository topics.RepositoryID, st topics.Stats, at int64) error {
	d := Day{Repository: repository, Day: at / DayMillis, Snapshots: most(st.Snapshots), RestoreBytes: most(st.RestoreBytes),
		StoredBytes: most(st.StoredBytes), PlainBytes: most(st.PlainBytes)}
	if _, err := tx.NamedExecContext(ctx, `INSERT INTO repository_days (repository, day, snapshots, restore_bytes, stored_bytes, plain_bytes)
		VALUES (:repository, :day, :snapshots, :restore_bytes, :stored_bytes, :plain_bytes)
		ON CONFLICT (repository, day) DO UPDATE SET snapshots = excluded.snapshots, restore_bytes = excluded.restore_bytes,
			stored_bytes = excluded.stored_bytes, plain_bytes = excluded.plain_bytes`, d); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE repositories SET measured_at = $1, restore_bytes = $2, stored_bytes = $3, plain_bytes = $4
		WHERE id = $5`, at, d.RestoreBytes, d.StoredBytes, d.PlainBytes, repository)
	return err
}
