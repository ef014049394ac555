// Package promise reads what source groups hold and what was promised to them: all
// that package protection judges by, of some hosts or of all, in a few statements.
package promise

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// A Group is a source group with what is known of it.
type Group struct {
	ID         topics.SourceGroupID `db:"id"`
	Host       topics.HostID        `db:"host"`
	Name       string               `db:"name"`
	Repository topics.RepositoryID  `db:"repository"`
	CreatedAt  int64                `db:"created_at"`
	AllowEmpty bool                 `db:"allow_empty"`

	Facts     facts.Group `db:"-"`
	Schedules []Schedule  `db:"-"` // that name it, by name

	ServedBy       topics.ScheduleID `db:"-"` // the schedule for which the newest snapshot was made that holds something
	ServedSlot     int64             `db:"-"` // its slot
	ReplacedAt     int64             `db:"-"` // since when its host's machine was replaced and it waits for a decision
	AcknowledgedAt int64             `db:"-"` // when an administrator last acknowledged that snapshots of it are gone

	// Elsewhere counts its snapshots in repositories it was backed up to before, while
	// none that holds something is in the present one; ElsewhereAt is the end of the last.
	Elsewhere   int   `db:"-"`
	ElsewhereAt int64 `db:"-"`

	Drill *drills.Verdict `db:"-"` // what the last drill of it came to; nil if it was never tried in the present repository

	Ails *looks.Facts `db:"-"` // what is known of its repository; nil if nobody found it damaged, gone or shut
}

// A Schedule is when a group's backups are promised.
type Schedule struct {
	ID            topics.ScheduleID `db:"id"`
	Host          topics.HostID     `db:"host"`
	Name          string            `db:"name"`
	Cron          string            `db:"cron"`
	Zone          string            `db:"zone"`
	JitterSeconds int               `db:"jitter_seconds"`
	Enabled       bool              `db:"enabled"`
	Since         int64             `db:"since"`       // slots up to this moment do not count
	PausedAt      int64             `db:"paused_at"`   // since when it is switched off
	Made          int64             `db:"created_at"`  // when it was made, or the group came to it
	PausedFrom    int64             `db:"paused_from"` // when the pause began that ended with Since; 0 if none did
	Owed          int64             `db:"owed"`        // the last slot that began before a change of plan that left no Earlier
	Earlier       string            `db:"earlier"`     // JSON of []Earlier: what was promised before Since, the oldest first
}

// An Earlier is what a schedule promised until its plan was changed, or would have
// promised while it was paused.
type Earlier struct {
	Cron          string `json:"cron"`
	Zone          string `json:"zone"`
	JitterSeconds int    `json:"jitter_seconds,omitempty"`
	Since         int64  `json:"since"` // Unix milliseconds; slots after it
	Until         int64  `json:"until"` // that began until then
	Paused        bool   `json:"paused,omitempty"`
}

// Promises is what is known of some hosts' groups.
type Promises struct {
	Groups  map[topics.HostID][]Group // by name
	Keepers map[topics.HostID]bool    // hosts that look after repositories
}

// Of reads the promises of some hosts; of all hosts if the list is nil.
func Of(ctx context.Context, q sqlx.QueryerContext, hosts []topics.HostID) (p Promises, err error) {
	if hosts != nil && len(hosts) == 0 {
		return p, nil
	}
	r := reader{ctx, q, hosts, nil}
	var groups []Group
	r.read(&groups, `SELECT id, host, name, repository, created_at, allow_empty FROM source_groups`, `host`, ` ORDER BY name, id`)
	var schedules []Schedule
	r.read(&schedules, `SELECT id, host, name, cron, zone, jitter_seconds, enabled, created_at, since, paused_at, paused_from, owed, earlier
		FROM schedules`, `host`, ` ORDER BY name, id`)
	var members []struct {
		Schedule topics.ScheduleID    `db:"schedule"`
		Group    topics.SourceGroupID `db:"source_group"`
		Joined   int64                `db:"joined_at"`
	}
	r.read(&members, `SELECT m.schedule, m.source_group, m.joined_at FROM source_groups g
		JOIN schedule_groups m ON m.source_group = g.id`, `g.host`, ``)
	var served []struct {
		Group    topics.SourceGroupID `db:"source_group"`
		Schedule topics.ScheduleID    `db:"schedule"`
		Slot     int64                `db:"slot"`
	}
	r.read(&served, `SELECT f.source_group, n.schedule, n.slot FROM group_facts f JOIN snapshots n ON n.repository = f.repository
		AND n.id = CASE WHEN f.good_begun > f.whole_begun THEN f.good_id ELSE f.whole_id END`, `f.host`, ``)
	var replaced []struct {
		Group topics.SourceGroupID `db:"source_group"`
		At    int64                `db:"at"`
	}
	r.read(&replaced, `SELECT q.source_group, r.enrolled_at AS at FROM replaced_groups q JOIN replacements r ON r.id = q.replacement
		WHERE q.held = 1`, `q.host`, ``)
	var acknowledged []struct {
		Group topics.SourceGroupID `db:"source_group"`
		At    int64                `db:"at"`
	}
	r.read(&acknowledged, `SELECT f.source_group, (SELECT coalesce(max(n.acknowledged_at), 0) FROM snapshots n
		WHERE n.source_group = f.source_group AND n.repository = f.repository AND n.gone_at > 0 AND n.named_by = ''
			AND n.replaced_by = '' AND n.job <> '') AS at
		FROM group_facts f WHERE f.lost > 0`, `f.host`, ``)
	var elsewhere []struct {
		Group topics.SourceGroupID `db:"source_group"`
		N     int                  `db:"n"`
		At    int64                `db:"at"`
	}
	r.read(&elsewhere, `SELECT f.source_group, count(*) AS n, max(n.ended_at) AS at FROM group_facts f CROSS JOIN snapshots n
		WHERE n.source_group = f.source_group AND n.repository <> f.repository AND n.gone_at = 0 AND n.replaced_by = '' AND n.job <> ''
		AND n.copied_from = '' AND f.whole_id = '' AND f.good_id = ''`, `f.host`, ` GROUP BY f.source_group`)
	var tried []drills.Verdict
	r.read(&tried, `SELECT * FROM drill_verdicts WHERE at > 0`, `host`, ``)
	var keepers []topics.HostID
	r.read(&keepers, `SELECT DISTINCT keeper FROM repositories WHERE removed_at = 0 AND keeper <> ''`, `keeper`, ``)
	if r.err != nil {
		return p, fmt.Errorf("promises: %w", r.err)
	}
	var known []facts.Group
	if hosts == nil {
		known, err = facts.All(ctx, q)
	} else {
		known, err = facts.Of(ctx, q, hosts...)
	}
	if err != nil {
		return p, err
	}

	ails, err := ailing(ctx, q, groups, hosts == nil)
	if err != nil {
		return p, err
	}

	factsOf := make(map[topics.SourceGroupID]facts.Group, len(known))
	for _, f := range known {
		factsOf[f.Group] = f
	}
	slotOf, ackOf := make(map[topics.SourceGroupID]int, len(served)), map[topics.SourceGroupID]int64{}
	for i, s := range served {
		slotOf[s.Group] = i + 1
	}
	for _, a := range acknowledged {
		ackOf[a.Group] = a.At
	}
	replacedOf := map[topics.SourceGroupID]int64{}
	for _, x := range replaced {
		replacedOf[x.Group] = x.At
	}
	triedOf := make(map[topics.SourceGroupID]*drills.Verdict, len(tried))
	for i := range tried {
		triedOf[tried[i].Group] = &tried[i]
	}
	elsewhereOf := make(map[topics.SourceGroupID]int, len(elsewhere))
	for i, e := range elsewhere {
		elsewhereOf[e.Group] = i + 1
	}
	type member struct {
		group  topics.SourceGroupID
		joined int64
	}
	membersOf := make(map[topics.ScheduleID][]member, len(schedules))
	for _, m := range members {
		membersOf[m.Schedule] = append(membersOf[m.Schedule], member{m.Group, m.Joined})
	}
	schedulesOf := make(map[topics.SourceGroupID][]Schedule, len(groups))
	for _, s := range schedules {
		for _, m := range membersOf[s.ID] {
			of := s
			if m.joined > s.Since { // what came before was not promised to it
				of.Since, of.Made, of.PausedFrom, of.Owed = m.joined, max(of.Made, m.joined), 0, 0
			}
			schedulesOf[m.group] = append(schedulesOf[m.group], of)
		}
	}
	p = Promises{Groups: make(map[topics.HostID][]Group, len(groups)), Keepers: make(map[topics.HostID]bool, len(keepers))}
	for _, g := range groups {
		g.Facts, g.Schedules, g.Ails = factsOf[g.ID], schedulesOf[g.ID], ails[g.Repository]
		g.AcknowledgedAt, g.ReplacedAt = ackOf[g.ID], replacedOf[g.ID]
		if v := triedOf[g.ID]; v != nil && v.Repository == g.Repository && v.Host == g.Host {
			g.Drill = v
		}
		if i := elsewhereOf[g.ID]; i > 0 {
			g.Elsewhere, g.ElsewhereAt = elsewhere[i-1].N, elsewhere[i-1].At
		}
		if i := slotOf[g.ID]; i > 0 {
			g.ServedBy, g.ServedSlot = served[i-1].Schedule, served[i-1].Slot
		}
		p.Groups[g.Host] = append(p.Groups[g.Host], g)
	}
	for _, h := range keepers {
		p.Keepers[h] = true
	}
	return p, nil
}

// ailing returns what is known of those repositories of some groups that a host found
// damaged, gone or shut. Mostly there is none, and nothing else is read.
func ailing(ctx context.Context, q sqlx.QueryerContext, groups []Group, all bool) (map[topics.RepositoryID]*looks.Facts, error) {
	var of []topics.RepositoryID
	if !all {
		into := map[topics.RepositoryID]bool{}
		for _, g := range groups {
			into[g.Repository] = true
		}
		of = append([]topics.RepositoryID{}, slices.Sorted(maps.Keys(into))...)
	}
	known, err := looks.Grave(ctx, q, of)
	ails := make(map[topics.RepositoryID]*looks.Facts, len(known))
	for i := range known {
		ails[known[i].Repository] = &known[i]
	}
	return ails, err
}

// A reader reads rows of some hosts or of all.
type reader struct {
	ctx   context.Context
	q     sqlx.QueryerContext
	hosts []topics.HostID
	err   error
}

func (r *reader) read(into any, query, host, order string) {
	if r.err != nil {
		return
	}
	var args []any
	if r.hosts != nil {
		word := ` WHERE `
		if strings.Contains(query, `WHERE `) {
			word = ` AND `
		}
		if query, args, r.err = sqlx.In(query+word+host+` IN (?)`, r.hosts); r.err != nil {
			return
		}
	}
	r.err = sqlx.SelectContext(r.ctx, r.q, into, sqlx.Rebind(sqlx.DOLLAR, query+order), args...)
}
