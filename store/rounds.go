package store

import (
	"context"

	"github.com/restic-manager/restic-manager/topics"
)

// A Round is the result of the last job of a schedule's source group.
type Round struct {
	Schedule ScheduleID           `db:"schedule"`
	Group    topics.SourceGroupID `db:"source_group"`
	Job      topics.JobID         `db:"id"`
	Slot     int64                `db:"slot"`
	State    topics.JobState      `db:"state"`
}

// RoundsOf lists the job of each group's latest slot and attempt, for some schedules.
func (s *Store) RoundsOf(ctx context.Context, ids []ScheduleID) ([]Round, error) {
	return among[Round](ctx, s.r, `SELECT j.schedule, j.source_group, j.id, j.slot, j.state FROM schedule_groups m
		JOIN jobs j ON j.id = (SELECT k.id FROM jobs k WHERE k.schedule = m.schedule AND k.schedule <> '' AND k.source_group = m.source_group
			ORDER BY k.slot DESC, k.attempt DESC LIMIT 1)
		WHERE m.schedule IN (?) ORDER BY j.schedule, j.source_group`, ids)
}
