package slotlog

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// A Hand is a source group of a schedule, and a job that its host has in hand: sent,
// and not ended.
type Hand struct {
	Schedule   topics.ScheduleID    `db:"schedule"`
	Group      topics.SourceGroupID `db:"source_group"`
	GroupName  string               `db:"group_name"`
	Repository topics.RepositoryID  `db:"repository"` // of the group
	After      int64                `db:"after"`      // slots up to this one began, or are not the group's
	AtOnce     int                  `db:"at_once"`    // how many jobs the host runs at once
	Job        topics.JobID         `db:"job"`
	Kind       topics.JobKind       `db:"kind"`
	Place      topics.RepositoryID  `db:"place"` // the job's repository
}

// Hands lists, for some schedules that are not paused, every group with every job that
// its host has in hand, the oldest job first.
func Hands(ctx context.Context, q sqlx.QueryerContext, ids []topics.ScheduleID) (rows []Hand, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	query, args, err := sqlx.In(`SELECT m.schedule, m.source_group, g.name AS group_name, g.repository,
			max(m.fired, m.joined_at, s.since) AS after, max(1, min(h.jobs_at_once, h.agent_jobs)) AS at_once,
			j.id AS job, j.kind, j.repository AS place
		FROM schedules s JOIN schedule_groups m ON m.schedule = s.id JOIN source_groups g ON g.id = m.source_group
		JOIN hosts h ON h.id = s.host AND h.removed_at = 0 AND h.retired_at = 0
		JOIN jobs j ON j.host = s.host AND j.finished_at = 0 AND j.state IN ('dispatched', 'running')
		WHERE s.enabled <> 0 AND s.id IN (?) ORDER BY m.schedule, g.name, g.id, j.queued_at, j.id`, ids)
	if err == nil {
		err = scan.Select(ctx, q, &rows, sqlx.Rebind(sqlx.DOLLAR, query), args...)
	}
	if err != nil {
		return nil, fmt.Errorf("jobs that hosts of schedules have in hand: %w", err)
	}
	return rows, nil
}
