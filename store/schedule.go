package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/changes"
	"github.com/restic-manager/restic-manager/store/pauses"
	"github.com/restic-manager/restic-manager/store/promise"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
)

// A ScheduleID identifies a schedule. It may not change, unlike the name.
type ScheduleID = topics.ScheduleID

// A Schedule is when some of a host's source groups are backed up. Package schedule
// interprets the cron line.
type Schedule struct {
	ID            ScheduleID    `db:"id"`
	Host          topics.HostID `db:"host"`
	Name          string        `db:"name"`
	Cron          string        `db:"cron"`
	Zone          string        `db:"zone"` // IANA's name of it
	JitterSeconds int           `db:"jitter_seconds"`
	Enabled       bool          `db:"enabled"`
	RetryMax      int           `db:"retry_max"` // how often a slot's pending run may become jobs
	CreatedAt     int64         `db:"created_at"`
	Since         int64         `db:"since"`        // slots up to this time do not count: when it was created, changed or enabled
	LastSlot      int64         `db:"last_slot"`    // the latest slot that fired; 0 is none
	PausedAt      int64         `db:"paused_at"`    // since when it is disabled; 0 while it is enabled
	PausedUntil   int64         `db:"paused_until"` // when the control plane enables it again by itself; 0 is never
	PausedFrom    int64         `db:"paused_from"`  // when the pause began that ended with Since; 0 if none did
	Owed          int64         `db:"owed"`         // the last slot that began before a change of plan that left no Earlier; 0 if none did

	Earlier JSON[[]promise.Earlier] `db:"earlier"` // what was promised before Since, the oldest first

	Groups []topics.SourceGroupID `db:"-"` // what it backs up, by name; only among those that exist
	Skips  []slots.Span           `db:"-"` // when its host was and is paused: slots that would begin then are left out
}

// PutSchedule adds a host's schedule, or changes the one with that name, and returns
// it. edit gets the current row, or a new one with only host and name, and must not
// use the store. After a change of plan, earlier slots do not count as missed. It
// returns ErrNotFound for a group that is not the host's.
func (s *Store) PutSchedule(
	ctx context.Context, actor string, host topics.HostID, name string, id ScheduleID, edit func(*Schedule) error,
) (Schedule, error) {
	var row Schedule
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		was, err := scheduleNamed(ctx, tx, host, name)
		known := err == nil
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if !known {
			was = Schedule{ID: id, Host: host, Name: name, CreatedAt: s.Now()}
		}
		row = was
		row.Groups = slices.Clone(was.Groups)
		if err := edit(&row); err != nil {
			return err
		}
		row.Replan(was, s.Now())
		if row.Enabled {
			if err := replacing.Refuses(ctx, tx, row.Groups); err != nil {
				return err
			}
		}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO schedules (id, host, name, cron, zone, jitter_seconds, enabled, retry_max,
			created_at, since, last_slot, paused_at, paused_until, paused_from, owed, earlier)
			VALUES (:id, :host, :name, :cron, :zone, :jitter_seconds, :enabled, :retry_max, :created_at, :since, :last_slot, :paused_at,
				:paused_until, :paused_from, :owed, :earlier)
			ON CONFLICT (id) DO UPDATE SET cron = excluded.cron, zone = excluded.zone, jitter_seconds = excluded.jitter_seconds,
				enabled = excluded.enabled, retry_max = excluded.retry_max, since = excluded.since,
				paused_at = excluded.paused_at, paused_until = excluded.paused_until,
				paused_from = excluded.paused_from, earlier = excluded.earlier`, row); err != nil {
			return fmt.Errorf("put schedule: %w", err)
		}
		if err := putScheduleGroups(ctx, tx, row, s.Now()); err != nil {
			return err
		}
		if row, err = scheduleNamed(ctx, tx, host, name); err != nil {
			return err
		}
		var l changes.List
		if known {
			l.Columns(was, row, "since", "last_slot", "paused_at", "paused_until", "paused_from", "owed", "earlier")
			l.Moment("paused_until", was.PausedUntil, row.PausedUntil)
			names := func(ids []topics.SourceGroupID) (list []string) {
				for _, id := range ids {
					list = append(list, nameIn(ctx, tx, "source_groups", string(id)))
				}
				return list
			}
			l.Names("source_groups", names(was.Groups), names(row.Groups))
		}
		return s.audit(ctx, tx, actor, "schedule.saved", string(row.ID), l.Of(name))
	})
	return row, err
}

// Replan sets Since to now if the plan changed or the schedule was enabled, so that
// earlier slots do not count as missed, and keeps what was promised until then. It also
// keeps since when it is paused.
func (sc *Schedule) Replan(was Schedule, now int64) {
	if sc.Cron != was.Cron || sc.Zone != was.Zone || sc.Enabled && !was.Enabled {
		sc.Since, sc.PausedFrom = now, was.PausedAt
		sc.Earlier = was.ended(now)
	}
	switch {
	case sc.Enabled:
		sc.PausedAt, sc.PausedUntil = 0, 0
	case was.Enabled || was.PausedAt == 0:
		sc.PausedAt = now
	}
}

// earlierPlans is how many earlier plans of a schedule are kept, pauses included.
const earlierPlans = 32

// ended is what a schedule has promised until a moment at which that becomes another.
func (sc Schedule) ended(now int64) JSON[[]promise.Earlier] {
	if sc.Cron == "" {
		return JSON[[]promise.Earlier]{} // it is new
	}
	var all []promise.Earlier
	if sc.Earlier.V != nil {
		all = slices.Clone(*sc.Earlier.V)
	}
	plan := promise.Earlier{Cron: sc.Cron, Zone: sc.Zone, JitterSeconds: sc.JitterSeconds, Since: sc.Since, Until: now}
	if sc.PausedAt > 0 {
		plan.Until = sc.PausedAt
	}
	all = append(all, plan)
	if sc.PausedAt > 0 {
		plan.Since, plan.Until, plan.Paused = sc.PausedAt, now, true
		all = append(all, plan)
	}
	all = slices.DeleteFunc(all, func(e promise.Earlier) bool { return e.Until <= e.Since })
	all = all[max(0, len(all)-earlierPlans):]
	return JSON[[]promise.Earlier]{V: &all}
}

// putScheduleGroups keeps the state of groups that stay. A group that joins owes
// nothing for earlier slots.
func putScheduleGroups(ctx context.Context, tx *sqlx.Tx, row Schedule, now int64) error {
	had, err := all[topics.SourceGroupID](ctx, tx, `SELECT source_group FROM schedule_groups WHERE schedule = $1`, row.ID)
	if err != nil {
		return err
	}
	for _, g := range had {
		if !slices.Contains(row.Groups, g) {
			if err := change(ctx, tx, `DELETE FROM schedule_groups WHERE schedule = $1 AND source_group = $2`, row.ID, g); err != nil {
				return err
			}
		}
	}
	for _, g := range row.Groups {
		if _, err := get[string](ctx, tx, `SELECT id FROM source_groups WHERE id = $1 AND host = $2`, g, row.Host); err != nil {
			return fmt.Errorf("source group %s of host %s: %w", g, row.Host, err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO schedule_groups (schedule, source_group, settled, fired, joined_at)
			VALUES ($1, $2, $3, $3, $4) ON CONFLICT (schedule, source_group) DO NOTHING`, row.ID, g, row.LastSlot, now); err != nil {
			return err
		}
	}
	return nil
}

// DeleteSchedule removes a host's schedule, or returns ErrNotFound. Its jobs go on;
// its pending run is removed when it is next read.
func (s *Store) DeleteSchedule(ctx context.Context, actor string, host topics.HostID, name string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		row, err := scheduleNamed(ctx, tx, host, name)
		if err != nil {
			return err
		}
		for _, statement := range []string{`DELETE FROM schedule_groups WHERE schedule = $1`, `DELETE FROM schedules WHERE id = $1`} {
			if _, err := tx.ExecContext(ctx, statement, row.ID); err != nil {
				return fmt.Errorf("delete schedule: %w", err)
			}
		}
		return s.audit(ctx, tx, actor, "schedule.deleted", string(row.ID), name)
	})
}

// Schedules lists a host's schedules, by name; of all hosts with "".
func (s *Store) Schedules(ctx context.Context, host topics.HostID) ([]Schedule, error) {
	rows, err := all[Schedule](ctx, s.r, `SELECT * FROM schedules WHERE `+one("host", host)+` ORDER BY name, id`, host)
	if err != nil {
		return nil, err
	}
	type member struct {
		Schedule ScheduleID           `db:"schedule"`
		Group    topics.SourceGroupID `db:"source_group"`
	}
	members, err := all[member](ctx, s.r, `SELECT m.schedule, m.source_group FROM schedule_groups m
		JOIN source_groups g ON g.id = m.source_group
		WHERE `+one("g.host", host)+` ORDER BY g.name, g.id`, host)
	groups := map[ScheduleID][]topics.SourceGroupID{}
	for _, m := range members {
		groups[m.Schedule] = append(groups[m.Schedule], m.Group)
	}
	for i := range rows {
		rows[i].Groups = groups[rows[i].ID]
	}
	return rows, errors.Join(err, skips(ctx, s.r, rows, host))
}

// skips fills in when the hosts of some schedules were and are paused; host is whose they
// all are, "" for any.
func skips(ctx context.Context, q sqlx.QueryerContext, rows []Schedule, host topics.HostID) error {
	if len(rows) == 0 {
		return nil
	}
	type paused struct {
		ID     topics.HostID     `db:"id"`
		Pauses JSON[pauses.List] `db:"pauses"`
	}
	list, err := all[paused](ctx, q, `SELECT id, pauses FROM hosts WHERE pauses <> '' AND removed_at = 0 AND `+one("id", host), host)
	if err != nil || len(list) == 0 {
		return err
	}
	of := map[topics.HostID][]slots.Span{}
	for _, h := range list {
		of[h.ID] = h.Pauses.V.Spans()
	}
	for i := range rows {
		rows[i].Skips = of[rows[i].Host]
	}
	return nil
}

// ScheduleNamed returns one of a host's schedules, or ErrNotFound.
func (s *Store) ScheduleNamed(ctx context.Context, host topics.HostID, name string) (Schedule, error) {
	return scheduleNamed(ctx, s.r, host, name)
}

func scheduleNamed(ctx context.Context, q sqlx.QueryerContext, host topics.HostID, name string) (Schedule, error) {
	row, err := get[Schedule](ctx, q, `SELECT * FROM schedules WHERE host = $1 AND name = $2`, host, name)
	if err != nil {
		return row, err
	}
	row.Groups, err = all[topics.SourceGroupID](ctx, q, `SELECT g.id FROM schedule_groups m JOIN source_groups g ON g.id = m.source_group
		WHERE m.schedule = $1 ORDER BY g.name, g.id`, row.ID)
	return withSkips(ctx, q, row, err)
}

// withSkips is a row with its skips, if it could be read.
func withSkips(ctx context.Context, q sqlx.QueryerContext, row Schedule, err error) (Schedule, error) {
	if err != nil {
		return row, err
	}
	rows := []Schedule{row}
	err = skips(ctx, q, rows, row.Host)
	return rows[0], err
}
