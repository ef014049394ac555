package slotlog

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// A Job is what tells whether a job served a slot, or kept its host from it.
type Job struct {
	ID       topics.JobID         `db:"id"`
	Kind     topics.JobKind       `db:"kind"`
	Group    topics.SourceGroupID `db:"source_group"`
	Place    topics.RepositoryID  `db:"repository"`
	State    topics.JobState      `db:"state"`
	Cause    topics.Cause         `db:"cause"`
	Queued   int64                `db:"queued_at"`
	Started  int64                `db:"started_at"`
	Finished int64                `db:"finished_at"`
}

// Began is when the job began to run, or was asked for if that is not known.
func (j Job) Began() int64 {
	if j.Started > 0 {
		return j.Started
	}
	return j.Queued
}

// A Host is what tells why a host did not begin a slot.
type Host struct {
	Intermittent bool   `db:"intermittent"`
	Applied      int64  `db:"config_applied"`  // the revision of its schedules, below zero if its agent is too old to have them
	Revision     int64  `db:"config_revision"` // the one it should have
	Problem      string `db:"config_error"`    // what of it the agent cannot do
	AtOnce       int    `db:"at_once"`         // how many jobs it runs at once
}

// Fires reports whether the host's agent runs its schedules by itself.
func (h Host) Fires() bool { return h.Applied >= 0 }

// HostOf reads a host.
func HostOf(ctx context.Context, q sqlx.QueryerContext, id topics.HostID) (h Host, err error) {
	err = sqlx.GetContext(ctx, q, &h, `SELECT intermittent, config_applied, config_revision, config_error,
		max(1, min(jobs_at_once, agent_jobs)) AS at_once FROM hosts
		WHERE id = $1 -- removed_at: of either kind`, id)
	return h, err
}

// JobsSince lists jobs of a host that had not ended before a moment, in no order.
func JobsSince(ctx context.Context, q sqlx.QueryerContext, host topics.HostID, since int64) (rows []Job, err error) {
	const columns = `SELECT id, kind, source_group, repository, state, cause, queued_at, started_at, finished_at FROM jobs
		WHERE host = $1 AND `
	err = scan.Select(ctx, q, &rows, columns+`finished_at = 0 UNION ALL `+columns+`finished_at >= max($2, 1) LIMIT 200`, host, since)
	return rows, err
}
