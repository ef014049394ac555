// Package intake keeps what bounds that which a host may say: the plans that its
// schedules have and had, what was stored of it within an hour, and how much of what
// it said was set aside. Its functions are steps of a transaction.
package intake

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/topics"
)

// Tx is a transaction.
type Tx interface {
	sqlx.QueryerContext
	sqlx.ExecerContext
}

// A plan is what a schedule has or had.
type plan struct {
	Host      topics.HostID `db:"host"`
	Cron      string        `db:"cron"`
	Zone      string        `db:"zone"`
	CreatedAt int64         `db:"created_at"`
	UntilAt   int64         `db:"until_at"` // when it was replaced
	policy    *slots.Policy // nil: not known, and any minute may be a slot, see loose
}

// Plans remembers the plans that were read in one transaction.
type Plans map[topics.ScheduleID][]plan

// manyPlans is how many plans of one schedule are looked at, the latest first.
const manyPlans = 100

// of reads the plans of a schedule.
func (p Plans) of(ctx context.Context, q sqlx.QueryerContext, id topics.ScheduleID) ([]plan, error) {
	if list, read := p[id]; read {
		return list, nil
	}
	var list []plan
	if err := sqlx.SelectContext(ctx, q, &list, `SELECT host, cron, zone, created_at, until_at FROM (
			SELECT host, cron, zone, created_at, 9223372036854775807 AS until_at FROM schedules WHERE id = $1
			UNION ALL SELECT host, cron, zone, created_at, until_at FROM former_plans WHERE schedule = $1)
		ORDER BY until_at DESC LIMIT $2`, id, manyPlans); err != nil {
		return nil, fmt.Errorf("plans of schedule %s: %w", id, err)
	}
	for i := range list {
		if list[i].Cron == "" {
			continue
		}
		policy, err := slots.Parse(list[i].Cron, list[i].Zone, 0, "")
		if err == nil { // else an earlier version could read it
			list[i].policy = &policy
		}
	}
	if len(p) > 1000 {
		clear(p)
	}
	p[id] = list
	return list, nil
}

// shifts are by how much a host's rules of summer time may differ from ours.
var shifts = []time.Duration{0, time.Hour, -time.Hour, 30 * time.Minute, -30 * time.Minute, 2 * time.Hour, -2 * time.Hour}

// latest is the last moment that is looked at: the end of the year 9999.
const latest = 253402300799000

func (p plan) has(slot int64) bool {
	if p.policy == nil {
		return slot%time.Minute.Milliseconds() == 0
	}
	return slices.ContainsFunc(shifts, func(by time.Duration) bool {
		at := time.UnixMilli(slot).Add(by)
		return slots.Next(*p.policy, at.Add(-time.Millisecond)).Equal(at)
	})
}

// What a host may say of a plan that is not known any more. It was replaced before this
// version was installed, and only a host that was away then can go by it.
const (
	looseJobs = 288                  // jobs of a source group within a day of slots: every five minutes
	looseAway = 100 * 24 * time.Hour // how far from when it was replaced its slots may lie; others are far
)

// loose is Fits for a slot that only plans have which are not known any more.
func loose(ctx context.Context, q sqlx.QueryerContext, plans []plan, slot topics.Slot, group topics.SourceGroupID) (protocol.Fit, error) {
	day := (24 * time.Hour).Milliseconds()
	from := slot.At / day * day
	var n int
	if err := sqlx.GetContext(ctx, q, &n, `SELECT count(*) FROM jobs WHERE schedule = $1 AND schedule <> '' AND source_group = $2
		AND slot >= $3 AND slot < $4 AND fired = 1`, slot.Schedule, group, from, from+day); err != nil {
		return protocol.Fit{}, fmt.Errorf("jobs of schedule %s on a day: %w", slot.Schedule, err)
	}
	if n >= looseJobs {
		return protocol.Fit{Why: protocol.AsideSlot}, nil
	}
	near := slices.ContainsFunc(plans, func(l plan) bool {
		return l.policy == nil && max(slot.At-l.UntilAt, l.UntilAt-slot.At) <= looseAway.Milliseconds()
	})
	return protocol.Fit{Far: !near}, nil
}

// Fits says whether a host may have begun a slot of a source group at a moment.
func (p Plans) Fits(ctx context.Context, q sqlx.QueryerContext, host topics.HostID, slot topics.Slot, group topics.SourceGroupID,
	at int64) (protocol.Fit, error) {
	list, err := p.of(ctx, q, slot.Schedule)
	if err != nil {
		return protocol.Fit{}, err
	}
	own := slices.DeleteFunc(slices.Clone(list), func(l plan) bool { return l.Host != host && l.Host != "" })
	switch {
	case len(own) == 0:
		return protocol.Fit{Why: protocol.AsideSchedule}, nil
	case slot.At <= 0 || slot.At > latest || !slices.ContainsFunc(own, func(l plan) bool { return l.has(slot.At) }):
		return protocol.Fit{Why: protocol.AsideSlot}, nil
	}
	far := protocol.FarAhead.Milliseconds()
	if slot.At <= at+far && !slices.ContainsFunc(own, func(l plan) bool { return l.policy != nil && l.has(slot.At) }) {
		return loose(ctx, q, own, slot, group)
	}
	made := slices.MinFunc(own, func(a, b plan) int { return int(min(max(a.CreatedAt-b.CreatedAt, -1), 1)) }).CreatedAt
	return protocol.Fit{Far: slot.At > at+far || slot.At < made-far}, nil
}

// SameSlot counts the jobs that a host has begun by itself for a slot and a group.
func SameSlot(ctx context.Context, q sqlx.QueryerContext, slot topics.Slot, group topics.SourceGroupID) (n int, err error) {
	err = sqlx.GetContext(ctx, q, &n, `SELECT count(*) FROM jobs WHERE schedule = $1 AND schedule <> '' AND source_group = $2 AND slot = $3
		AND fired = 1`, slot.Schedule, group, slot.At)
	return n, err
}

// Queued counts the jobs that wait on a host.
func Queued(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) (n int, err error) {
	err = sqlx.GetContext(ctx, q, &n, `SELECT count(*) FROM jobs INDEXED BY jobs_open_of_host WHERE host = $1 AND fired = 0
		AND finished_at = 0 AND state = 'queued'`, host)
	return n, err
}

// HourOf reads what was stored of a host in the hour that something last was.
func HourOf(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) (h protocol.Hour, err error) {
	err = sqlx.GetContext(ctx, q, &h, `SELECT hour, bytes, far FROM host_hours WHERE host = $1`, host)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return h, err
}

// PutHour stores it.
func PutHour(ctx context.Context, tx Tx, host topics.HostID, h protocol.Hour) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO host_hours (host, hour, bytes, far) VALUES ($1, $2, $3, $4)
		ON CONFLICT (host) DO UPDATE SET hour = excluded.hour, bytes = excluded.bytes, far = excluded.far`, host, h.Hour, h.Bytes, h.Far)
	return err
}

// An Aside is how much of what a host said was set aside for one reason. Reasons of
// messages that were refused altogether are sentences.
type Aside struct {
	Reason  string `db:"reason"`
	N       uint64 `db:"n"`
	FirstAt int64  `db:"first_at"`
	LastAt  int64  `db:"last_at"`
}

// SetAside counts what a host said and what counts for nothing.
func SetAside(ctx context.Context, tx sqlx.ExecerContext, host topics.HostID, reason string, n uint64, now int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO host_asides (host, reason, n, first_at, last_at) VALUES ($1, $2, $3, $4, $4)
		ON CONFLICT (host, reason) DO UPDATE SET n = n + excluded.n, last_at = excluded.last_at`, host, reason, n, now)
	return err
}

// Asides lists what of a host was set aside, the latest first.
func Asides(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) ([]Aside, error) {
	rows := []Aside{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT reason, n, first_at, last_at FROM host_asides WHERE host = $1
		ORDER BY last_at DESC, reason`, host)
}

// Refused returns what was refused of hosts altogether since a moment: of each the last
// reason, with how often it was in all.
func Refused(ctx context.Context, q sqlx.QueryerContext, since int64) (map[topics.HostID]Aside, error) {
	var rows []struct {
		Host topics.HostID `db:"host"`
		Aside
	}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT host, reason, n, first_at, last_at FROM host_asides
		WHERE last_at >= $1 AND reason LIKE '% %' ORDER BY last_at`, since); err != nil { // the others are words of ours
		return nil, fmt.Errorf("what was refused of hosts: %w", err)
	}
	last := map[topics.HostID]Aside{}
	for _, r := range rows {
		last[r.Host] = r.Aside
	}
	return last, nil
}

// Sweep removes plans that were replaced before a moment, some at a time.
func Sweep(ctx context.Context, tx sqlx.ExecerContext, before int64, most int) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM former_plans WHERE rowid IN (SELECT rowid FROM former_plans WHERE until_at < $1 LIMIT $2)`,
		before, most)
	return err
}
