package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/promise"
	"github.com/restic-manager/restic-manager/topics"
)

// The columns that the fleet board keeps in memory. A change of any of them adds a
// row to host_changes, so a column that changes with every message of an agent must
// not be among them.
var (
	fleetHostColumns = []string{"name", "created_at", "revoked_at", "hostname", "os", "arch", "platform", "agent_version",
		"restic_version", "policy", "permits",
		"last_job", "last_state", "last_ended_at",
		"config_revision", "config_made_at", "config_applied", "config_applied_at", "config_error", "intermittent", "overdue_days",
		"removed_at", "retired_at", "jobs_at_once", "agent_jobs", "twins_since", "tags", "can", "certified_until",
		"pauses", "updates"}
	fleetJobColumns = []string{"kind", "source_group", "repository", "state", "requested_by",
		"queued_at", "started_at", "finished_at", "not_after",
		"held", "accepted", "cancel_asked", "cancelled_by", "schedule", "slot", "attempt", "fired"}
)

// mostChanged is how many changed hosts are read one by one; if more changed, all are
// read.
const mostChanged = 1000

// A FleetChange holds what lists show of some hosts, read at one moment.
type FleetChange struct {
	Mark    int64           // of this moment; pass it to FleetSince to read later changes
	All     bool            // Hosts holds every host
	Changed []topics.HostID // hosts that changed; those not in Hosts were removed
	Hosts   []Host          // with fleetHostColumns alone
	Open    []Job           // of these hosts, the oldest first, with fleetJobColumns alone
	Ended   []Outcome       // of these hosts

	promise.Promises // of these hosts
}

// FleetMark returns the current mark. It is cheap.
func (s *Store) FleetMark(ctx context.Context) (int64, error) {
	return get[int64](ctx, s.r, `SELECT coalesce(max(n), 0) FROM host_changes`)
}

// FleetSince reads every host that changed since a mark, in whichever process, or all
// hosts if the mark is negative. Of the ended jobs it reads those since a time.
func (s *Store) FleetSince(ctx context.Context, mark, ended int64) (c FleetChange, err error) {
	tx, err := s.r.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return c, fmt.Errorf("begin to read the fleet: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	if c.Mark, err = get[int64](ctx, tx, `SELECT coalesce(max(n), 0) FROM host_changes`); err != nil {
		return c, err
	}
	if c.All = mark < 0; !c.All {
		if c.Changed, err = all[topics.HostID](ctx, tx, `SELECT host FROM host_changes WHERE n > $1 ORDER BY n LIMIT $2`, mark,
			mostChanged+1); err != nil {
			return c, err
		}
		c.All = len(c.Changed) > mostChanged
	}
	hosts := `SELECT id, ` + strings.Join(fleetHostColumns, ", ") + ` FROM hosts WHERE removed_at = 0`
	open := `SELECT id, host, ` + strings.Join(fleetJobColumns, ", ") + ` FROM jobs WHERE finished_at = 0`
	outcomes := `SELECT host, state, finished_at, summary FROM jobs WHERE finished_at > 0 AND finished_at >= ?`
	if c.All {
		c.Changed = nil
		if c.Hosts, err = all[Host](ctx, tx, hosts); err == nil {
			c.Open, err = all[Job](ctx, tx, open+` ORDER BY queued_at, id`)
		}
		if err == nil {
			c.Ended, err = all[Outcome](ctx, tx, sqlx.Rebind(sqlx.DOLLAR, outcomes), ended)
		}
		if err == nil {
			c.Promises, err = promise.Of(ctx, traced{tx}, nil)
		}
		return c, err
	}
	if c.Hosts, err = among[Host](ctx, tx, hosts+` AND id IN (?)`, c.Changed); err == nil {
		c.Open, err = among[Job](ctx, tx, open+` AND host IN (?) ORDER BY queued_at, id`, c.Changed)
	}
	if err == nil {
		c.Promises, err = promise.Of(ctx, traced{tx}, c.Changed)
	}
	if err == nil {
		c.Ended, err = among[Outcome](ctx, tx, `SELECT host, state, finished_at, summary FROM jobs WHERE host IN (?) AND finished_at > 0
			AND finished_at >= ?`, c.Changed, ended)
	}
	return c, err
}

func setOf[T comparable](list []T, err error) (map[T]bool, error) {
	set := make(map[T]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set, err
}
