package channels

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/alerts"
)

// Head is the message of a channel that is to go out next, with all that it says; false
// if none waits, or the channel is not enabled any more.
func (c Channels) Head(ctx context.Context, channel string) (m Message, version int64, waits bool, err error) {
	list, err := rows[struct {
		Message
		Now int64 `db:"now_version"`
	}](ctx, c.R, `SELECT m.*, c.version AS now_version FROM channel_messages m JOIN channels c ON c.id = m.channel
		WHERE m.state = $1 AND m.channel = $2 AND c.enabled = 1 ORDER BY m.id LIMIT 1`, Waiting, channel)
	if err != nil || len(list) == 0 {
		return m, 0, false, err
	}
	return list[0].Message, list[0].Now, true, nil
}

// Urgent reports whether something critical is due that is not in the message that waits.
func (c Channels) Urgent(ctx context.Context, channel, message string, now int64) (bool, error) {
	list, err := rows[int](ctx, c.R, `SELECT 1 FROM channel_notes n JOIN alerts a ON a.id = n.alert
		WHERE n.channel = $1 AND n.event = $2 AND n.due_at <= $3 AND a.ended_at = 0 AND a.severity = $4 AND NOT EXISTS
		(SELECT 1 FROM channel_told t WHERE t.channel = n.channel AND t.alert = n.alert AND (t.message = $5 OR t.state = $6)) LIMIT 1`,
		channel, Opened, now, alerts.Critical, message, Lost)
	return len(list) > 0, err
}

// Tried records a try of a message that waits, and in the same transaction what became
// of the message, what the channel knows then, and how the channel is. The message's
// State, NextAt, EndedAt, Answer and Version are those after the try; it is not counted yet.
// One that was ended meanwhile gets the try, and stays ended.
func (c Channels) Tried(ctx context.Context, m Message, t Try) error {
	return c.Tx(ctx, func(tx *sqlx.Tx) error {
		t.Message, t.N = m.ID, m.Tries+1
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO channel_tries (message, n, at, took_ms, ok, answer)
			SELECT :message, :n, :at, :took_ms, :ok, :answer WHERE EXISTS (SELECT 1 FROM channel_messages WHERE id = :message)
			ON CONFLICT DO NOTHING`, t); err != nil {
			return err
		}
		m.Tries++
		if _, err := tx.NamedExecContext(ctx, `UPDATE channel_messages SET tries = :tries, answer = :answer, version = :version,
			next_at = :next_at, state = :state, ended_at = :ended_at WHERE id = :id AND state = '`+Waiting+`'`, m); err != nil {
			return err
		}
		if err := Answered(ctx, tx, m.Channel, t.At, t.OK, t.Answer); err != nil {
			return err
		}
		return Queue{tx}.ended(ctx, m)
	})
}

// ended keeps what a channel knows once a message is over.
func (q Queue) ended(ctx context.Context, m Message) error {
	switch m.State {
	case Sent:
		if m.Event == Reminded || m.Event == Opened {
			_, err := q.tx.ExecContext(ctx, `UPDATE channel_told SET state = $1, told_at = $2 WHERE message = $3 AND state IN ($4, $1)`,
				Known, m.EndedAt, m.ID, Telling)
			return err
		}
	case GivenUp:
		if _, err := q.tx.ExecContext(ctx, `UPDATE channel_told SET state = $1, told_at = $2, version = $3 WHERE message = $4 AND state = $5`,
			Lost, m.EndedAt, m.Version, m.ID, Telling); err != nil {
			return err
		}
		if _, err := q.tx.ExecContext(ctx, `UPDATE channel_told SET told_at = $1 WHERE message = $2 AND state = $3`, m.EndedAt, m.ID,
			Known); err != nil {
			return err
		}
		if err := q.Unsay(ctx, Unsaid{Channel: m.Channel, Messages: 1, Since: m.CreatedAt}); err != nil {
			return err
		}
	default:
		return nil
	}
	_, err := q.tx.ExecContext(ctx, `UPDATE channel_told SET state = $1 WHERE message = $2 AND state = $3`, Over, m.ID, Closing)
	return err
}

// End gives up all that waits for a channel that is disabled or removed.
func (q Queue) End(ctx context.Context, channel, why string, now int64) error {
	waiting, err := rows[Message](ctx, q.tx, `SELECT * FROM channel_messages WHERE state = $1 AND channel = $2`, Waiting, channel)
	if err != nil {
		return err
	}
	for _, m := range waiting {
		m.State, m.EndedAt, m.Answer = GivenUp, now, why
		if _, err := q.tx.NamedExecContext(ctx, `UPDATE channel_messages SET state = :state, ended_at = :ended_at, answer = :answer
			WHERE id = :id`, m); err != nil {
			return err
		}
		if _, err := q.tx.ExecContext(ctx, `DELETE FROM channel_told WHERE message = $1 AND state = $2`, m.ID, Telling); err != nil {
			return err
		}
		if err := q.ended(ctx, m); err != nil {
			return err
		}
	}
	for _, query := range []string{`DELETE FROM channel_notes WHERE channel = $1`, `DELETE FROM channel_unsaid WHERE channel = $1`} {
		if _, err := q.tx.ExecContext(ctx, query, channel); err != nil {
			return err
		}
	}
	return nil
}

// Prune removes messages that ended before a moment, those of a channel beyond its latest
// so many, what belongs to no channel or alert any more, and the tries of all of them; at
// most so many messages at once. It returns how many. What channels know of alerts that
// ended before the moment over is forgotten: those do not begin again.
func (c Channels) Prune(ctx context.Context, before, over int64, keep, most int) (removed int64, err error) {
	err = c.Tx(ctx, func(tx *sqlx.Tx) error {
		ids, err := rows[string](ctx, tx, `SELECT id FROM channel_messages WHERE ended_at > 0 AND ended_at < $1
			UNION SELECT id FROM channel_messages WHERE channel NOT IN (SELECT id FROM channels)
			UNION SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY channel ORDER BY id DESC) AS n FROM channel_messages
				WHERE state <> $2) WHERE n > $3 LIMIT $4`, before, Waiting, keep, most)
		if err != nil {
			return err
		}
		removed = int64(len(ids))
		q := Queue{tx}
		for _, query := range []string{`DELETE FROM channel_tries WHERE message IN (?)`, `DELETE FROM channel_messages WHERE id IN (?)`} {
			if err := q.each(ctx, query, ids); err != nil {
				return err
			}
		}
		for _, query := range []string{
			`DELETE FROM channel_told WHERE channel NOT IN (SELECT id FROM channels) OR alert NOT IN (SELECT id FROM alerts)`,
			`DELETE FROM channel_notes WHERE channel NOT IN (SELECT id FROM channels) OR alert <> '' AND alert NOT IN (SELECT id FROM alerts)`,
			`DELETE FROM channel_unsaid WHERE channel NOT IN (SELECT id FROM channels)`,
			`DELETE FROM channel_digests WHERE channel NOT IN (SELECT id FROM channels)`,
		} {
			if _, err := tx.ExecContext(ctx, query); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM channel_told WHERE state IN ($1, $2, $3) AND alert IN (SELECT id FROM alerts
			WHERE ended_at > 0 AND ended_at < $4)`, Over, Lost, Swallowed, over)
		return err
	})
	return removed, err
}
