package channels

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// What a channel knows of an alert.
const (
	Telling   = "telling"   // a message that waits tells that it began
	Known     = "open"      // it was told that it began
	Closing   = "closing"   // a message that waits tells that it is over
	Over      = "over"      // it knows that it is over, or was not to be told
	Swallowed = "swallowed" // another alert that explains it was told in its place
	Lost      = "given-up"  // the message that told it was given up
)

// A Told is what a channel knows of an alert.
type Told struct {
	Channel  string          `db:"channel"`
	Alert    string          `db:"alert"`
	State    string          `db:"state"`
	Message  string          `db:"message"` // that tells it
	At       int64           `db:"told_at"`
	BeganAt  int64           `db:"began_at"` // of the alert, as it was told
	Severity alerts.Severity `db:"severity"` // as it was told
	Instead  string          `db:"instead"`  // of one that was swallowed: the alert that explains it
	Version  int64           `db:"version"`  // of the channel, when the message was given up
}

// Unsaid counts what a channel was not told.
type Unsaid struct {
	Channel  string `db:"channel"`
	Alerts   int64  `db:"alerts"`   // that were over before they could be told
	Messages int64  `db:"messages"` // that were given up
	Since    int64  `db:"since"`
}

// A Queue is what goes out, within a transaction.
type Queue struct{ tx *sqlx.Tx }

// Within is the queue within a transaction.
func Within(tx alerts.Tx) Queue { return Queue{tx} }

// Do runs a deed on the queue in a transaction.
func (c Channels) Do(ctx context.Context, deed func(Queue) error) error {
	return c.Tx(ctx, func(tx *sqlx.Tx) error { return deed(Queue{tx}) })
}

// Channels lists the channels, without their secrets.
func (q Queue) Channels(ctx context.Context) ([]Channel, error) {
	return rows[Channel](ctx, q.tx, `SELECT `+columns+` FROM channels ORDER BY id`)
}

// Rules is the setting of who hears of what; its body is "" if nobody set it.
func (q Queue) Rules(ctx context.Context) (string, error) {
	list, err := rows[string](ctx, q.tx, `SELECT body FROM alert_settings WHERE name = $1`, alerts.Rules)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0], nil
}

// Pauses lists all pauses that end after a moment.
func (q Queue) Pauses(ctx context.Context, after int64) ([]alerts.Pause, error) {
	return rows[alerts.Pause](ctx, q.tx, `SELECT id, kind, subject, reason, from_at, until_at, created_at, created_by
		FROM alert_pauses WHERE until_at > $1 ORDER BY id`, after)
}

// A Tagged is a host with its tags, as JSON.
type Tagged struct {
	Host topics.HostID `db:"id"`
	Tags string        `db:"tags"`
}

// Tags lists the hosts that have tags.
func (q Queue) Tags(ctx context.Context) ([]Tagged, error) {
	return rows[Tagged](ctx, q.tx, `SELECT id, tags FROM hosts WHERE tags <> '[]' AND removed_at = 0`)
}

// A Use is that a host backs up into a repository.
type Use struct {
	Repository topics.RepositoryID `db:"repository"`
	Host       topics.HostID       `db:"host"`
}

// Users lists which hosts back up into which repositories.
func (q Queue) Users(ctx context.Context) ([]Use, error) {
	return rows[Use](ctx, q.tx, `SELECT DISTINCT g.repository, g.host FROM source_groups g JOIN hosts h ON h.id = g.host
		WHERE h.removed_at = 0 AND g.repository <> ''`)
}

const alertColumns = `id, condition, on_kind, subject, host, repository, job, severity, opened_at, since, seen_at, count, began_at,
	quiet_at, acked_at, acked_by, snoozed_until, snoozed_by, ended_at, ended_by, ended_why, changed`

// Alerts lists, without what they say, the alerts that are not over and those others that
// there is a note of, or that a channel believes to be open.
func (q Queue) Alerts(ctx context.Context) ([]alerts.Alert, error) {
	return rows[alerts.Alert](ctx, q.tx, `SELECT `+alertColumns+` FROM alerts WHERE ended_at = 0 UNION ALL
		SELECT `+alertColumns+` FROM alerts WHERE ended_at > 0 AND id IN (SELECT alert FROM channel_notes
			UNION SELECT alert FROM channel_told WHERE `+live+` AND state <> $1
			UNION SELECT instead FROM channel_told WHERE `+live+` AND state = $1)`, Swallowed)
}

// Whole reads alerts by their IDs, with all that they say, in no order.
func (q Queue) Whole(ctx context.Context, ids []string) ([]alerts.Alert, error) {
	return among[alerts.Alert](ctx, q.tx, `SELECT `+alertColumns+`, body FROM alerts WHERE id IN (?)`, ids)
}

// Notes lists what is to be told, the oldest first.
func (q Queue) Notes(ctx context.Context) ([]Note, error) {
	return rows[Note](ctx, q.tx, `SELECT id, channel, alert, event, at, due_at FROM channel_notes ORDER BY id`)
}

// Note adds notes; what is noted already stays as it is.
func (q Queue) Note(ctx context.Context, notes []Note) error {
	for _, n := range notes {
		if _, err := q.tx.NamedExecContext(ctx, `INSERT INTO channel_notes (id, channel, alert, event, at, due_at)
			VALUES (:id, :channel, :alert, :event, :at, :due_at) ON CONFLICT DO NOTHING`, n); err != nil {
			return err
		}
	}
	return nil
}

// Drop removes notes.
func (q Queue) Drop(ctx context.Context, ids []string) error {
	return q.each(ctx, `DELETE FROM channel_notes WHERE id IN (?)`, ids)
}

// live is the condition, as an index has it, that a channel knows of an alert and it is
// not over for the channel.
const live = `state IN ('open', 'swallowed', 'telling')`

// ToldOf lists what channels know of the alerts that Alerts lists.
func (q Queue) ToldOf(ctx context.Context) ([]Told, error) {
	const columns = `SELECT channel, alert, state, message, told_at, began_at, severity, instead, version FROM channel_told `
	return rows[Told](ctx, q.tx, columns+`WHERE `+live+` UNION `+columns+`WHERE alert IN
		(SELECT id FROM alerts WHERE ended_at = 0 UNION SELECT alert FROM channel_notes)`)
}

// Tell keeps what channels know.
func (q Queue) Tell(ctx context.Context, list []Told) error {
	for _, t := range list {
		if _, err := q.tx.NamedExecContext(ctx, `INSERT INTO channel_told
			(channel, alert, state, message, told_at, began_at, severity, instead, version)
			VALUES (:channel, :alert, :state, :message, :told_at, :began_at, :severity, :instead, :version)
			ON CONFLICT (channel, alert) DO UPDATE SET state = excluded.state, message = excluded.message, told_at = excluded.told_at,
			began_at = excluded.began_at, severity = excluded.severity, instead = excluded.instead, version = excluded.version`, t); err != nil {
			return err
		}
	}
	return nil
}

// Waiting lists the messages that wait, in their order, without what they say.
func (q Queue) Waiting(ctx context.Context) ([]Message, error) {
	return rows[Message](ctx, q.tx, `SELECT id, channel, event, state, created_at, next_at, tries, ended_at, answer, '[]' AS alerts,
		'' AS body, version FROM channel_messages WHERE state = $1 ORDER BY channel, id`, Waiting)
}

// Put adds a message, or changes one that waits.
func (q Queue) Put(ctx context.Context, m Message) error {
	_, err := q.tx.NamedExecContext(ctx, `INSERT INTO channel_messages
		(id, channel, event, state, created_at, next_at, tries, ended_at, answer, alerts, body, version)
		VALUES (:id, :channel, :event, :state, :created_at, :next_at, :tries, :ended_at, :answer, :alerts, :body, :version)
		ON CONFLICT (id) DO UPDATE SET next_at = excluded.next_at, created_at = excluded.created_at, alerts = excluded.alerts,
		body = excluded.body`, m)
	return err
}

// Hurry has a message that waits be tried at a moment.
func (q Queue) Hurry(ctx context.Context, id string, at int64) error {
	_, err := q.tx.ExecContext(ctx, `UPDATE channel_messages SET next_at = $1 WHERE id = $2 AND state = $3`, at, id, Waiting)
	return err
}

// UnsaidOf lists what channels were not told.
func (q Queue) UnsaidOf(ctx context.Context) ([]Unsaid, error) {
	return rows[Unsaid](ctx, q.tx, `SELECT channel, alerts, messages, since FROM channel_unsaid`)
}

// Unsay adds to what a channel was not told.
func (q Queue) Unsay(ctx context.Context, u Unsaid) error {
	_, err := q.tx.NamedExecContext(ctx, `INSERT INTO channel_unsaid (channel, alerts, messages, since)
		VALUES (:channel, :alerts, :messages, :since) ON CONFLICT (channel) DO UPDATE SET alerts = alerts + excluded.alerts,
		messages = messages + excluded.messages`, u)
	return err
}

// Say forgets what a channel was not told: a message says it.
func (q Queue) Say(ctx context.Context, channel string) error {
	_, err := q.tx.ExecContext(ctx, `DELETE FROM channel_unsaid WHERE channel = $1`, channel)
	return err
}

// A Slot is up to which moment a digest was sent to a channel.
type Slot struct {
	Channel string `db:"channel"`
	Digest  string `db:"digest"`
	Slot    int64  `db:"slot"`
}

// Slots lists up to which moments digests were sent.
func (q Queue) Slots(ctx context.Context) ([]Slot, error) {
	return rows[Slot](ctx, q.tx, `SELECT channel, digest, slot FROM channel_digests`)
}

// PutSlot keeps up to which moment a digest was sent.
func (q Queue) PutSlot(ctx context.Context, s Slot) error {
	_, err := q.tx.NamedExecContext(ctx, `INSERT INTO channel_digests (channel, digest, slot) VALUES (:channel, :digest, :slot)
		ON CONFLICT (channel, digest) DO UPDATE SET slot = excluded.slot`, s)
	return err
}

// DropSlot forgets a digest.
func (q Queue) DropSlot(ctx context.Context, s Slot) error {
	_, err := q.tx.NamedExecContext(ctx, `DELETE FROM channel_digests WHERE channel = :channel AND digest = :digest`, s)
	return err
}

func (q Queue) each(ctx context.Context, query string, ids []string) error {
	for len(ids) > 0 {
		n := min(len(ids), 500)
		text, args, err := sqlx.In(query, ids[:n])
		if err != nil {
			return err
		}
		if _, err := q.tx.ExecContext(ctx, sqlx.Rebind(sqlx.DOLLAR, text), args...); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

func rows[T any](ctx context.Context, q sqlx.QueryerContext, query string, args ...any) ([]T, error) {
	list := []T{}
	return list, scan.Select(ctx, q, &list, query, args...)
}

func among[T any](ctx context.Context, q sqlx.QueryerContext, query string, ids []string) ([]T, error) {
	var all []T
	for len(ids) > 0 {
		n := min(len(ids), 500)
		text, args, err := sqlx.In(query, ids[:n])
		if err != nil {
			return nil, err
		}
		list, err := rows[T](ctx, q, sqlx.Rebind(sqlx.DOLLAR, text), args...)
		if err != nil {
			return nil, err
		}
		all, ids = append(all, list...), ids[n:]
	}
	return all, nil
}
