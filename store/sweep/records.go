package sweep

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/topics"
)

// DefaultRecordAge is how long the records of jobs and of maintenance are kept: long
// enough to compare a month with that of the year before last.
const DefaultRecordAge = 2 * 365 * 24 * time.Hour

// AlertAge is how long alerts that are over are kept.
const AlertAge = 365 * 24 * time.Hour

// RecordBatch is how many records one transaction removes at most.
const RecordBatch = 200

// Records removes the records of jobs and of maintenance runs that ended longer ago
// than age, with their logs and reports, and enrolment tokens that expired then. It
// returns how many jobs and runs. The last of each sort stays however old it is: the
// latest backup of a source group, what a row of a host, repository or schedule names,
// and the latest maintenance of each kind. Zero keeps everything.
func (s Sweeper) Records(ctx context.Context, age time.Duration) (jobs, runs int, err error) {
	if age <= 0 {
		return 0, 0, nil
	}
	before := s.Now() - age.Milliseconds()
	if jobs, err = s.jobs(ctx, before); err != nil {
		return jobs, 0, fmt.Errorf("remove old jobs: %w", err)
	}
	if runs, err = s.runs(ctx, before); err != nil {
		return jobs, runs, fmt.Errorf("remove old maintenance runs: %w", err)
	}
	return jobs, runs, s.Tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM enroll_tokens WHERE id IN (SELECT id FROM enroll_tokens WHERE expires_at < $1 LIMIT $2)`,
			before, Rows); err != nil {
			return err
		}
		if err := alerts.Sweep(ctx, tx, s.Now()-AlertAge.Milliseconds(), Rows); err != nil {
			return err
		}
		if err := rollouts.Sweep(ctx, tx, before, Rows); err != nil {
			return err
		}
		return intake.Sweep(ctx, tx, before, Rows)
	})
}

// OldJobs is the query for the next jobs that are too old, after an end and an ID.
const OldJobs = `SELECT id, finished_at FROM jobs WHERE finished_at > 0 AND finished_at < $1 AND finished_at >= $2
	AND (finished_at > $2 OR id > $3) ORDER BY finished_at, id LIMIT $4`

// needed are conditions under which a job stays, whatever its age.
const needed = `SELECT j.id FROM jobs j WHERE j.id IN (?) AND (
	j.source_group <> '' AND j.id = (SELECT max(k.id) FROM jobs k WHERE k.source_group = j.source_group AND k.source_group <> ''
		AND k.finished_at > 0)
	OR EXISTS (SELECT 1 FROM hosts h WHERE h.id = j.host AND h.removed_at = 0 AND j.id = h.last_job)
	OR EXISTS (SELECT 1 FROM repositories r WHERE r.id = j.repository AND r.check_job = j.id)
	OR EXISTS (SELECT 1 FROM schedule_groups m WHERE m.schedule = j.schedule AND m.source_group = j.source_group AND m.job = j.id)
	OR EXISTS (SELECT 1 FROM maintenance_runs n WHERE n.id = j.id AND n.ended_at = 0))`

func (s Sweeper) jobs(ctx context.Context, before int64) (removed int, err error) {
	type place struct {
		ID    topics.JobID `db:"id"`
		Ended int64        `db:"finished_at"`
	}
	var after place
	for {
		list, err := all[place](ctx, s.R, OldJobs, before, after.Ended, after.ID, RecordBatch)
		if err != nil || len(list) == 0 {
			return removed, err
		}
		after = list[len(list)-1]
		stay := map[topics.JobID]bool{}
		var ids []topics.JobID
		for _, p := range list {
			ids = append(ids, p.ID)
		}
		query, args, err := sqlx.In(needed, ids)
		if err != nil {
			return removed, err
		}
		kept, err := all[topics.JobID](ctx, s.R, sqlx.Rebind(sqlx.DOLLAR, query), args...)
		if err != nil {
			return removed, err
		}
		for _, id := range kept {
			stay[id] = true
		}
		ids = ids[:0]
		for _, p := range list {
			if !stay[p.ID] {
				ids = append(ids, p.ID)
			}
		}
		if err := s.removeJobs(ctx, ids, after.Ended); err != nil {
			return removed, err
		}
		removed += len(ids)
	}
}

// removeJobs removes what jobs logged, then their records.
func (s Sweeper) removeJobs(ctx context.Context, ids []topics.JobID, last int64) error {
	for left := ids; len(left) > 0; {
		var done int
		if err := s.Tx(ctx, func(tx *sqlx.Tx) (err error) {
			done, err = RemoveSome(ctx, tx, left)
			return err
		}); err != nil {
			return err
		}
		left = left[done:]
	}
	if len(ids) == 0 {
		return nil
	}
	query, args, err := sqlx.In(`DELETE FROM jobs WHERE id IN (?) AND finished_at > 0`, ids)
	if err != nil {
		return err
	}
	return s.Tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlx.Rebind(sqlx.DOLLAR, query), args...); err != nil {
			return err
		}
		return s.Audit(ctx, tx, "job.records_removed", fmt.Sprintf("records of %d jobs that ended until %s", len(ids),
			time.UnixMilli(last).UTC().Format(time.RFC3339)))
	})
}

// OldRuns is the query for the next maintenance runs that are too old, but for the
// latest and the latest that succeeded of each kind: plans are compared with these.
const OldRuns = `SELECT m.id FROM maintenance_runs m WHERE m.ended_at > 0 AND m.ended_at < $1
	AND EXISTS (SELECT 1 FROM maintenance_runs n WHERE n.repository = m.repository AND n.kind = m.kind AND n.created_at > m.created_at
		AND (m.outcome <> 'succeeded' OR n.outcome = 'succeeded'))
	ORDER BY m.ended_at LIMIT $2`

func (s Sweeper) runs(ctx context.Context, before int64) (removed int, err error) {
	for {
		ids, err := all[string](ctx, s.R, OldRuns, before, RecordBatch)
		if err != nil || len(ids) == 0 {
			return removed, err
		}
		query, args, err := sqlx.In(`DELETE FROM maintenance_runs WHERE id IN (?) AND ended_at > 0`, ids)
		if err != nil {
			return removed, err
		}
		if err := s.Tx(ctx, func(tx *sqlx.Tx) error {
			if _, err := tx.ExecContext(ctx, sqlx.Rebind(sqlx.DOLLAR, query), args...); err != nil {
				return err
			}
			return s.Audit(ctx, tx, "maintenance.records_removed", fmt.Sprintf("records of %d runs", len(ids)))
		}); err != nil {
			return removed, err
		}
		removed += len(ids)
	}
}
