// Package slotlog keeps what became of every slot: one row for each schedule, source
// group and planned moment, whoever ran it. It stores facts; package schedule decides
// what they mean.
package slotlog

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// An Outcome is what became of a slot. The empty one is that a job has it in hand.
type Outcome string

// The outcomes of a slot.
const (
	Ran           Outcome = "ran"            // a backup served it, begun in time
	Late          Outcome = "late"           // a backup served it, begun later than the grace
	Failed        Outcome = "failed"         // what ran for it failed, or nothing was begun for no known reason
	MissedOffline Outcome = "missed-offline" // its host was not connected
	MissedAsleep  Outcome = "missed-asleep"  // the same, of a host that is not always on
	MissedPaused  Outcome = "missed-paused"  // its schedule was paused
	MissedBusy    Outcome = "missed-busy"    // its host ran other jobs all the time
	MissedHours   Outcome = "missed-hours"   // it lay outside the hours in which the host may run backups
	MissedDisk    Outcome = "missed-disk"    // its agent could not write its journal
	Waiting       Outcome = "waiting"        // it waits until its repository is made
)

// Outcomes are all words there are, for documentation and tests.
var Outcomes = []Outcome{Ran, Late, Failed, MissedOffline, MissedAsleep, MissedPaused, MissedBusy, MissedHours, MissedDisk, Waiting}

// missed is the condition that a slot was missed.
const missed = `outcome IN ('missed-offline', 'missed-asleep', 'missed-paused', 'missed-busy', 'missed-hours', 'missed-disk')`

// Served reports whether a backup served the slot.
func (o Outcome) Served() bool { return o == Ran || o == Late }

// Missed reports whether nothing was begun, for a reason that is known.
func (o Outcome) Missed() bool { return strings.HasPrefix(string(o), "missed-") }

// A Row is one slot of one source group.
type Row struct {
	Schedule topics.ScheduleID    `db:"schedule"`
	Group    topics.SourceGroupID `db:"source_group"`
	Slot     int64                `db:"slot"` // the planned moment, Unix milliseconds
	Host     topics.HostID        `db:"host"`
	Outcome  Outcome              `db:"outcome"`
	Job      topics.JobID         `db:"job"`    // what serves it or tried to last, "" for none
	Cause    topics.Cause         `db:"cause"`  // of that job's failure
	Reason   string               `db:"reason"` // a sentence without moments why it was missed
	At       int64                `db:"at"`     // when this became known
}

// A Named is a row with the name of its group, or its ID if the group is gone.
type Named struct {
	Row
	GroupName string `db:"group_name"`
}

// Limits bound the rows that are kept.
type Limits struct {
	Age  int64 // milliseconds
	Each int   // rows of one schedule and group; of older days one missed slot stays
	Step int   // rows that one sweep removes
}

// DefaultLimits is what production uses.
func DefaultLimits() Limits {
	const day = 24 * 60 * 60 * 1000
	return Limits{Age: 120 * day, Each: 1000, Step: 2000}
}

// Serve notes that a job has a slot in hand. What was known of the slot before stays
// until the job ends.
func Serve(ctx context.Context, x sqlx.ExtContext, r Row) error {
	_, err := sqlx.NamedExecContext(ctx, x, `INSERT INTO slot_outcomes (schedule, source_group, slot, host, outcome, job, cause, reason, at)
		VALUES (:schedule, :source_group, :slot, :host, '', :job, '', '', :at)
		ON CONFLICT (schedule, slot, source_group) DO UPDATE SET job = excluded.job WHERE outcome NOT IN ('ran', 'late')`, r)
	if err != nil {
		return fmt.Errorf("slot of schedule %s: %w", r.Schedule, err)
	}
	return nil
}

// Put stores what became of a slot. One that was served stays served.
func Put(ctx context.Context, x sqlx.ExtContext, r Row) error {
	_, err := sqlx.NamedExecContext(ctx, x, `INSERT INTO slot_outcomes (schedule, source_group, slot, host, outcome, job, cause, reason, at)
		VALUES (:schedule, :source_group, :slot, :host, :outcome, :job, :cause, :reason, :at)
		ON CONFLICT (schedule, slot, source_group) DO UPDATE SET outcome = excluded.outcome, job = excluded.job, cause = excluded.cause,
			reason = excluded.reason, at = excluded.at
		WHERE outcome NOT IN ('ran', 'late')`, r)
	if err != nil {
		return fmt.Errorf("outcome of a slot of schedule %s: %w", r.Schedule, err)
	}
	return nil
}

// OfJob lists the slots that a job has in hand or had.
func OfJob(ctx context.Context, q sqlx.QueryerContext, job topics.JobID) (rows []Row, err error) {
	err = scan.Select(ctx, q, &rows, `SELECT * FROM slot_outcomes WHERE job = $1 AND job <> ''
		ORDER BY schedule, slot, source_group`, job)
	return rows, err
}

// At lists what is known of one slot of a schedule, a row for each group.
func At(ctx context.Context, q sqlx.QueryerContext, id topics.ScheduleID, slot int64) (rows []Row, err error) {
	err = scan.Select(ctx, q, &rows, `SELECT * FROM slot_outcomes WHERE schedule = $1 AND slot = $2`, id, slot)
	return rows, err
}

// A Page chooses slots of a schedule that have an outcome: those after a moment, the
// oldest first, or those before one, the newest first; the newest without both.
type Page struct {
	After, Before int64 // Unix milliseconds; 0 is none
	Limit         int   // slots, with all their groups
}

// List returns a page of a schedule's slots.
func List(ctx context.Context, q sqlx.QueryerContext, id topics.ScheduleID, p Page) (rows []Named, err error) {
	order, from := `DESC`, `slot < $2`
	bound := p.Before
	switch {
	case p.After > 0:
		order, from, bound = `ASC`, `slot > $2`, p.After
	case p.Before <= 0:
		bound = 1 << 62
	}
	rows = []Named{}
	err = scan.Select(ctx, q, &rows, `SELECT o.*, coalesce(g.name, o.source_group) AS group_name
		FROM slot_outcomes o LEFT JOIN source_groups g ON g.id = o.source_group
		WHERE o.schedule = $1 AND o.outcome <> '' AND o.slot IN (SELECT DISTINCT slot FROM slot_outcomes
			WHERE schedule = $1 AND outcome <> '' AND `+from+` ORDER BY slot `+order+` LIMIT $3)
		ORDER BY o.slot `+order+`, group_name, o.source_group`, id, bound, p.Limit)
	return rows, err
}

// Undo forgets what was said of slots after a moment, and that nobody can know yet: a
// clock was far ahead. What jobs serve stays.
func Undo(ctx context.Context, x sqlx.ExecerContext, id topics.ScheduleID, after int64) error {
	_, err := x.ExecContext(ctx, `DELETE FROM slot_outcomes WHERE schedule = $1 AND slot > $2 AND job = ''`, id, after)
	return err
}

// A Mark is up to which slot a schedule has been looked through.
type Mark struct {
	Schedule topics.ScheduleID `db:"schedule"`
	Judged   int64             `db:"judged"`
}

// Marks lists the marks of all schedules.
func Marks(ctx context.Context, q sqlx.QueryerContext) (rows []Mark, err error) {
	err = scan.Select(ctx, q, &rows, `SELECT schedule, judged FROM slot_marks`)
	return rows, err
}

// PutMark stores a schedule's mark.
func PutMark(ctx context.Context, x sqlx.ExtContext, m Mark) error {
	_, err := sqlx.NamedExecContext(ctx, x, `INSERT INTO slot_marks (schedule, judged) VALUES (:schedule, :judged)
		ON CONFLICT (schedule) DO UPDATE SET judged = excluded.judged`, m)
	return err
}

// Sweep removes rows that are too old or too many, a few at a time, and returns how
// many. Of each day that is beyond the number but not beyond the age, the last missed
// slot stays, so that charts of days remain true.
func Sweep(ctx context.Context, x sqlx.ExtContext, l Limits, now int64) (int64, error) {
	n := int64(0)
	for _, s := range []struct {
		query string
		args  []any
	}{
		{`DELETE FROM slot_outcomes WHERE (schedule, slot, source_group) IN (SELECT schedule, slot, source_group FROM slot_outcomes
			WHERE at < $1 AND slot < $1 LIMIT $2)`, []any{now - l.Age, l.Step}},
		{`DELETE FROM slot_marks WHERE schedule NOT IN (SELECT id FROM schedules)`, nil},
	} {
		done, err := x.ExecContext(ctx, s.query, s.args...)
		if err != nil {
			return n, err
		}
		removed, err := done.RowsAffected()
		if n += removed; err != nil {
			return n, err
		}
	}
	return n, nil
}

// Thin removes the rows of one schedule beyond the number that is kept of each group,
// a few at a time, and returns how many.
func Thin(ctx context.Context, x sqlx.ExtContext, id topics.ScheduleID, l Limits) (int64, error) {
	var groups []topics.SourceGroupID
	if err := scan.Select(ctx, x, &groups, `SELECT DISTINCT source_group FROM slot_outcomes WHERE schedule = $1`, id); err != nil {
		return 0, err
	}
	n := int64(0)
	for _, g := range groups {
		done, err := x.ExecContext(ctx, `DELETE FROM slot_outcomes WHERE (schedule, slot, source_group) IN (
			SELECT o.schedule, o.slot, o.source_group FROM slot_outcomes o
			WHERE o.schedule = $1 AND o.source_group = $2 AND o.slot < (SELECT slot FROM slot_outcomes WHERE schedule = $1 AND source_group = $2
				ORDER BY slot DESC LIMIT 1 OFFSET $3)
			AND NOT (o.`+missed+` AND o.slot = (SELECT max(d.slot) FROM slot_outcomes d WHERE d.schedule = $1 AND d.source_group = $2
				AND d.slot / 86400000 = o.slot / 86400000 AND d.`+missed+`))
			LIMIT $4)`, id, g, l.Each-1, l.Step)
		if err != nil {
			return n, err
		}
		removed, err := done.RowsAffected()
		if n += removed; err != nil {
			return n, err
		}
	}
	return n, nil
}

// A Day is what charts of days show: a backup that ended, or a slot that nothing was
// begun for.
type Day struct {
	Host    topics.HostID   `db:"host"`
	At      int64           `db:"at"`      // when it ended, or was planned
	State   topics.JobState `db:"state"`   // of a backup, else ""
	Outcome Outcome         `db:"outcome"` // of a slot, else ""
}

// Days lists the backups of some hosts that ended since a moment, and their slots
// since then that nothing was begun for, in no order.
func Days(ctx context.Context, q sqlx.QueryerContext, hosts []topics.HostID, since int64) ([]Day, error) {
	rows := []Day{}
	if len(hosts) == 0 {
		return rows, nil
	}
	query, args, err := sqlx.In(`SELECT host, finished_at AS at, state, '' AS outcome FROM jobs
			WHERE host IN (?) AND finished_at >= ? AND finished_at > 0 AND kind = 'backup'
		UNION ALL SELECT host, slot, '', outcome FROM slot_outcomes WHERE host IN (?) AND slot >= ? AND job = '' AND outcome <> ''`,
		hosts, since, hosts, since)
	if err == nil {
		err = scan.Select(ctx, q, &rows, sqlx.Rebind(sqlx.DOLLAR, query), args...)
	}
	return rows, err
}
