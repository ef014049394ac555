package looks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// Facts is everything that the rows of the database say of how a repository is.
type Facts struct {
	Repository topics.RepositoryID `db:"id"`
	Name       string              `db:"name"`
	Location   string              `db:"location"`
	Keeper     topics.HostID       `db:"keeper"`
	AddedAt    int64               `db:"created_at"` // when it was registered
	ReadyAt    int64               `db:"ready_at"`   // when a job first found or initialised it; 0 is never
	CheckedAt  int64               `db:"checked_at"`
	LocksAt    int64               `db:"locks_at"`

	// When its keeper checks it, unless Usual.
	CheckUsual  bool `db:"check_usual"`  // nobody set another time than the default
	CheckPaused bool `db:"check_paused"` // by a person
	CheckDaily  bool `db:"check_daily"`  // else once a week

	ForeignSnapshots int   `db:"foreign_snapshots"` // that no job of ours made and nobody acknowledged
	ForeignSince     int64 `db:"foreign_since"`     // when the first of the foreign keys was seen; 0 if there is none
	ForeignKeys      int   `db:"foreign_keys"`      // that nobody trusts and our password does not open
	Lost             int   `db:"lost"`              // snapshots of ours that somebody else removed, and nobody acknowledged
	LostAt           int64 `db:"lost_at"`           // when the first of them was found missing

	Locks  []Lock        `db:"-"` // that the last listing found
	Good   map[Kind]Look `db:"-"` // of each kind, the newest that went well, of any host
	Bad    []Look        `db:"-"` // those whose last look failed, the first trouble first
	Damage *Damage       `db:"-"`
	Unread []string      `db:"-"` // which of its secrets, as columns, the control plane cannot read
	Plans  []Plan        `db:"-"` // of the enabled schedules that back up into it

	// Names has the names of the hosts that the looks and the damage are by.
	Names map[topics.HostID]string `db:"-"`
}

// A Lock is one that the last listing found.
type Lock struct {
	Repository topics.RepositoryID `db:"repository"`
	Time       int64               `db:"time"` // by the clock of its host, when it was made or renewed
	Exclusive  bool                `db:"exclusive"`
	Alive      bool                `db:"alive"` // its own host saw its process, or a job of ours there is at work in the repository
	Dead       bool                `db:"dead"`  // its own host saw that its process is gone
	Hostname   string              `db:"hostname"`
}

// A Plan is when a schedule runs.
type Plan struct {
	Repository topics.RepositoryID `db:"repository"`
	Cron       string              `db:"cron"`
	Zone       string              `db:"zone"`
}

// Of reads the facts of some repositories, or of all in care if none is named, in no
// order.
func Of(ctx context.Context, q sqlx.QueryerContext, ids ...topics.RepositoryID) ([]Facts, error) {
	r := reading{ctx: ctx, q: q, ids: ids}
	facts := read[Facts](&r, `SELECT r.id, r.name, r.location, r.keeper, r.created_at, r.ready_at, r.checked_at, r.locks_at,
			d.kind IS NULL AS check_usual, coalesce(d.paused, 0) AS check_paused, coalesce(d.weekday < 0, 0) AS check_daily,
			(SELECT count(*) FROM snapshots s WHERE s.repository = r.id AND s.gone_at = 0 AND s.job = '' AND s.known_at = 0)
				AS foreign_snapshots,
			(SELECT count(*) FROM repository_keys k WHERE k.repository = r.id AND k.trusted = 0 AND k.opened = 0) AS foreign_keys,
			coalesce((SELECT min(first_seen) FROM repository_keys k WHERE k.repository = r.id AND k.trusted = 0 AND k.opened = 0), 0)
				AS foreign_since,
			0 AS lost, 0 AS lost_at
		FROM repositories r LEFT JOIN maintenance_duties d ON d.repository = r.id AND d.kind = 'check'
		WHERE r.removed_at = 0`, `r.id`, "")
	at := make(map[topics.RepositoryID]*Facts, len(facts))
	for i := range facts {
		facts[i].Good, facts[i].Names = map[Kind]Look{}, map[topics.HostID]string{}
		at[facts[i].Repository] = &facts[i]
	}
	if missing, err := snapshots.MissingOf(ctx, q, slices.Collect(maps.Keys(at))); err != nil {
		r.err = errors.Join(r.err, fmt.Errorf("lost snapshots: %w", err))
	} else {
		for id, n := range missing {
			at[id].Lost, at[id].LostAt = n.Unacknowledged, n.Since
		}
	}
	for _, l := range read[Look](&r, `SELECT repository, host, kind, max(good_at) AS good_at, 0 AS bad_since, 0 AS bad_at, '' AS bad_cause,
		'' AS bad_job FROM repository_looks WHERE good_at > 0`, `repository`, `GROUP BY repository, kind`) {
		if f := at[l.Repository]; f != nil {
			f.Good[l.Kind] = l
			f.Names[l.Host] = ""
		}
	}
	// What a host found that was revoked, removed or retired, it will never find mended.
	for _, l := range read[Look](&r, `SELECT l.*, l.good_at = 0
			AND NOT EXISTS (SELECT 1 FROM places p WHERE p.repository = l.repository AND p.host IN ('', l.host) AND p.ready_at > 0) AS never_there
		FROM repository_looks l JOIN hosts h ON h.id = l.host
			AND h.revoked_at + h.removed_at + h.retired_at = 0
		WHERE l.bad_since > 0`, `l.repository`, `ORDER BY l.bad_since, l.host, l.kind`) {
		if f := at[l.Repository]; f != nil {
			f.Bad = append(f.Bad, l)
			f.Names[l.Host] = ""
		}
	}
	for _, d := range read[Damage](&r, `SELECT * FROM repository_damage WHERE true`, `repository`, `ORDER BY since, place`) {
		if f := at[d.Repository]; f != nil && f.Damage == nil { // the first trouble first
			f.Damage = &d
			f.Names[d.Host] = ""
		}
	}
	for _, l := range read[Lock](&r, `SELECT repository, time, exclusive, hostname, coalesce(alive, 1) = 0 AS dead,
		coalesce(alive, 0) <> 0 OR EXISTS (SELECT 1 FROM jobs j JOIN hosts h ON h.id = j.host AND h.removed_at = 0
			WHERE j.finished_at = 0 AND j.state <> 'queued'
			AND repository_locks.repository IN (j.repository, j.other) AND j.kind NOT IN ('locks', 'unlock')
			AND lower(h.hostname) = lower(repository_locks.hostname)) AS alive
		FROM repository_locks WHERE true`, `repository`, `ORDER BY time, id`) {
		if f := at[l.Repository]; f != nil {
			f.Locks = append(f.Locks, l)
		}
	}
	for _, p := range read[Plan](&r, `SELECT DISTINCT g.repository, s.cron, s.zone FROM schedules s
		JOIN schedule_groups sg ON sg.schedule = s.id JOIN source_groups g ON g.id = sg.source_group
		WHERE s.enabled <> 0`, `g.repository`, ``) {
		if f := at[p.Repository]; f != nil {
			f.Plans = append(f.Plans, p)
		}
	}
	type named struct {
		ID   topics.HostID `db:"id"`
		Name string        `db:"name"`
	}
	who := map[topics.HostID]string{}
	for _, f := range facts {
		maps.Copy(who, f.Names)
	}
	query, args, err := sqlx.In(`SELECT id, name FROM host_names WHERE id IN (?)`, append(slices.Collect(maps.Keys(who)), ""))
	if r.err != nil || err != nil {
		return facts, errors.Join(r.err, err)
	}
	var names []named
	if err := scan.Select(ctx, q, &names, sqlx.Rebind(sqlx.DOLLAR, query), args...); err != nil {
		return facts, fmt.Errorf("names of hosts: %w", err)
	}
	for _, h := range names {
		who[h.ID] = h.Name
	}
	for _, f := range facts {
		for id := range f.Names {
			f.Names[id] = who[id]
		}
	}
	return facts, nil
}

// Grave reads the facts of those of some repositories, or of all for nil, of which a
// host found that nothing in them, or not all, can be restored: damaged, gone or shut.
// Mostly there is none, and nothing else is read.
func Grave(ctx context.Context, q sqlx.QueryerContext, of []topics.RepositoryID) ([]Facts, error) {
	r := reading{ctx: ctx, q: q, ids: of}
	if of != nil && len(of) == 0 {
		return nil, nil
	}
	type row struct {
		Repository topics.RepositoryID `db:"repository"`
	}
	rows := append(read[row](&r, `SELECT repository FROM repository_damage WHERE true`, `repository`, ``),
		read[row](&r, `SELECT DISTINCT repository FROM repository_looks WHERE kind = 'open' AND bad_since > 0
			AND bad_cause IN ('wrong-password', 'repository-missing')`, `repository`, ``)...)
	if r.err != nil || len(rows) == 0 {
		return nil, r.err
	}
	ids := map[topics.RepositoryID]bool{}
	for _, n := range rows {
		ids[n.Repository] = true
	}
	return Of(ctx, q, slices.Collect(maps.Keys(ids))...)
}

// A reading is a row of queries about the same repositories.
type reading struct {
	ctx context.Context
	q   sqlx.QueryerContext
	ids []topics.RepositoryID
	err error
}

// read runs a query that is narrowed to the repositories by a column.
func read[T any](r *reading, query, column, tail string) []T {
	rows := []T{}
	if r.err != nil {
		return rows
	}
	var args []any
	if column != "" && len(r.ids) > 0 {
		if query, args, r.err = sqlx.In(query+` AND `+column+` IN (?)`, r.ids); r.err != nil {
			return rows
		}
	}
	if r.err = scan.Select(r.ctx, r.q, &rows, sqlx.Rebind(sqlx.DOLLAR, query+" "+tail), args...); r.err != nil {
		r.err = fmt.Errorf("facts of repositories: %w", r.err)
	}
	return rows
}
