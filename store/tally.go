package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// Counts that pages show are stored: counting a year of jobs of ten thousand hosts
// takes half a second each time. Triggers update them, so that no query and no other
// process can forget to.

// A trigger is a trigger of the database, by name.
type trigger struct{ name, when, do string }

// putTriggers creates triggers, and replaces those whose text has changed. The syntax
// is SQLite's.
func (s *Store) putTriggers(ctx context.Context, list []trigger) error {
	for _, t := range list {
		want := `CREATE TRIGGER ` + t.name + ` ` + t.when + ` BEGIN ` + t.do + ` END`
		is, err := get[string](ctx, s.w, `SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = $1`, t.name)
		if err == nil && is == want {
			continue
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err := s.tx(ctx, func(tx *sqlx.Tx) error {
			if _, err := tx.ExecContext(ctx, `DROP TRIGGER IF EXISTS `+t.name); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, want)
			return err
		}); err != nil {
			return fmt.Errorf("trigger %s: %w", t.name, err)
		}
	}
	return nil
}

// keepTallies creates the triggers for the counts of migration 110.
func (s *Store) keepTallies(ctx context.Context) error {
	jobs := func(row, hour, by string) string {
		return fmt.Sprintf(`INSERT INTO job_tallies (hour, state, kind, jobs) SELECT %s, %s.state, %s.kind, %s WHERE %s.finished_at > 0
			ON CONFLICT (hour, state, kind) DO UPDATE SET jobs = jobs + excluded.jobs; `, hour, row, row, by, row)
	}
	ended := func(row, by string) string { return jobs(row, row+`.finished_at / 3600000`, by) + jobs(row, `-1`, by) }
	held := func(row, by string) string {
		return fmt.Sprintf(`INSERT INTO snapshot_tallies (repository, snapshots, foreign_n) SELECT %s.repository, %s,
			%s * (%s.job = '') WHERE %s.gone_at = 0
			ON CONFLICT (repository) DO UPDATE SET snapshots = snapshots + excluded.snapshots,
				foreign_n = foreign_n + excluded.foreign_n; `, row, by, by, row, row)
	}
	logs := func(row, by string) string {
		return fmt.Sprintf(`UPDATE log_tally SET bytes = bytes + %s * %s.log_bytes, jobs = jobs + %s * (%s.log_bytes > 0)
			WHERE %s.log_bytes <> 0; `, by, row, by, row, row)
	}
	return s.putTriggers(ctx, []trigger{
		{"job_tallies_added", `AFTER INSERT ON jobs`, ended("NEW", "1") + logs("NEW", "1")},
		{"job_tallies_gone", `AFTER DELETE ON jobs`, ended("OLD", "-1") + logs("OLD", "-1")},
		{"job_tallies_changed", `AFTER UPDATE OF finished_at, state, kind ON jobs WHEN (OLD.finished_at > 0 OR NEW.finished_at > 0)
			AND (OLD.finished_at <> NEW.finished_at OR OLD.state <> NEW.state OR OLD.kind <> NEW.kind)`, ended("OLD",
			"-1") + ended("NEW", "1")},
		{"log_tally_changed", `AFTER UPDATE OF log_bytes ON jobs WHEN OLD.log_bytes <> NEW.log_bytes`, logs("OLD", "-1") + logs("NEW",
			"1")},
		{"snapshot_tallies_added", `AFTER INSERT ON snapshots`, held("NEW", "1")},
		{"snapshot_tallies_gone", `AFTER DELETE ON snapshots`, held("OLD", "-1")},
		{"snapshot_tallies_changed", `AFTER UPDATE OF repository, job, gone_at ON snapshots WHEN OLD.repository <> NEW.repository
			OR (OLD.job = '') <> (NEW.job = '') OR (OLD.gone_at = 0) <> (NEW.gone_at = 0)`, held("OLD", "-1") + held("NEW", "1")},
	})
}

// Recount computes all stored counts anew. Only a database filled without the
// triggers needs it.
func (s *Store) Recount(ctx context.Context) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		for _, q := range []string{`DELETE FROM job_tallies`, `DELETE FROM snapshot_tallies`,
			`INSERT INTO job_tallies (hour, state, kind, jobs) SELECT finished_at / 3600000, state, kind, count(*) FROM jobs
				WHERE finished_at > 0 GROUP BY finished_at / 3600000, state, kind`,
			`INSERT INTO job_tallies (hour, state, kind, jobs) SELECT -1, state, kind, sum(jobs) FROM job_tallies GROUP BY state, kind`,
			`INSERT INTO snapshot_tallies (repository, snapshots, foreign_n) SELECT repository, count(*), sum(job = '') FROM snapshots
				WHERE gone_at = 0 GROUP BY repository`,
			`UPDATE log_tally SET bytes = (SELECT coalesce(sum(log_bytes), 0) FROM jobs), jobs = (SELECT count(*) FROM jobs
				WHERE log_bytes > 0)`,
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("count anew: %w", err)
			}
		}
		return nil
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

const snapshotTally = `SELECT repository, snapshots AS n, foreign_n,
	coalesce((SELECT max(time) FROM snapshots s WHERE s.repository = t.repository AND s.gone_at = 0), 0) AS newest
		FROM snapshot_tallies t WHERE snapshots > 0`

// SnapshotTallies returns the counts of each repository that holds snapshots.
func (s *Store) SnapshotTallies(ctx context.Context) (map[topics.RepositoryID]SnapshotTally, error) {
	return talliesOf(all[SnapshotTally](ctx, s.r, snapshotTally))
}

// SnapshotTalliesOf returns the counts of those of some repositories that hold
// snapshots.
func (s *Store) SnapshotTalliesOf(ctx context.Context, ids []topics.RepositoryID) (map[topics.RepositoryID]SnapshotTally, error) {
	return talliesOf(among[SnapshotTally](ctx, s.r, snapshotTally+` AND repository IN (?)`, ids))
}

func talliesOf(rows []SnapshotTally, err error) (map[topics.RepositoryID]SnapshotTally, error) {
	tallies := make(map[topics.RepositoryID]SnapshotTally, len(rows))
	for _, t := range rows {
		tallies[t.Repository] = t
	}
	return tallies, err
}
