package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
)

// Recount computes all stored counts anew. Only a database filled without the
// triggers needs it.
func (s *Store) Recount(ctx context.Context) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		for _, q := range []string{`DELETE FROM job_tallies`, `DELETE FROM snapshot_tallies`, `DELETE FROM group_tallies`,
			`INSERT INTO job_tallies (hour, state, kind, jobs) SELECT finished_at / 3600000, state, kind, count(*) FROM jobs
				WHERE finished_at > 0 GROUP BY finished_at / 3600000, state, kind`,
			`INSERT INTO job_tallies (hour, state, kind, jobs) SELECT -1, state, kind, sum(jobs) FROM job_tallies GROUP BY state, kind`,
			`INSERT INTO snapshot_tallies (repository, snapshots, foreign_n) SELECT repository, count(*), sum(job = '') FROM snapshots
				WHERE gone_at = 0 GROUP BY repository`,
			`INSERT INTO group_tallies (source_group, repository, snapshots) SELECT source_group, repository, count(*) FROM snapshots
				WHERE gone_at = 0 AND replaced_by = '' AND job <> '' AND source_group <> '' GROUP BY source_group, repository`,
			`UPDATE log_tally SET bytes = (SELECT coalesce(sum(log_bytes), 0) FROM jobs), jobs = (SELECT count(*) FROM jobs
				WHERE log_bytes > 0)`,
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("count anew: %w", err)
			}
		}
		return facts.Recount(ctx, tx)
	})
}

const hourMillis = 60 * 60 * 1000

// countAllEnded counts what ended since a time by state and kind: whole hours from
// the stored counts, the rest of the first hour from the index.
func (s *Store) countAllEnded(ctx context.Context, since int64) ([]JobCount, error) {
	if since <= 0 {
		return all[JobCount](ctx, s.r, `SELECT state, kind, jobs FROM job_tallies WHERE hour = -1 AND jobs > 0 ORDER BY state, kind`)
	}
	whole := (since + hourMillis - 1) / hourMillis
	return all[JobCount](ctx, s.r, `SELECT state, kind, sum(jobs) AS jobs FROM (
			SELECT state, kind, sum(jobs) AS jobs FROM job_tallies WHERE hour >= $1 GROUP BY state, kind
			UNION ALL SELECT state, kind, count(*) FROM jobs WHERE finished_at >= $2 AND finished_at < $3 GROUP BY state, kind)
		GROUP BY state, kind HAVING sum(jobs) > 0 ORDER BY state, kind`, whole, since, whole*hourMillis)
}

// A SnapshotTally counts what a repository holds.
type SnapshotTally struct {
	Repository topics.RepositoryID `db:"repository"`
	Count      int                 `db:"n"`
	Foreign    int                 `db:"foreign_n"`
	Newest     int64               `db:"newest"` // its time, by the clock of the host that made it
}

// snapshotTally counts. A snapshot that says it is of the days to come is not the newest:
// its host's clock is wrong, or somebody planted it.
func (s *Store) snapshotTally() string {
	hour := time.Hour.Milliseconds()
	return fmt.Sprintf(`SELECT repository, snapshots AS n, foreign_n,
	coalesce((SELECT max(time) FROM snapshots s WHERE s.repository = t.repository AND s.gone_at = 0 AND s.time < %d), 0) AS newest
		FROM snapshot_tallies t WHERE snapshots > 0`, (s.Now()/hour+25)*hour)
}

// SnapshotTallies returns the counts of each repository that holds snapshots.
func (s *Store) SnapshotTallies(ctx context.Context) (map[topics.RepositoryID]SnapshotTally, error) {
	return talliesOf(all[SnapshotTally](ctx, s.r, s.snapshotTally()))
}

// SnapshotTalliesOf returns the counts of those of some repositories that hold
// snapshots.
func (s *Store) SnapshotTalliesOf(ctx context.Context, ids []topics.RepositoryID) (map[topics.RepositoryID]SnapshotTally, error) {
	return talliesOf(among[SnapshotTally](ctx, s.r, s.snapshotTally()+` AND repository IN (?)`, ids))
}

func talliesOf(rows []SnapshotTally, err error) (map[topics.RepositoryID]SnapshotTally, error) {
	tallies := make(map[topics.RepositoryID]SnapshotTally, len(rows))
	for _, t := range rows {
		tallies[t.Repository] = t
	}
	return tallies, err
}
