package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// A PendingRun is a slot that a schedule still has to run: its host was offline, or
// its backup failed and will be retried. It becomes jobs when the host is back or the
// retry is due. A schedule has at most one, for its latest slot.
type PendingRun struct {
	Schedule      ScheduleID    `db:"schedule"`
	Host          topics.HostID `db:"host"`
	Slot          int64         `db:"slot"`
	Attempt       int           `db:"attempt"` // how many times it became jobs
	NextAttemptAt int64         `db:"next_attempt_at"`
	Reason        string        `db:"reason"` // "host", or the cause of the failure
	CreatedAt     int64         `db:"created_at"`
}

// PendingRuns lists a host's pending runs, next one first; of all hosts if the ID is
// empty.
func (s *Store) PendingRuns(ctx context.Context, host topics.HostID) ([]PendingRun, error) {
	return pendingRuns(ctx, s.r, host)
}

func pendingRuns(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) ([]PendingRun, error) {
	return all[PendingRun](ctx, q, `SELECT * FROM pending_runs WHERE `+one("host", host)+` ORDER BY next_attempt_at, schedule`, host)
}

// A SlotGroup is one source group of a schedule and the state of its latest slot: a
// job works on it, it is settled, or it is still owed.
type SlotGroup struct {
	Schedule   ScheduleID           `db:"schedule"`
	Group      topics.SourceGroupID `db:"source_group"`
	Repository topics.RepositoryID  `db:"repository"`
	Fired      int64                `db:"fired"`     // the latest slot that began
	Settled    int64                `db:"settled"`   // slots up to this one succeeded or were given up
	Job        topics.JobID         `db:"job"`       // the job that works on the slot, "" for none
	JoinedAt   int64                `db:"joined_at"` // when the group joined the schedule: earlier slots are not its own
}

// Slots is a transaction on what schedules owe. It stores facts; package schedule
// decides what they mean.
type Slots struct {
	ctx context.Context
	s   *Store
	tx  *sqlx.Tx
}

// SlotStep runs steps in one transaction and commits it.
func (s *Store) SlotStep(ctx context.Context, step func(Slots) error) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return step(Slots{ctx, s, tx}) })
}

// Tx returns the transaction, for the functions of package slotlog.
func (t Slots) Tx() (context.Context, sqlx.ExtContext) { return t.ctx, t.tx }

// OnFired sets the function that is called with each job that a host began on its own
// schedule, in the transaction that adds it. Call it once, before agents connect.
func (s *Store) OnFired(f func(Slots, Job) error) { s.fired = f }

// OnEnded sets the function that is called with each job that ends, in the same
// transaction: its error undoes both. Call it once, before any job can end.
func (s *Store) OnEnded(f func(Slots, Job) error) { s.ended = f }

// Enabled lists the schedules that the control plane has to run, because the host's
// agent is too old to, without their groups.
func (t Slots) Enabled() ([]Schedule, error) {
	rows, err := all[Schedule](t.ctx, t.tx, `SELECT s.* FROM schedules s JOIN hosts h ON h.id = s.host
		WHERE s.enabled <> 0 AND h.config_applied < 0 AND h.removed_at = 0 AND h.retired_at = 0 ORDER BY s.id`)
	return rows, errors.Join(err, skips(t.ctx, t.tx, rows, ""))
}

// Resume enables the schedules whose pause ends by now, with an audit entry each, and
// returns them, without their groups.
func (t Slots) Resume(now int64) ([]Schedule, error) {
	rows, err := all[Schedule](t.ctx, t.tx, `SELECT * FROM schedules WHERE paused_until > 0 AND paused_until <= $1 AND enabled = 0`, now)
	for _, sc := range rows {
		if err == nil {
			err = change(t.ctx, t.tx, `UPDATE schedules SET enabled = 1, since = $1, paused_from = paused_at, paused_at = 0, paused_until = 0
				WHERE id = $2`, now, sc.ID)
		}
		if err == nil {
			err = t.s.audit(t.ctx, t.tx, "plane", "schedule.resumed", string(sc.ID), sc.Name+": its pause has ended")
		}
	}
	return rows, err
}

// Schedule returns a schedule, without its groups.
func (t Slots) Schedule(id ScheduleID) (Schedule, bool, error) {
	row, err := get[Schedule](t.ctx, t.tx, `SELECT * FROM schedules WHERE id = $1`, id)
	return ifThere(withSkips(t.ctx, t.tx, row, err))
}

func ifThere[T any](row T, err error) (T, bool, error) {
	if errors.Is(err, ErrNotFound) {
		return row, false, nil
	}
	return row, err == nil, err
}

const slotGroups = `SELECT m.schedule, m.source_group, g.repository, m.fired, m.settled, m.job, m.joined_at
	FROM schedule_groups m JOIN source_groups g ON g.id = m.source_group WHERE `

// Groups lists the existing groups of a schedule, by name.
func (t Slots) Groups(id ScheduleID) ([]SlotGroup, error) {
	return all[SlotGroup](t.ctx, t.tx, slotGroups+`m.schedule = $1 ORDER BY g.name, g.id`, id)
}

// Members lists a source group's entries in the schedules that name it.
func (t Slots) Members(id topics.SourceGroupID) ([]SlotGroup, error) {
	return all[SlotGroup](t.ctx, t.tx, slotGroups+`m.source_group = $1 ORDER BY m.schedule`, id)
}

// PutGroup stores the state of a group.
func (t Slots) PutGroup(g SlotGroup) error {
	return change(t.ctx, t.tx, `UPDATE schedule_groups SET fired = $1, settled = $2, job = $3 WHERE schedule = $4
		AND source_group = $5`, g.Fired, g.Settled, g.Job, g.Schedule, g.Group)
}

// Fired stores the latest slot of a schedule that fired.
func (t Slots) Fired(id ScheduleID, slot int64) error {
	return change(t.ctx, t.tx, `UPDATE schedules SET last_slot = $1 WHERE id = $2`, slot, id)
}

// Rewind starts a schedule anew at a time: earlier slots do not count, and nothing is
// owed.
func (t Slots) Rewind(id ScheduleID, since int64) error {
	if err := change(t.ctx, t.tx, `UPDATE schedules SET last_slot = 0, since = $1 WHERE id = $2`, since, id); err != nil {
		return err
	}
	if err := t.RemovePending(id); err != nil {
		return err
	}
	_, err := t.tx.ExecContext(t.ctx, `UPDATE schedule_groups SET fired = 0, settled = 0, job = '' WHERE schedule = $1`, id)
	return err
}

// Open returns the queued or running job of a source group.
func (t Slots) Open(id topics.SourceGroupID) (Job, bool, error) {
	return ifThere(openBackup(t.ctx, t.tx, id))
}

// Queue queues a job for a slot, with its audit entry. There is one job per attempt:
// if it exists, added is false.
func (t Slots) Queue(j Job) (added bool, err error) {
	_, made, err := ifThere(get[topics.JobID](t.ctx, t.tx, `SELECT id FROM jobs WHERE schedule = $1 AND source_group = $2 AND slot = $3
		AND attempt = $4`,
		j.Schedule, j.SourceGroup, j.Slot, j.Attempt))
	if err != nil || made {
		return false, err
	}
	j.State = topics.Queued
	return true, t.s.queue(t.ctx, t.tx, j)
}

// Pending returns a schedule's pending run.
func (t Slots) Pending(id ScheduleID) (PendingRun, bool, error) {
	return ifThere(get[PendingRun](t.ctx, t.tx, `SELECT * FROM pending_runs WHERE schedule = $1`, id))
}

// PendingRuns lists a host's pending runs, the next first. With "" it lists those of
// all hosts that do not only wait for their host, or that nobody needs any more.
func (t Slots) PendingRuns(host topics.HostID) ([]PendingRun, error) {
	if host != "" {
		return pendingRuns(t.ctx, t.tx, host)
	}
	return all[PendingRun](t.ctx, t.tx, `SELECT p.* FROM pending_runs p LEFT JOIN schedules s ON s.id = p.schedule
		WHERE p.next_attempt_at > 0 OR s.id IS NULL OR s.enabled = 0 ORDER BY p.next_attempt_at, p.schedule`)
}

// SlotMarks lists up to which slot each schedule has been looked through.
func (s *Store) SlotMarks(ctx context.Context) ([]slotlog.Mark, error) {
	return slotlog.Marks(ctx, s.r)
}

// HostDays lists what charts of days show of some hosts.
func (s *Store) HostDays(ctx context.Context, hosts []topics.HostID, since int64) ([]slotlog.Day, error) {
	return slotlog.Days(ctx, s.r, hosts, since)
}

// SlotHands lists what the hosts of some schedules have in hand.
func (s *Store) SlotHands(ctx context.Context, ids []ScheduleID) ([]slotlog.Hand, error) {
	return slotlog.Hands(ctx, s.r, ids)
}

// SlotPage lists what became of a schedule's slots.
func (s *Store) SlotPage(ctx context.Context, id ScheduleID, p slotlog.Page) ([]slotlog.Named, error) {
	return slotlog.List(ctx, s.r, id, p)
}

// PutPending adds a schedule's pending run, or replaces the one it has.
func (t Slots) PutPending(p PendingRun) error {
	if _, err := t.tx.NamedExecContext(t.ctx, `INSERT INTO pending_runs (schedule, host, slot, attempt, next_attempt_at, reason, created_at)
		VALUES (:schedule, :host, :slot, :attempt, :next_attempt_at, :reason, :created_at)
		ON CONFLICT (schedule) DO UPDATE SET slot = excluded.slot, attempt = excluded.attempt, next_attempt_at = excluded.next_attempt_at,
			reason = excluded.reason, created_at = excluded.created_at`, p); err != nil {
		return fmt.Errorf("pending run of schedule %s: %w", p.Schedule, err)
	}
	return nil
}

// RemovePending removes a schedule's pending run, if it has one.
func (t Slots) RemovePending(id ScheduleID) error {
	_, err := t.tx.ExecContext(t.ctx, `DELETE FROM pending_runs WHERE schedule = $1`, id)
	return err
}

// Audit adds an entry for an action of the control plane itself.
func (t Slots) Audit(action, target, detail string) error {
	return t.s.audit(t.ctx, t.tx, "plane", action, target, detail)
}
