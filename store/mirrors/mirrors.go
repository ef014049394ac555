// Package mirrors keeps which repositories are copied into another one, and when: their
// mirrors. What a mirror lacks is not kept but read from the rows of snapshots.
package mirrors

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Mirror is that a repository is copied into another one. Moments are Unix milliseconds.
type Mirror struct {
	Repository    topics.RepositoryID `db:"repository"`
	Target        topics.RepositoryID `db:"target"`
	Host          topics.HostID       `db:"host"` // copies; it has both
	Cron          string              `db:"cron"`
	Zone          string              `db:"zone"` // IANA's name
	Since         int64               `db:"since"`
	Served        int64               `db:"served"`          // slots up to this one are finished
	Attempt       int                 `db:"attempt"`         // number of attempts at the slot that is due
	NextAttemptAt int64               `db:"next_attempt_at"` // no attempt before this moment
	RunJob        topics.JobID        `db:"run_job"`         // the copy of a slot that has not been settled, "" is none
	RunSlot       int64               `db:"run_slot"`        // its slot
	Job           topics.JobID        `db:"job"`             // the last copy that ended; "" is none yet
	GoodJob       topics.JobID        `db:"good_job"`        // the last one that found all in the second repository
	GoodAt        int64               `db:"good_at"`         // when that one ended; 0 is never
	OtherCuts     bool                `db:"other_cuts"`      // the two repositories cut files at other places
	Unasked       bool                `db:"unasked"`         // of the slot that is due, some place could not be asked for
}

const columns = `m.repository, m.target, m.host, m.cron, m.zone, m.since, m.served, m.attempt, m.next_attempt_at, m.run_job,
	m.run_slot, m.job, m.good_job, m.good_at, m.other_cuts <> 0 AS other_cuts,
	m.unasked <> 0 AS unasked`

// living are the mirrors of which both repositories are in care.
const living = ` FROM mirrors m JOIN repositories r ON r.id = m.repository AND r.removed_at = 0
	JOIN repositories t ON t.id = m.target AND t.removed_at = 0`

// All lists the mirrors.
func All(ctx context.Context, q sqlx.QueryerContext) (list []Mirror, err error) {
	return list, sqlx.SelectContext(ctx, q, &list, `SELECT `+columns+living+` ORDER BY m.repository`)
}

// Of returns the mirror of a repository, sql.ErrNoRows if it has none.
func Of(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) (m Mirror, err error) {
	return m, sqlx.GetContext(ctx, q, &m, `SELECT `+columns+living+` WHERE m.repository = $1`, repository)
}

// Into lists the mirrors that a repository is the second one of.
func Into(ctx context.Context, q sqlx.QueryerContext, target topics.RepositoryID) (list []Mirror, err error) {
	return list, sqlx.SelectContext(ctx, q, &list, `SELECT `+columns+living+` WHERE m.target = $1 ORDER BY r.name, m.repository`, target)
}

// Put has a repository copied into another. The progress stays, if that is the same one.
func Put(ctx context.Context, tx sqlx.ExtContext, m Mirror) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO mirrors (repository, target, host, cron, zone, since, served)
		VALUES (:repository, :target, :host, :cron, :zone, :since, :served)
		ON CONFLICT (repository) DO UPDATE SET host = excluded.host, cron = excluded.cron, zone = excluded.zone, served = excluded.served,
			attempt = 0, next_attempt_at = 0, unasked = 0,
			run_job = '', run_slot = 0,
			since = CASE WHEN target = excluded.target THEN since ELSE excluded.since END,
			job = CASE WHEN target = excluded.target THEN job ELSE '' END,
			good_job = CASE WHEN target = excluded.target THEN good_job ELSE '' END,
			good_at = CASE WHEN target = excluded.target THEN good_at ELSE 0 END,
			other_cuts = CASE WHEN target = excluded.target THEN other_cuts ELSE 0 END,
			target = excluded.target`, m)
	return err
}

// Drop has a repository not copied any more.
func Drop(ctx context.Context, tx sqlx.ExecerContext, repository topics.RepositoryID) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM mirrors WHERE repository = $1`, repository)
	return err
}

// PutServed stores how far the slots of a mirror are served.
func PutServed(ctx context.Context, tx sqlx.ExtContext, m Mirror) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `UPDATE mirrors SET served = :served, attempt = :attempt, next_attempt_at = :next_attempt_at,
		run_job = :run_job, run_slot = :run_slot, unasked = :unasked WHERE repository = :repository`, m)
	return err
}

// A Copy is what the end of a copy says of a mirror.
type Copy struct {
	Job              topics.JobID
	Repository, Into topics.RepositoryID
	Host             topics.HostID
	Good             bool // all that was to be there is
	OtherCuts        bool
	At               int64
}

// Note enters how a copy ended, if it was one of the mirror.
func Note(ctx context.Context, tx sqlx.ExecerContext, c Copy) error {
	_, err := tx.ExecContext(ctx, `UPDATE mirrors SET job = $1, good_job = CASE WHEN $2 THEN $1 ELSE good_job END,
		good_at = CASE WHEN $2 THEN $3 ELSE good_at END, other_cuts = CASE WHEN $2 THEN $4 ELSE other_cuts END
		WHERE repository = $5 AND target = $6`, c.Job, c.Good, c.At, c.OtherCuts, c.Repository, c.Into)
	return err
}

// there is the condition that a mirror $2 has, or had until one of our own jobs removed it,
// the copy of a snapshot s. A copy is known by the first of those that it was made of, and by
// what it holds: whoever can write to a mirror can write into a snapshot of which one it is a
// copy. Of one that no listing has shown yet the tree is not known.
const there = `EXISTS (SELECT 1 FROM snapshots c WHERE c.repository = $2 AND c.original <> '' AND c.original IN (s.id, s.original)
		AND %[1]s AND ` + alike + `)
	OR EXISTS (SELECT 1 FROM snapshots c WHERE c.repository = $2 AND c.id IN (s.id, s.original) AND %[1]s AND ` + alike + `)`

const alike = `(s.tree = '' OR c.tree = '' OR c.tree = s.tree AND c.time = s.time AND c.paths = s.paths)`

var (
	has    = fmt.Sprintf(there, `c.gone_at = 0`)
	forgot = fmt.Sprintf(there, `c.gone_at > 0 AND c.named_by <> ''`)
)

// of is what of a repository $1 is to be in a mirror $2: of the place of a host $3, or all.
const of = ` FROM snapshots s WHERE s.repository = $1 AND s.gone_at = 0 AND ($3 = '' OR coalesce(nullif(s.place, ''), s.host) = $3) `

// A Lag is what a mirror lacks, as the rows of snapshots know it: what was forgotten there
// by our own rules it does not lack.
type Lag struct {
	Snapshots int   `db:"n"`      // of the first repository that are not in the mirror
	Oldest    int64 `db:"oldest"` // since when the first of them is known, in Unix milliseconds; 0 is none
	All       int   `db:"all_n"`  // snapshots of the first repository
}

// LagOf reads what a mirror lacks. at is the host whose place the copying one reaches, ""
// where all share one.
func LagOf(ctx context.Context, q sqlx.QueryerContext, m Mirror, at topics.HostID) (l Lag, err error) {
	err = sqlx.GetContext(ctx, q, &l, `SELECT coalesce(sum(lacks), 0) AS n, count(*) AS all_n,
			coalesce(min(CASE WHEN lacks THEN at END), 0) AS oldest
		FROM (SELECT NOT (`+has+` OR `+forgot+`) AS lacks, max(s.ended_at, s.noted_at, CASE WHEN s.job = '' THEN s.time ELSE 0 END) AS at`+
		of+`)`, m.Repository, m.Target, at)
	return l, err
}

// Lacking lists the snapshots that a mirror lacks, as LagOf counts them.
func Lacking(ctx context.Context, q sqlx.QueryerContext, m Mirror, at topics.HostID) (ids []string, err error) {
	return ids, sqlx.SelectContext(ctx, q, &ids, `SELECT s.id`+of+`AND NOT (`+has+` OR `+forgot+`) ORDER BY s.id`, m.Repository, m.Target, at)
}

// Selection returns the snapshots that a copy is to name: none, which is all, unless some
// were forgotten in the mirror by our own rules and would come back. Then they are those that
// are not, first what the mirror lacks, the newest first, at most so many. nothing says that
// there is none to name.
func Selection(ctx context.Context, q sqlx.QueryerContext, m Mirror, at topics.HostID, most int) (ids []string, nothing bool, err error) {
	var some bool
	if err := sqlx.GetContext(ctx, q, &some, `SELECT EXISTS (SELECT 1`+of+`AND NOT (`+has+`) AND (`+forgot+`))`, m.Repository, m.Target,
		at); err != nil || !some {
		return nil, false, err
	}
	err = sqlx.SelectContext(ctx, q, &ids, `SELECT s.id`+of+`AND (`+has+` OR NOT (`+forgot+`)) ORDER BY (`+has+`), s.time DESC, s.id LIMIT $4`,
		m.Repository, m.Target, at, most)
	return ids, len(ids) == 0, err
}
