// Package replacing keeps that a host's machine is lost and another one takes its place:
// what the old one was, what is to be decided of each source group, and which snapshots
// stay meanwhile.
//
// From the new machine's enrolment on, a source group without a decision is held: its
// schedules are paused, no backup of it is asked for, and no rule removes a snapshot of it.
// All functions are steps of a transaction that the caller ends; times are Unix
// milliseconds.
package replacing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// PinnedFor is how long the newest snapshots from before a replacement stay after its
// decision, whatever the rules say: "start without" may have been a mistake.
const PinnedFor = 30 * 24 * time.Hour

// What a person decides of a source group.
const (
	Restored = "restored"      // its files are on the new machine again, as far as they are wanted
	Without  = "start-without" // it starts without what the old machine held
)

// Errors of a replacement.
var (
	ErrNone     = errors.New("this host is not being replaced")
	ErrEnrolled = errors.New("the new machine has taken the place of the old one")
	ErrWaiting  = errors.New("the new machine is not enrolled yet")
)

// A HeldError refuses to back up source groups that wait for a decision, or to forget a
// snapshot of theirs.
type HeldError struct {
	Groups []string // their names
	Forget bool
}

// Error implements error.
func (e *HeldError) Error() string {
	return "the host's machine was replaced, and it is not decided yet of " + strings.Join(e.Groups, ", ")
}

// A Machine is what a machine said of itself.
type Machine struct {
	Hostname string          `json:"hostname,omitempty"`
	OS       string          `json:"os,omitempty"`
	Arch     string          `json:"arch,omitempty"`
	Platform string          `json:"platform,omitempty"`
	Agent    string          `json:"agent,omitempty"`
	Restic   string          `json:"restic,omitempty"`
	Policy   string          `json:"policy,omitempty"`
	Permits  *topics.Permits `json:"permits,omitempty"`
	LastSeen int64           `json:"last_seen,omitempty"`
}

// A Replacement of a host's machine.
type Replacement struct {
	ID         string               `db:"id"`
	Host       topics.HostID        `db:"host"`
	BegunAt    int64                `db:"begun_at"`
	BegunBy    string               `db:"begun_by"`
	Machine    column.JSON[Machine] `db:"machine"`     // the old one
	EnrolledAt int64                `db:"enrolled_at"` // when the new one came; 0 if it has not
	EndedAt    int64                `db:"ended_at"`    // when all was decided, or it was called off; 0 while it is open
	EndedBy    string               `db:"ended_by"`
	CalledOff  bool                 `db:"called_off"`
}

// Open reports whether it has not ended.
func (r Replacement) Open() bool { return r.EndedAt == 0 }

// A Group is what a replacement knows of a source group.
type Group struct {
	Replacement string               `db:"replacement"`
	Host        topics.HostID        `db:"host"`
	Group       topics.SourceGroupID `db:"source_group"`
	Snapshot    string               `db:"snapshot"` // the newest from before that can be restored, "" if there was none
	Repository  topics.RepositoryID  `db:"repository"`
	Decision    string               `db:"decision"` // Restored, Without, or "" while there is none
	DecidedAt   int64                `db:"decided_at"`
	DecidedBy   string               `db:"decided_by"`
	Held        bool                 `db:"held"`
	PinnedUntil int64                `db:"pinned_until"` // 0 before the decision
}

// ByHost is the query for a host's last replacement.
const ByHost = `SELECT * FROM replacements WHERE host = $1 ORDER BY ended_at = 0 DESC, begun_at DESC, id DESC LIMIT 1`

// AllOpen is the query for every replacement that has not ended, of hosts that are there.
const AllOpen = `SELECT r.* FROM replacements r JOIN hosts h ON h.id = r.host AND h.removed_at = 0 WHERE r.ended_at = 0
	ORDER BY r.begun_at, r.id`

// GroupsOf is the query for the source groups of a replacement.
const GroupsOf = `SELECT g.*, coalesce((SELECT max(p.until) FROM replaced_pins p WHERE p.replacement = g.replacement
	AND p.source_group = g.source_group), 0) AS pinned_until FROM replaced_groups g WHERE g.replacement = $1 ORDER BY g.source_group`

// Holds is the condition that a source group of the column is held, and PinnedUntil the
// moment until which the snapshot of an alias s stays, 0 for no longer than rules say.
const (
	Holds = `EXISTS (SELECT 1 FROM replaced_groups q WHERE q.held = 1 AND q.source_group = `

	PinnedUntil = `coalesce((SELECT max(q.until) FROM replaced_pins q WHERE q.repository = s.repository AND q.snapshot = s.id), 0)`
)

// Open returns a host's replacement that has not ended, or ErrNone.
func Open(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) (r Replacement, err error) {
	err = sqlx.GetContext(ctx, q, &r, `SELECT * FROM replacements WHERE host = $1 AND ended_at = 0 ORDER BY begun_at DESC LIMIT 1`, host)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNone
	}
	return r, err
}

// Begin notes that a host's machine is to be replaced; one that is open goes on. fresh is
// true if there was none.
func Begin(ctx context.Context, tx sqlx.ExtContext, r Replacement) (_ Replacement, fresh bool, err error) {
	open, err := Open(ctx, tx, r.Host)
	if !errors.Is(err, ErrNone) {
		return open, false, err
	}
	_, err = sqlx.NamedExecContext(ctx, tx, `INSERT INTO replacements (id, host, begun_at, begun_by, machine)
		VALUES (:id, :host, :begun_at, :begun_by, :machine)`, r)
	return r, true, err
}

// CallOff ends a replacement before the new machine came. Nothing has changed then.
func CallOff(ctx context.Context, tx sqlx.ExtContext, host topics.HostID, by string, now int64) error {
	r, err := Open(ctx, tx, host)
	if err == nil && r.EnrolledAt > 0 {
		err = ErrEnrolled
	}
	if err != nil {
		return err
	}
	if err := exec(ctx, tx, `UPDATE replacements SET ended_at = $1, ended_by = $2, called_off = 1 WHERE id = $3`, now, by, r.ID); err != nil {
		return err
	}
	return exec(ctx, tx, `UPDATE enroll_tokens SET expires_at = $1 WHERE for_host = $2 AND used_at = 0 AND expires_at > $1`, now, host)
}

// Enrolled notes that the new machine has come: every source group of the host is held from
// now on, and its newest snapshots are pinned. It is called again if yet another machine takes
// its place; what was decided before is to be decided anew then, as that one is empty, too.
func Enrolled(ctx context.Context, tx sqlx.ExtContext, r Replacement, now int64) error {
	if err := exec(ctx, tx, `UPDATE replacements SET enrolled_at = $1 WHERE id = $2`, now, r.ID); err != nil {
		return err
	}
	// Held by one replacement only.
	if err := exec(ctx, tx, `UPDATE replaced_groups SET held = 0 WHERE host = $1 AND replacement <> $2`, r.Host, r.ID); err != nil {
		return err
	}
	// What can be restored whole, else what holds anything, else whatever there is.
	const newest = `coalesce((SELECT s.id FROM snapshots s WHERE s.repository = g.repository AND s.source_group = g.id AND s.gone_at = 0
		ORDER BY s.id = coalesce(nullif(f.good_id, ''), nullif(f.whole_id, ''), f.newest_id) DESC, s.time DESC, s.id LIMIT 1), '')`
	if err := exec(ctx, tx, `INSERT INTO replaced_groups (replacement, host, source_group, repository, snapshot)
		SELECT $1, g.host, g.id, g.repository, `+newest+` FROM source_groups g LEFT JOIN group_facts f ON f.source_group = g.id
			AND f.repository = g.repository WHERE g.host = $2
		ON CONFLICT (replacement, source_group) DO UPDATE SET held = 1, decision = '', decided_at = 0, decided_by = '',
			repository = excluded.repository, snapshot = CASE WHEN replaced_groups.snapshot = '' OR replaced_groups.decision <> ''
				THEN excluded.snapshot ELSE replaced_groups.snapshot END`, r.ID, r.Host); err != nil {
		return err
	}
	// Pinned are that one and the newest of all, in every repository that has any.
	return exec(ctx, tx, `INSERT INTO replaced_pins (replacement, host, source_group, repository, snapshot)
		SELECT g.replacement, g.host, g.source_group, s.repository, s.id FROM replaced_groups g
			JOIN snapshots s ON s.host = g.host AND s.source_group = g.source_group AND s.gone_at = 0
		WHERE g.replacement = $1 AND (s.id = g.snapshot OR s.time = (SELECT max(n.time) FROM snapshots n WHERE n.host = g.host
			AND n.source_group = g.source_group AND n.repository = s.repository AND n.gone_at = 0))
		ON CONFLICT (replacement, repository, snapshot) DO UPDATE SET until = 0`, r.ID)
}

// Decide writes down what is decided of some of a host's source groups, or of all that are
// held with none named, and reports whether nothing is held any more: the replacement has
// ended then. It answers with how many were decided.
func Decide(ctx context.Context, tx sqlx.ExtContext, host topics.HostID, groups []topics.SourceGroupID, decision, by string, now int64) (
	n int, over bool, err error,
) {
	r, err := Open(ctx, tx, host)
	if err == nil && r.EnrolledAt == 0 {
		err = ErrWaiting
	}
	if err != nil {
		return 0, false, err
	}
	which, args := "", []any{decision, now, by, r.ID}
	if len(groups) > 0 {
		in, more, err := sqlx.In(` AND source_group IN (?)`, groups)
		if err != nil {
			return 0, false, err
		}
		which, args = in, append(args, more...)
	}
	done, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE replaced_groups SET decision = ?, decided_at = ?, decided_by = ?, held = 0
		WHERE held = 1 AND replacement = ?`+which), args...)
	if err != nil {
		return 0, false, err
	}
	changed, err := done.RowsAffected()
	if err != nil {
		return 0, false, err
	}
	if err := exec(ctx, tx, `UPDATE replaced_pins SET until = $1 WHERE replacement = $2 AND until = 0 AND source_group NOT IN
		(SELECT source_group FROM replaced_groups WHERE held = 1)`, now+PinnedFor.Milliseconds(), r.ID); err != nil {
		return 0, false, err
	}
	left := 0 // a group that was removed since holds up nobody
	if err := sqlx.GetContext(ctx, tx, &left, `SELECT count(*) FROM replaced_groups q JOIN source_groups g ON g.id = q.source_group
		WHERE q.replacement = $1 AND q.held = 1`, r.ID); err != nil || left > 0 && len(groups) > 0 {
		return int(changed), false, err
	}
	return int(changed), true, exec(ctx, tx, `UPDATE replacements SET ended_at = $1, ended_by = $2 WHERE id = $3`, now, by, r.ID)
}

// Paused notes that a replacement has paused a schedule, and GoOn lists the schedules that it
// paused of which no source group is held any more, and forgets them.
func Paused(ctx context.Context, tx sqlx.ExtContext, r Replacement, schedule topics.ScheduleID) error {
	return exec(ctx, tx, `INSERT INTO replaced_schedules (replacement, host, schedule) VALUES ($1, $2, $3)
		ON CONFLICT (replacement, schedule) DO NOTHING`, r.ID, r.Host, schedule)
}

// GoOn lists the schedules that a host's replacements paused and of which no source group is
// held any more, and forgets that they did.
func GoOn(ctx context.Context, tx sqlx.ExtContext, host topics.HostID) (ids []topics.ScheduleID, err error) {
	if err := sqlx.SelectContext(ctx, tx, &ids, `SELECT DISTINCT p.schedule FROM replaced_schedules p WHERE p.host = $1
		AND NOT EXISTS (SELECT 1 FROM schedule_groups m WHERE m.schedule = p.schedule AND `+Holds+`m.source_group)) ORDER BY p.schedule`,
		host); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := exec(ctx, tx, `DELETE FROM replaced_schedules WHERE host = $1 AND schedule = $2`, host, id); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// Refuses returns a *HeldError with the names of those source groups that are held, nil if
// none is.
func Refuses(ctx context.Context, q sqlx.QueryerContext, groups []topics.SourceGroupID) error {
	if len(groups) == 0 {
		return nil
	}
	query, args, err := sqlx.In(`SELECT g.name FROM source_groups g WHERE g.id IN (?) AND `+Holds+`g.id) ORDER BY g.name`, groups)
	if err != nil {
		return err
	}
	var names []string
	if err := sqlx.SelectContext(ctx, q, &names, sqlx.Rebind(sqlx.DOLLAR, query), args...); err != nil {
		return fmt.Errorf("source groups that are held: %w", err)
	}
	if len(names) > 0 {
		return &HeldError{Groups: names}
	}
	return nil
}

// Keeps returns a *HeldError with the names of the source groups that are held and of which
// some of these snapshots are, nil if there is none.
func Keeps(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	query, args, err := sqlx.In(`SELECT DISTINCT coalesce(g.name, s.source_group) AS name FROM snapshots s
		LEFT JOIN source_groups g ON g.id = s.source_group
		WHERE s.repository = ? AND s.id IN (?) AND s.source_group <> '' AND `+Holds+`s.source_group) ORDER BY name`, repository, ids)
	if err != nil {
		return err
	}
	var names []string
	if err := sqlx.SelectContext(ctx, q, &names, sqlx.Rebind(sqlx.DOLLAR, query), args...); err != nil {
		return fmt.Errorf("snapshots that are held: %w", err)
	}
	if len(names) > 0 {
		return &HeldError{Groups: names, Forget: true}
	}
	return nil
}

func exec(ctx context.Context, tx sqlx.ExtContext, query string, args ...any) error {
	_, err := tx.ExecContext(ctx, query, args...)
	return err
}
