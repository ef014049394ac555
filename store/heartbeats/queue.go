package heartbeats

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// Most is how many pings of one heartbeat may wait; the oldest go when there are more.
const Most = 100

// A Backup is one of which something is to be said.
type Backup struct {
	Job   topics.JobID
	Host  topics.HostID
	Group topics.SourceGroupID
}

// concerned is the condition for the heartbeats of a backup, by its host and source group.
const concerned = `(scope = 'host' AND subject = $1
	OR scope = 'tag' AND EXISTS (SELECT 1 FROM hosts h, json_each(h.tags) t WHERE h.id = $1 AND h.removed_at = 0 AND t.value = subject)
	OR scope = 'schedule' AND EXISTS (SELECT 1 FROM schedule_groups m WHERE m.source_group = $2 AND m.schedule = subject))`

// Note queues what is to be said of a backup, to every address that it concerns. The caller
// is the transaction of the fact.
func Note(ctx context.Context, tx sqlx.ExtContext, b Backup, event Event, now int64) error {
	if event == Fail {
		if again, err := triedAgain(ctx, tx, b.Group); err != nil || again {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO heartbeat_pings (heartbeat, event, job, at, tries, next_at)
		SELECT id, $3, $4, $5, 0, $5 FROM heartbeats WHERE `+concerned+` ORDER BY id`, b.Host, b.Group, event, b.Job, now)
	if err != nil {
		return fmt.Errorf("pings of job %s: %w", b.Job, err)
	}
	return nil
}

// triedAgain reports whether a slot of a source group is still owed, so that its last failure
// is not the end of it.
func triedAgain(ctx context.Context, q sqlx.QueryerContext, group topics.SourceGroupID) (bool, error) {
	var n int
	err := sqlx.GetContext(ctx, q, &n, `SELECT count(*) FROM schedule_groups m JOIN pending_runs p ON p.schedule = m.schedule
		WHERE m.source_group = $1 AND m.settled < p.slot AND m.joined_at <= p.slot`, group)
	if err != nil {
		return false, fmt.Errorf("whether a backup is tried again: %w", err)
	}
	return n > 0, nil
}

// tooFar is more than a ping ever waits, in milliseconds: one that does so was put off before the
// clock was set back.
const tooFar = 2 * 60 * 60 * 1000

// Due lists the oldest ping of each heartbeat, if it is due: those behind it wait for it.
func Due(ctx context.Context, q sqlx.QueryerContext, now int64) ([]Ping, error) {
	rows := []Ping{}
	err := sqlx.SelectContext(ctx, q, &rows, `SELECT p.* FROM heartbeat_pings p
		JOIN (SELECT min(id) AS id FROM heartbeat_pings GROUP BY heartbeat) f ON f.id = p.id
		WHERE p.next_at <= $1 OR p.next_at > $1 + $2 ORDER BY p.id`, now, tooFar)
	if err != nil {
		return nil, fmt.Errorf("pings that are due: %w", err)
	}
	return rows, nil
}

// Next is when the next ping is due, 0 if none waits.
func Next(ctx context.Context, q sqlx.QueryerContext) (at int64, err error) {
	err = sqlx.GetContext(ctx, q, &at, `SELECT coalesce(min(p.next_at), 0) FROM heartbeat_pings p
		JOIN (SELECT min(id) AS id FROM heartbeat_pings GROUP BY heartbeat) f ON f.id = p.id`)
	if err != nil {
		return 0, fmt.Errorf("the next ping: %w", err)
	}
	return at, nil
}

// Waiting counts the pings that wait, by heartbeat.
func Waiting(ctx context.Context, q sqlx.QueryerContext) (map[string]int, error) {
	rows := []struct {
		Heartbeat string `db:"heartbeat"`
		N         int    `db:"n"`
	}{}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT heartbeat, count(*) AS n FROM heartbeat_pings GROUP BY heartbeat`); err != nil {
		return nil, fmt.Errorf("pings that wait: %w", err)
	}
	n := make(map[string]int, len(rows))
	for _, r := range rows {
		n[r.Heartbeat] = r.N
	}
	return n, nil
}

// Over removes a ping: it was answered, or given up.
func Over(ctx context.Context, tx sqlx.ExecerContext, id int64) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM heartbeat_pings WHERE id = $1`, id); err != nil {
		return fmt.Errorf("remove a ping: %w", err)
	}
	return nil
}

// Later puts a ping off until it is tried again.
func Later(ctx context.Context, tx sqlx.ExecerContext, id, tries, next int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE heartbeat_pings SET tries = $1, next_at = $2 WHERE id = $3`, tries, next, id); err != nil {
		return fmt.Errorf("put a ping off: %w", err)
	}
	return nil
}

// Trim removes the oldest pings of a heartbeat beyond [Most], and all of those that are of no
// heartbeat any more.
func Trim(ctx context.Context, tx sqlx.ExecerContext, heartbeat string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM heartbeat_pings WHERE heartbeat = $1 AND id <= coalesce((SELECT id FROM heartbeat_pings
			WHERE heartbeat = $1 ORDER BY id DESC LIMIT 1 OFFSET $2), 0)`, heartbeat, Most)
	if err == nil {
		_, err = tx.ExecContext(ctx, `DELETE FROM heartbeat_pings WHERE heartbeat NOT IN (SELECT id FROM heartbeats)`)
	}
	if err != nil {
		return fmt.Errorf("trim the pings of a heartbeat: %w", err)
	}
	return nil
}

// Bad returns the name of a source group whose last backup failed, among those that a
// heartbeat is about: while there is one, a good backup of another says nothing of all. "" is
// that there is none.
func Bad(ctx context.Context, q sqlx.QueryerContext, h Heartbeat) (string, error) {
	where := map[Scope]string{
		OfHost:     `g.host = $1`,
		OfTag:      `EXISTS (SELECT 1 FROM json_each(h.tags) t WHERE t.value = $1)`,
		OfSchedule: `EXISTS (SELECT 1 FROM schedule_groups m WHERE m.source_group = g.id AND m.schedule = $1)`,
	}[h.Scope]
	if where == "" {
		return "", nil
	}
	names := []string{}
	err := sqlx.SelectContext(ctx, q, &names, `SELECT h.name || ' · ' || g.name FROM source_groups g
		JOIN hosts h ON h.id = g.host AND h.removed_at = 0
		JOIN group_facts f ON f.source_group = g.id WHERE `+where+` AND (f.failed_since > 0 OR f.last_cause = $2)
		ORDER BY 1 LIMIT 1`, h.Subject, topics.CauseEmptySource)
	if err != nil {
		return "", fmt.Errorf("source groups that a heartbeat is about: %w", err)
	}
	return append(names, "")[0], nil
}
