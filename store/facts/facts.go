// Package facts keeps what can be restored of each source group: which of its
// snapshots exist, which were lost, and how its backups ended.
//
// The table group_facts has one row per source group. Whatever changes a group, its
// snapshots or its backups updates that row in the same transaction, so that whoever
// judges a group reads one row and never counts anything. Every time is in Unix
// milliseconds by the control plane's clock.
package facts

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// A Snapshot is one of a group's snapshots that exists; its zero value is none. Begun
// and Ended are of the job that made it.
type Snapshot struct {
	ID    string          `db:"id"`
	Job   topics.JobID    `db:"job"`
	Begun int64           `db:"begun"`
	Ended int64           `db:"ended"`
	Files uint64          `db:"files"`
	Bytes uint64          `db:"bytes"` // what restoring it writes
	State topics.JobState `db:"state"` // succeeded, or warnings for one that is incomplete
	// Unsized is that a person took it in, so that nobody knows how much it holds: Files and
	// Bytes are 0 then.
	Unsized bool `db:"unsized"`
}

// A Run is how a backup ended; its zero value is none.
type Run struct {
	Job     topics.JobID    `db:"job"`
	State   topics.JobState `db:"state"`
	Cause   topics.Cause    `db:"cause"`
	EndedAt int64           `db:"ended_at"`
}

// A Group is what is known of a source group. Snapshots in another repository than
// its current one do not count.
type Group struct {
	Group      topics.SourceGroupID `db:"source_group"`
	Host       topics.HostID        `db:"host"`
	Repository topics.RepositoryID  `db:"repository"`

	Snapshots int      `db:"snapshots"` // how many exist
	Newest    Snapshot `db:"newest"`
	Whole     Snapshot `db:"whole"` // the newest that holds at least one file, complete or not
	Good      Snapshot `db:"good"`  // the newest of a backup that succeeded and holds a file, or may be empty

	// MeasureFiles and MeasureBytes are the medians of the last ten snapshots before
	// the newest that had not collapsed themselves, since the group's paths and excludes
	// last changed or its new size was accepted. 0 is not known.
	MeasureFiles uint64 `db:"measure_files"`
	MeasureBytes uint64 `db:"measure_bytes"`
	Collapsed    bool   `db:"collapsed"` // the newest holds nothing, or next to nothing of the measure

	Last         Run   `db:"last"`          // the last backup that ended; cancelled ones, and those before their repository, do not count
	FailedSince  int64 `db:"failed_since"`  // when the first of the failures in a row ended; 0 if the last did not fail
	UsualSeconds int64 `db:"usual_seconds"` // median duration of the last ten that made a snapshot

	Lost               int   `db:"lost"`                // how many are gone that no job of ours removed
	LostUnacknowledged int   `db:"lost_unacknowledged"` // those among them that no administrator has acknowledged
	LostAt             int64 `db:"lost_at"`             // when the first unacknowledged one, else the last one, was found missing
}

// columns are those of group_facts with the names that sqlx knows them by.
const columns = `source_group, host, repository, snapshots,
	newest_id AS "newest.id", newest_job AS "newest.job", newest_begun AS "newest.begun", newest_ended AS "newest.ended",
	newest_files AS "newest.files", newest_bytes AS "newest.bytes", newest_state AS "newest.state",
	newest_unsized AS "newest.unsized",
	whole_id AS "whole.id", whole_job AS "whole.job", whole_begun AS "whole.begun", whole_ended AS "whole.ended",
	whole_files AS "whole.files", whole_bytes AS "whole.bytes", whole_state AS "whole.state",
	whole_unsized AS "whole.unsized",
	good_id AS "good.id", good_job AS "good.job", good_begun AS "good.begun", good_ended AS "good.ended",
	good_files AS "good.files", good_bytes AS "good.bytes", good_state AS "good.state",
	good_unsized AS "good.unsized",
	measure_files, measure_bytes, collapsed,
	last_job AS "last.job", last_state AS "last.state", last_cause AS "last.cause", last_ended_at AS "last.ended_at",
	failed_since, usual_seconds, lost, lost_unacknowledged, lost_at`

// Of reads the facts of all source groups of some hosts, ordered by host and group.
func Of(ctx context.Context, q sqlx.QueryerContext, hosts ...topics.HostID) ([]Group, error) {
	rows := []Group{}
	if len(hosts) == 0 {
		return rows, nil
	}
	query, args, err := sqlx.In(`SELECT `+columns+` FROM group_facts WHERE host IN (?) ORDER BY host, source_group`, hosts)
	if err != nil {
		return nil, err
	}
	if err := scan.Select(ctx, q, &rows, sqlx.Rebind(sqlx.DOLLAR, query), args...); err != nil {
		return nil, fmt.Errorf("facts of %d hosts: %w", len(hosts), err)
	}
	return rows, nil
}

// All reads the facts of every source group, ordered by host and group.
func All(ctx context.Context, q sqlx.QueryerContext) ([]Group, error) {
	rows := []Group{}
	if err := scan.Select(ctx, q, &rows, `SELECT `+columns+` FROM group_facts ORDER BY host, source_group`); err != nil {
		return nil, fmt.Errorf("facts of all groups: %w", err)
	}
	return rows, nil
}
