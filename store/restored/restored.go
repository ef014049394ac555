// Package restored holds what a control plane knows of having been restored from a copy
// of its database: since when, what its hosts have told it again, and whom it asks
// about, because the copy trusts who may have lost that trust since.
package restored

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Plane is which control plane a database is of. Times are Unix milliseconds.
type Plane struct {
	Epoch      int64 `db:"epoch"`       // rises with each restore
	RestoredAt int64 `db:"restored_at"` // 0 is never
	CopiedAt   int64 `db:"copied_at"`   // when the last copy was made, 0 if there is none; in a copy, when that was made
	LostFrom   int64 `db:"lost_from"`   // when the copy was made that it was restored from
}

// issued is how far before the moment it was made a certificate may begin: the clocks of
// hosts may be behind ours.
const issued = 2 * 60 * 60 * 1000

// Lost reports whether a certificate that began then may have been made by the control
// plane that was lost, after the copy.
func (p Plane) Lost(began int64) bool {
	return p.RestoredAt > 0 && began > p.LostFrom-issued && began <= p.RestoredAt
}

// Of returns it.
func Of(ctx context.Context, q sqlx.QueryerContext) (p Plane, err error) {
	err = sqlx.GetContext(ctx, q, &p, `SELECT epoch, restored_at, copied_at, lost_from FROM installation`)
	return p, err
}

// Copying notes that a copy is made now; the copy has the note, too.
func Copying(ctx context.Context, q sqlx.ExtContext, now int64) error {
	_, err := q.ExecContext(ctx, `UPDATE installation SET copied_at = $1`, now)
	return err
}

// Whom a restored control plane asks about.
const (
	Host     = "host"
	User     = "user"
	Token    = "token"
	Consumer = "consumer"
)

// Kinds lists them in the order in which people are asked.
var Kinds = []string{User, Host, Token, Consumer}

// A Question is whether somebody is still trusted.
type Question struct {
	Kind       string `db:"kind"`
	ID         string `db:"id"`
	Epoch      int64  `db:"epoch"`
	Name       string `db:"name"`
	AskedAt    int64  `db:"asked_at"`
	AnsweredAt int64  `db:"answered_at"` // 0 is not yet
	AnsweredBy string `db:"answered_by"`
	Confirmed  bool   `db:"confirmed"` // else it was refused
}

// Unconfirmed is the condition that somebody in a table is asked about and that nobody
// has confirmed it. The key is the table's column with the ID that a question has.
func Unconfirmed(kind, key string) string {
	return `EXISTS (SELECT 1 FROM asked_about WHERE kind = '` + kind + `' AND asked_about.id = ` + key + ` AND confirmed = 0)`
}

// Begin makes the database that of a control plane which is restored now from a copy
// made at copied: it has a new epoch, its hosts have to tell again, whoever is trusted is
// asked about, sessions and links are over.
func Begin(ctx context.Context, tx *sqlx.Tx, now, copied int64) (Plane, error) {
	p, err := Of(ctx, tx)
	if err != nil {
		return p, err
	}
	p.Epoch, p.RestoredAt, p.LostFrom, p.CopiedAt = max(now, p.Epoch+1), now, copied, copied
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{`UPDATE installation SET epoch = $1, restored_at = $2, lost_from = $3, copied_at = $3`, []any{p.Epoch, now, copied}},
		{`UPDATE hosts SET restoring = $1 WHERE removed_at = 0`, []any{p.Epoch}},
		{`DELETE FROM asked_about WHERE NOT (` + held + `)`, nil},
		{asks(Host, "id", "name", "hosts", "removed_at = 0 AND revoked_at = 0"), []any{p.Epoch, now}},
		{asks(User, "id", "name", "users", "disabled_at = 0 OR id IN (SELECT id FROM asked_about WHERE "+held+")"), []any{p.Epoch, now}},
		{asks(Token, "id", "name", "api_tokens", "expires_at = 0 OR expires_at > $2"), []any{p.Epoch, now}},
		{asks(Consumer, "name", "name", "mqtt_users", "TRUE"), []any{p.Epoch, now}},
		{`DELETE FROM outbox_once`, nil}, // it was said after the copy was made
		{`DELETE FROM sessions`, nil},
		{`DELETE FROM password_links`, nil},
		{`UPDATE enroll_tokens SET expires_at = $1 WHERE used_at = 0 AND expires_at > $1`, []any{now}},
	} {
		if _, err := tx.ExecContext(ctx, q.sql, q.args...); err != nil {
			return p, fmt.Errorf("%.60s: %w", q.sql, err)
		}
	}
	return p, nil
}

func asks(kind, id, name, table, trusted string) string {
	return `INSERT INTO asked_about (kind, id, epoch, name, asked_at) SELECT '` + kind + `', ` + id + `, $1, ` + name + `, $2 FROM ` + table +
		` WHERE (` + trusted + `) ON CONFLICT (kind, id) DO UPDATE SET epoch = excluded.epoch, name = excluded.name, asked_at = excluded.asked_at`
}

// held is the condition that a user is disabled for no more than the question about them:
// it is asked again when a copy with the question is restored in turn.
const held = `kind = '` + User + `' AND answered_at = 0`

// Questions lists what was asked, those without an answer first, then by kind and name.
func Questions(ctx context.Context, q sqlx.QueryerContext) ([]Question, error) {
	rows := []Question{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM asked_about ORDER BY answered_at > 0, kind, name, id`)
}

// Unanswered lists the IDs of one kind that nobody has confirmed, those that were
// refused too.
func Unanswered(ctx context.Context, q sqlx.QueryerContext, kind string) (ids []string, err error) {
	err = sqlx.SelectContext(ctx, q, &ids, `SELECT id FROM asked_about WHERE kind = $1 AND confirmed = 0`, kind)
	return ids, err
}

// Waits reports whether somebody is asked about and not confirmed.
func Waits(ctx context.Context, q sqlx.QueryerContext, kind, id string) (bool, error) {
	var n int
	err := sqlx.GetContext(ctx, q, &n, `SELECT count(*) FROM asked_about WHERE kind = $1 AND id = $2 AND confirmed = 0`, kind, id)
	return n > 0, err
}

// Answer notes an answer to an open question, and returns whether there was one.
func Answer(ctx context.Context, tx sqlx.ExtContext, kind, id, by string, confirmed bool, now int64) (bool, error) {
	yes := 0
	if confirmed {
		yes = 1
	}
	r, err := tx.ExecContext(ctx, `UPDATE asked_about SET answered_at = $1, answered_by = $2, confirmed = $3
		WHERE kind = $4 AND id = $5 AND answered_at = 0`, now, by, yes, kind, id)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// Forget drops a question that means nothing any more: what it is about has new keys, or
// is gone.
func Forget(ctx context.Context, tx sqlx.ExtContext, kind, id string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM asked_about WHERE kind = $1 AND id = $2`, kind, id)
	return err
}

// Restoring is the control plane's epoch while a host has not told again what happened
// since the copy was made, else 0.
func Restoring(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) (epoch int64, err error) {
	err = sqlx.GetContext(ctx, q, &epoch, `SELECT coalesce(max(restoring), 0) FROM hosts WHERE id = $1 AND removed_at = 0`, host)
	return epoch, err
}

// Behind lists the hosts of which that is so.
func Behind(ctx context.Context, q sqlx.QueryerContext) (map[topics.HostID]bool, error) {
	var ids []topics.HostID
	if err := sqlx.SelectContext(ctx, q, &ids, `SELECT id FROM hosts WHERE restoring > 0 AND removed_at = 0`); err != nil || len(ids) == 0 {
		return nil, err
	}
	behind := make(map[topics.HostID]bool, len(ids))
	for _, id := range ids {
		behind[id] = true
	}
	return behind, nil
}

// Unheard reports whether there is a host of which the control plane may not know what it
// does, since it was restored: one that has not told, or could not tell all. Those that
// are revoked never will.
func Unheard(ctx context.Context, q sqlx.QueryerContext) (bool, error) {
	var n int
	err := sqlx.GetContext(ctx, q, &n, `SELECT count(*) FROM hosts h, installation i
		WHERE i.restored_at > 0 AND h.removed_at = 0 AND h.revoked_at = 0
		AND (h.restoring > 0 OR EXISTS (SELECT 1 FROM host_gaps g WHERE g.host = h.id AND g.epoch = i.epoch))`)
	return n > 0, err
}

// CaughtUp notes that a host has told it.
func CaughtUp(ctx context.Context, tx sqlx.ExtContext, host topics.HostID) error {
	_, err := tx.ExecContext(ctx, `UPDATE hosts SET restoring = 0 WHERE id = $1`, host)
	return err
}

// A Gap is a time of which a host could not tell everything again.
type Gap struct {
	Host   topics.HostID `db:"host"`
	Epoch  int64         `db:"epoch"`
	FromAt int64         `db:"from_at"`
	ToAt   int64         `db:"to_at"`
}

// Missing notes a gap that ends at a moment.
func Missing(ctx context.Context, tx sqlx.ExtContext, host topics.HostID, at int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO host_gaps (host, epoch, from_at, to_at)
		SELECT $1, epoch, lost_from, max(lost_from, $2) FROM installation WHERE TRUE
		ON CONFLICT (host, epoch) DO UPDATE SET to_at = max(host_gaps.to_at, excluded.to_at)`, host, at)
	return err
}

// Gaps lists the gaps of a host, or of all with "", the latest first.
func Gaps(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) ([]Gap, error) {
	rows := []Gap{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM host_gaps WHERE $1 = '' OR host = $1 ORDER BY epoch DESC, host`, host)
}

// A Stale place is one of a repository that nobody has listed since the control plane was
// restored, nor was asked to.
type Stale struct {
	Repository topics.RepositoryID `db:"repository"`
	Place      topics.HostID       `db:"place"` // whose place it is; "" is one that all hosts share
	Keeper     topics.HostID       `db:"keeper"`
	Location   string              `db:"location"`
}

// Unlisted lists them.
func Unlisted(ctx context.Context, q sqlx.QueryerContext) ([]Stale, error) {
	rows := []Stale{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT p.repository, p.host AS place, r.keeper, r.location
		FROM installation i, repositories r JOIN places p ON p.repository = r.id
		WHERE i.restored_at > 0 AND r.removed_at = 0 AND p.ready_at > 0
		AND i.restored_at > CASE p.host WHEN '' THEN r.listed_at ELSE coalesce((SELECT l.good_at FROM repository_looks l
			WHERE l.repository = r.id AND l.kind = 'list' AND l.host = p.host), 0) END
		AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.repository = r.id AND j.kind = 'snapshots' AND j.queued_at >= i.restored_at
			AND p.host IN ('', CASE j.place WHEN '' THEN j.host ELSE j.place END))
		ORDER BY p.repository, p.host`)
}
