package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Round is how the last job of a schedule's source group went.
type Round struct {
	Schedule ScheduleID           `db:"schedule"`
	Group    topics.SourceGroupID `db:"source_group"`
	Job      topics.JobID         `db:"id"`
	Slot     int64                `db:"slot"`
	State    topics.JobState      `db:"state"`
}

// Rounds lists the job of each schedule's and group's latest slot and attempt.
func (s *Store) Rounds(ctx context.Context) ([]Round, error) {
	return all[Round](ctx, s.r, `SELECT j.schedule, j.source_group, j.id, j.slot, j.state FROM schedule_groups m
		JOIN jobs j ON j.id = (SELECT k.id FROM jobs k WHERE k.schedule = m.schedule AND k.schedule <> '' AND k.source_group = m.source_group
			ORDER BY k.slot DESC, k.attempt DESC LIMIT 1) ORDER BY j.schedule, j.source_group`)
}

// SetIntermittent says whether a host comes and goes, as laptops do, and after how
// many days without a good backup it is overdue; 0 is never.
func (s *Store) SetIntermittent(ctx context.Context, actor string, host topics.HostID, on bool, overdueDays int64) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := change(ctx, tx, `UPDATE hosts SET intermittent = $1, overdue_days = $2 WHERE id = $3`, on, overdueDays, host); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "host.intermittent", string(host), fmt.Sprintf("%t, overdue after %d days", on, overdueDays))
	})
}
