package channels

import (
	"context"

	"github.com/restic-manager/restic-manager/topics"
)

// A Missed counts the slots of a host that nothing was begun for.
type Missed struct {
	Host topics.HostID `db:"host"`
	N    int64         `db:"n"`
}

// Missed counts the slots since a moment that nothing was begun for, by host, most first.
func (c Channels) Missed(ctx context.Context, since int64) ([]Missed, error) {
	return rows[Missed](ctx, c.R, `SELECT host, count(*) AS n FROM slot_outcomes
		WHERE outcome IN ('missed-offline', 'missed-asleep', 'missed-paused', 'missed-busy', 'missed-hours', 'missed-disk') AND slot >= $1
		GROUP BY host ORDER BY n DESC, host`, since)
}

// An Ending counts the backups that ended in a state.
type Ending struct {
	State topics.JobState `db:"state"`
	N     int64           `db:"n"`
}

// Endings counts the backups that ended since a moment, by how.
func (c Channels) Endings(ctx context.Context, since int64) ([]Ending, error) {
	return rows[Ending](ctx, c.R, `SELECT state, count(*) AS n FROM jobs WHERE finished_at >= $1 AND finished_at > 0 AND kind = 'backup'
		GROUP BY state`, since)
}
