// Package endings keeps how jobs ended, as long as somebody should be told of it: how often
// in a row a backup failed or ended with the same warnings, how its size compares, how
// forget, prune, check and restore ended last. Jobs themselves are removed by age.
package endings

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// A Kind is what ended, or what was found of it.
type Kind string

// The kinds.
const (
	Backup  Kind = "backup"  // the last backup of a group
	Warned  Kind = "warned"  // the last one of a group that made a snapshot, and how often it ended with the same warnings
	Size    Kind = "size"    // how the last good one compares with those before it
	Unusual Kind = "unusual" // the last one that added far more than usual
	Forget  Kind = "forget"  // the last forget of a repository
	Prune   Kind = "prune"
	Check   Kind = "check"
	Restore Kind = "restore" // the last restore on a host
)

// A Row is how something ended. Moments are in Unix milliseconds.
type Row struct {
	Subject    string              `db:"subject"`
	Kind       Kind                `db:"kind"`
	Place      topics.HostID       `db:"place"`
	Host       topics.HostID       `db:"host"`
	Repository topics.RepositoryID `db:"repository"`
	Job        topics.JobID        `db:"job"`
	State      topics.JobState     `db:"state"`
	Cause      topics.Cause        `db:"cause"`
	At         int64               `db:"at"`
	Begun      int64               `db:"begun"`
	Since      int64               `db:"since"`
	Times      int64               `db:"times"`
	GaveUp     bool                `db:"gave_up"`
	Body       column.JSON[Body]   `db:"body"`
}

// A Body is what a row says beside the job's own words.
type Body struct {
	Why    string `json:"why,omitempty"` // in the words of docs/CAUSES.md
	Do     string `json:"do,omitempty"`
	Brief  string `json:"brief,omitempty"`
	Missed int    `json:"missed,omitempty"`

	Files   *Compared `json:"files,omitempty"`
	Bytes   *Compared `json:"bytes,omitempty"`
	Added   *Compared `json:"added,omitempty"`
	Changed *Compared `json:"changed,omitempty"`
}

// A Compared is a figure and what is usual for it: the median of those before, and that of
// how far they are off.
type Compared struct {
	Is     float64 `json:"is"`
	Median float64 `json:"median"`
	Spread float64 `json:"spread"`
	N      int     `json:"n"`
}

// Failed reports whether the job did not do what it was for.
func (r Row) Failed() bool {
	switch r.State {
	case topics.Failed, topics.Interrupted, topics.Abandoned:
		return true
	}
	return false
}

// cared is which rows count: what failed at the place of a host that was removed, retired or
// revoked nobody ever tries there again.
const cared = `(place = '' OR EXISTS (SELECT 1 FROM hosts h WHERE h.id = endings.place AND h.removed_at + h.retired_at + h.revoked_at = 0))`

// All lists all rows that count, each subject's in an order that is always the same.
func All(ctx context.Context, q sqlx.QueryerContext) (rows []Row, err error) {
	if err = scan.Select(ctx, q, &rows, `SELECT * FROM endings WHERE `+cared+` ORDER BY subject, kind, place`); err != nil {
		err = fmt.Errorf("how jobs ended: %w", err)
	}
	return rows, err
}

// OfAll lists the rows that count of some subjects, in the order of All.
func OfAll(ctx context.Context, q sqlx.QueryerContext, subjects []string) ([]Row, error) {
	return among[Row](ctx, q, `SELECT * FROM endings WHERE subject IN (?) AND `+cared+` ORDER BY subject, kind, place`, subjects)
}

func among[T, K any](ctx context.Context, q sqlx.QueryerContext, query string, keys []K) (rows []T, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	query, args, err := sqlx.In(query, keys)
	if err == nil {
		err = scan.Select(ctx, q, &rows, sqlx.Rebind(sqlx.DOLLAR, query), args...)
	}
	if err != nil {
		err = fmt.Errorf("how jobs ended: %w", err)
	}
	return rows, err
}

// Of lists the rows of a subject that count, in no order.
func Of(ctx context.Context, q sqlx.QueryerContext, subject string) (rows []Row, err error) {
	if err = scan.Select(ctx, q, &rows, `SELECT * FROM endings WHERE subject = $1 AND `+cared, subject); err != nil {
		err = fmt.Errorf("how jobs ended: %w", err)
	}
	return rows, err
}

// Put stores a row in the place of the one of its kind.
func Put(ctx context.Context, tx sqlx.ExtContext, r Row) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO endings (subject, kind, place, host, repository, job, state, cause, at, begun,
			since, times, gave_up, body)
		VALUES (:subject, :kind, :place, :host, :repository, :job, :state, :cause, :at, :begun, :since, :times, :gave_up, :body)
		ON CONFLICT (subject, kind, place) DO UPDATE SET host = excluded.host, repository = excluded.repository, job = excluded.job,
			state = excluded.state, cause = excluded.cause, at = excluded.at, begun = excluded.begun, since = excluded.since,
			times = excluded.times, gave_up = excluded.gave_up, body = excluded.body`, r)
	if err != nil {
		return fmt.Errorf("note how a job ended: %w", err)
	}
	return nil
}

// A Group is what counts of a source group when a job of it ends.
type Group struct {
	ID           topics.SourceGroupID `db:"id"`
	Host         topics.HostID        `db:"host"`
	Name         string               `db:"name"`
	Repository   topics.RepositoryID  `db:"repository"`
	CreatedAt    int64                `db:"created_at"`
	AllowEmpty   bool                 `db:"allow_empty"`
	MeasureSince int64                `db:"measure_since"` // backups that began before are no measure any more
	FailedSince  int64                `db:"failed_since"`  // as it was before
	Retrying     bool                 `db:"retrying"`      // a schedule owes it a run
}

const groupColumns = `SELECT g.id, g.host, g.name, g.repository, g.created_at, g.allow_empty, coalesce(f.measure_since, 0) AS measure_since,
		coalesce(f.failed_since, 0) AS failed_since,
		EXISTS (SELECT 1 FROM schedule_groups m JOIN pending_runs p ON p.schedule = m.schedule
			WHERE m.source_group = g.id AND m.settled < p.slot) AS retrying
	FROM source_groups g LEFT JOIN group_facts f ON f.source_group = g.id`

// GroupOf reads a source group that is in care; false if it is not.
func GroupOf(ctx context.Context, q sqlx.QueryerContext, id topics.SourceGroupID) (g Group, there bool, err error) {
	err = sqlx.GetContext(ctx, q, &g, groupColumns+` WHERE g.id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return g, false, nil
	}
	if err != nil {
		err = fmt.Errorf("source group of a job: %w", err)
	}
	return g, err == nil, err
}

// Groups reads all source groups that are in care.
func Groups(ctx context.Context, q sqlx.QueryerContext) (rows []Group, err error) {
	if err = scan.Select(ctx, q, &rows, groupColumns); err != nil {
		err = fmt.Errorf("source groups: %w", err)
	}
	return rows, err
}

// GroupsOf reads those of some source groups that are in care.
func GroupsOf(ctx context.Context, q sqlx.QueryerContext, ids []topics.SourceGroupID) ([]Group, error) {
	return among[Group](ctx, q, groupColumns+` WHERE g.id IN (?)`, ids)
}

// A Made is what a backup made, for comparing it with others.
type Made struct {
	Job     topics.JobID                `db:"id"`
	Begun   int64                       `db:"started_at"`
	Ended   int64                       `db:"finished_at"`
	Summary column.JSON[topics.Summary] `db:"summary"`
}

// Before lists what the last backups of a group in its repository made, at most so many,
// the newest first: those that made a snapshot, began since a moment, ended until another,
// and are not the one job.
func Before(ctx context.Context, q sqlx.QueryerContext, g Group, job topics.JobID, now int64, most int) ([]Made, error) {
	var all []Made
	for _, state := range []topics.JobState{topics.Succeeded, topics.Warnings} {
		var rows []Made
		if err := scan.Select(ctx, q, &rows, `SELECT id, started_at, finished_at, summary FROM jobs
			WHERE source_group = $1 AND source_group <> '' AND state = $2 AND finished_at > 0 AND finished_at <= $3
				AND repository = $4 AND started_at >= $5 AND id <> $6 AND snapshot_id <> '' AND summary <> ''
			ORDER BY finished_at DESC, id DESC LIMIT $7`, g.ID, state, now+facts.FarAhead, g.Repository, g.MeasureSince, job, most); err != nil {
			return nil, fmt.Errorf("backups before: %w", err)
		}
		all = append(all, rows...)
	}
	slices.SortFunc(all, func(a, b Made) int { return -compare(a, b) })
	return all[:min(len(all), most)], nil
}

func compare(a, b Made) int {
	switch {
	case a.Ended != b.Ended && a.Ended < b.Ended:
		return -1
	case a.Ended != b.Ended:
		return 1
	case a.Job < b.Job:
		return -1
	case a.Job > b.Job:
		return 1
	}
	return 0
}

// Tried reports whether a job is a run of maintenance that its hours ordered, and how often
// that was tried before.
func Tried(ctx context.Context, q sqlx.QueryerContext, job topics.JobID) (ordered bool, attempt int, err error) {
	var rows []int
	err = scan.Select(ctx, q, &rows, `SELECT coalesce(d.attempt, 0) FROM maintenance_runs r
		LEFT JOIN maintenance_duties d ON d.repository = r.repository AND d.kind = r.kind WHERE r.job = $1 AND r.slot > 0`, job)
	if err != nil {
		return false, 0, fmt.Errorf("tries of a run of maintenance: %w", err)
	}
	if len(rows) == 0 {
		return false, 0, nil
	}
	return true, rows[0], nil
}

// LocationOf returns a repository's name and address; false if it is not in care.
func LocationOf(ctx context.Context, q sqlx.QueryerContext, id topics.RepositoryID) (name, location string, there bool, err error) {
	var row struct {
		Name     string `db:"name"`
		Location string `db:"location"`
	}
	err = sqlx.GetContext(ctx, q, &row, `SELECT name, location FROM repositories WHERE id = $1 AND removed_at = 0`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", false, nil
	}
	if err != nil {
		err = fmt.Errorf("repository of a job: %w", err)
	}
	return row.Name, row.Location, err == nil, err
}
