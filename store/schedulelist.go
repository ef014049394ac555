package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/topics"
)

// A ScheduleChange is what lists of schedules go by, for some hosts, as the
// database had it at one moment.
type ScheduleChange struct {
	Mark      int64                    // of this moment: ask with it for what changes later
	All       bool                     // these are all hosts there are
	Changed   []topics.HostID          // those of which something changed
	Names     map[topics.HostID]string // what these hosts are called; one that is missing is gone
	Schedules []Schedule               // of these hosts, with their groups
	Groups    []SourceGroup            // of these hosts, by name, with ID, Host, Name and Repository alone
}

// ScheduleMark is the mark of the database now. It costs next to nothing.
func (s *Store) ScheduleMark(ctx context.Context) (int64, error) {
	return get[int64](ctx, s.r, `SELECT coalesce(max(n), 0) FROM schedule_changes`)
}

// SchedulesSince reads the schedules and source groups of every host of which any
// changed since a mark, whichever process changed it; of all hosts with a mark
// below zero.
func (s *Store) SchedulesSince(ctx context.Context, mark int64) (c ScheduleChange, err error) {
	tx, err := s.r.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return c, fmt.Errorf("begin to read schedules: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	if c.Mark, err = get[int64](ctx, tx, `SELECT coalesce(max(n), 0) FROM schedule_changes`); err != nil {
		return c, err
	}
	if c.All = mark < 0; !c.All {
		if c.Changed, err = all[topics.HostID](ctx, tx, `SELECT host FROM schedule_changes WHERE n > $1 ORDER BY n LIMIT $2`, mark,
			mostChanged+1); err != nil {
			return c, err
		}
		c.All = len(c.Changed) > mostChanged
	}
	type host struct {
		ID   topics.HostID `db:"id"`
		Name string        `db:"name"`
	}
	type member struct {
		Schedule ScheduleID           `db:"schedule"`
		Group    topics.SourceGroupID `db:"source_group"`
	}
	const (
		hosts     = `SELECT id, name FROM hosts WHERE removed_at = 0`
		schedules = `SELECT * FROM schedules`
		groups    = `SELECT id, host, name, repository FROM source_groups`
		members   = `SELECT m.schedule, m.source_group FROM source_groups g JOIN schedule_groups m ON m.source_group = g.id`
	)
	var names []host
	var list []member
	if c.All {
		c.Changed = nil
		if names, err = all[host](ctx, tx, hosts); err == nil {
			c.Schedules, err = all[Schedule](ctx, tx, schedules+` ORDER BY name, id`)
		}
		if err == nil {
			c.Groups, err = all[SourceGroup](ctx, tx, groups+` ORDER BY name, id`)
		}
		if err == nil {
			list, err = all[member](ctx, tx, members+` ORDER BY g.name, g.id`)
		}
	} else {
		if names, err = among[host](ctx, tx, hosts+` AND id IN (?)`, c.Changed); err == nil {
			c.Schedules, err = among[Schedule](ctx, tx, schedules+` WHERE host IN (?) ORDER BY name, id`, c.Changed)
		}
		if err == nil {
			c.Groups, err = among[SourceGroup](ctx, tx, groups+` WHERE host IN (?) ORDER BY name, id`, c.Changed)
		}
		if err == nil {
			list, err = among[member](ctx, tx, members+` WHERE g.host IN (?) ORDER BY g.name, g.id`, c.Changed)
		}
	}
	c.Names = make(map[topics.HostID]string, len(names))
	for _, h := range names {
		c.Names[h.ID] = h.Name
	}
	of := map[ScheduleID][]topics.SourceGroupID{}
	for _, m := range list {
		of[m.Schedule] = append(of[m.Schedule], m.Group)
	}
	for i := range c.Schedules {
		c.Schedules[i].Groups = of[c.Schedules[i].ID]
	}
	one := topics.HostID("")
	if len(c.Changed) == 1 {
		one = c.Changed[0]
	}
	return c, errors.Join(err, skips(ctx, tx, c.Schedules, one))
}

// PendingRunsOf lists the pending runs of some schedules, the next first.
func (s *Store) PendingRunsOf(ctx context.Context, ids []ScheduleID) ([]PendingRun, error) {
	return among[PendingRun](ctx, s.r, `SELECT * FROM pending_runs WHERE schedule IN (?) ORDER BY next_attempt_at, schedule`, ids)
}

// HostsByID reads some hosts, in no order.
func (s *Store) HostsByID(ctx context.Context, ids []topics.HostID) ([]Host, error) {
	return among[Host](ctx, s.r, `SELECT * FROM hosts WHERE id IN (?) AND removed_at = 0`, ids)
}

// SourceGroupsByID reads some source groups, by name.
func (s *Store) SourceGroupsByID(ctx context.Context, ids []topics.SourceGroupID) ([]SourceGroup, error) {
	return among[SourceGroup](ctx, s.r, `SELECT * FROM source_groups WHERE id IN (?) ORDER BY name, id`, ids)
}
