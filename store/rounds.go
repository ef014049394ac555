package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

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

// PutHostSettings sets whether a host is not always on, and after how many days
// without a good backup it is overdue; 0 is never. nil leaves a setting as it is. It
// returns the new row.
func (s *Store) PutHostSettings(ctx context.Context, actor string, host topics.HostID, on *bool, overdueDays *int64) (h Host, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := change(ctx, tx, `UPDATE hosts SET intermittent = coalesce($1, intermittent), overdue_days = coalesce($2, overdue_days)
			WHERE id = $3`,
			on, overdueDays, host); err != nil {
			return err
		}
		if h, err = get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1`, host); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "host.intermittent", string(host), fmt.Sprintf("%t, overdue after %d days", h.Intermittent, h.OverdueDays))
	})
	return h, err
}
