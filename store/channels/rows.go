package channels

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/changes"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

const columns = `id, name, kind, settings, secrets, enabled, version, created_at, created_by, failing_since, last_ok_at, last_at,
	last_answer`

// An UnreadableError says that the secrets of one channel cannot be read, while the key is
// the right one: nothing can be sent there until they are entered again.
type UnreadableError struct {
	Channel string // its ID
	Name    string
	Err     error
}

// Error implements error.
func (e *UnreadableError) Error() string { return e.Say() + " (" + e.Err.Error() + ")" }

// Say says it in a sentence, without the error.
func (e *UnreadableError) Say() string {
	return "The secrets of the channel " + e.Name + " cannot be read. Enter them again."
}

// Unwrap returns why.
func (e *UnreadableError) Unwrap() error { return e.Err }

// Fields are all that somebody filled in, settings and secrets alike.
func (c Channel) Fields() map[string]string {
	all := map[string]string{}
	if c.Settings.V != nil {
		maps.Copy(all, *c.Settings.V)
	}
	maps.Copy(all, c.Secrets)
	return all
}

// List lists the channels by their names, without their secrets.
func (c Channels) List(ctx context.Context) ([]Channel, error) {
	rows := []Channel{}
	return rows, scan.Select(ctx, c.R, &rows, `SELECT `+columns+` FROM channels ORDER BY LOWER(name), id`)
}

// Get is a channel without its secrets, or ErrNone.
func (c Channels) Get(ctx context.Context, id string) (Channel, error) { return read(ctx, c.R, id) }

// Read is a channel with its secrets, ErrNone or an [UnreadableError], with the rest of
// the channel.
func (c Channels) Read(ctx context.Context, id string) (Channel, error) {
	row, err := read(ctx, c.R, id)
	if err == nil {
		err = c.open(ctx, c.R, &row)
	}
	return row, err
}

func read(ctx context.Context, q sqlx.QueryerContext, id string) (row Channel, err error) {
	err = sqlx.GetContext(ctx, q, &row, `SELECT `+columns+` FROM channels WHERE id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNone
	}
	return row, err
}

// open fills in a channel's secrets.
func (c Channels) open(ctx context.Context, q sqlx.QueryerContext, row *Channel) error {
	row.Secrets = map[string]string{}
	if len(row.Sealed) == 0 {
		return nil
	}
	plain, err := c.Open(ctx, q, row.ID, row.Sealed)
	if err == nil {
		if err = json.Unmarshal(plain, &row.Secrets); err != nil { // whose error would name what is there
			err = &UnreadableError{Channel: row.ID, Name: row.Name, Err: errors.New("they are not what was sealed")}
		}
		clear(plain)
	}
	var bad *UnreadableError
	if errors.As(err, &bad) {
		bad.Channel, bad.Name = row.ID, row.Name
	}
	return err
}

func (c Channels) seal(ctx context.Context, tx *sqlx.Tx, row *Channel) error {
	row.Sealed = []byte{}
	if len(row.Secrets) == 0 {
		return nil
	}
	plain, err := json.Marshal(row.Secrets)
	if err == nil {
		row.Sealed, err = c.Seal(ctx, tx, row.ID, plain)
	}
	return err
}

// Add adds a channel, with its secrets in clear.
func (c Channels) Add(ctx context.Context, actor string, row Channel) error {
	return c.Tx(ctx, func(tx *sqlx.Tx) error {
		if err := c.seal(ctx, tx, &row); err != nil {
			return err
		}
		if _, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO channels (`+columns+`) VALUES (:id, :name, :kind, :settings, :secrets, :enabled,
			:version, :created_at, :created_by, 0, 0, 0, '')`, row); err != nil {
			return fmt.Errorf("add channel: %w", err)
		}
		return c.Audit(ctx, tx, actor, "channel.created", row.ID, row.Name+" ("+row.Kind+")")
	})
}

// Edit changes a channel in one transaction with its entry in the audit log, which names
// no secret. Secrets that cannot be read do not keep it from being changed: edit finds
// none then, and they stay as they are in the row unless it sets some.
func (c Channels) Edit(ctx context.Context, actor, id string, edit func(*Channel) error) (row Channel, err error) {
	err = c.Tx(ctx, func(tx *sqlx.Tx) error {
		if row, err = read(ctx, tx, id); err != nil {
			return err
		}
		bad := c.open(ctx, tx, &row)
		if bad != nil && !errors.As(bad, new(*UnreadableError)) {
			return bad
		}
		was := row
		was.Secrets, was.Settings = maps.Clone(row.Secrets), column.JSON[map[string]string]{V: new(maps.Clone(settings(row)))}
		if err := edit(&row); err != nil {
			return err
		}
		if bad == nil || len(row.Secrets) > 0 {
			if err := c.seal(ctx, tx, &row); err != nil {
				return err
			}
		}
		row.Version++
		if _, err := sqlx.NamedExecContext(ctx, tx, `UPDATE channels SET name = :name, settings = :settings, secrets = :secrets,
			enabled = :enabled, version = :version WHERE id = :id`, row); err != nil {
			return fmt.Errorf("change channel: %w", err)
		}
		return c.Audit(ctx, tx, actor, "channel.changed", id, said(was, row))
	})
	return row, err
}

func settings(row Channel) map[string]string {
	if row.Settings.V == nil {
		return map[string]string{}
	}
	return *row.Settings.V
}

// said is what changed about a channel, without its secrets.
func said(was, now Channel) string {
	var l changes.List
	l.Text("name", was.Name, now.Name)
	l.Value("enabled", was.Enabled, now.Enabled)
	a, b := settings(was), settings(now)
	for _, name := range keys(a, b) {
		if name == "url" { // of which path and query may be what lets somebody in
			l.Secret(name, topics.Secret(a[name]), topics.Secret(b[name]))
			continue
		}
		l.Text(name, strings.ReplaceAll(a[name], "\n", ", "), strings.ReplaceAll(b[name], "\n", ", "))
	}
	for _, name := range keys(was.Secrets, now.Secrets) {
		l.Secret(name, topics.Secret(was.Secrets[name]), topics.Secret(now.Secrets[name]))
	}
	return l.Of(now.Name)
}

func keys(a, b map[string]string) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// Remove removes a channel with all that is to be told and was told there.
func (c Channels) Remove(ctx context.Context, actor, id string) error {
	return c.Tx(ctx, func(tx *sqlx.Tx) error {
		row, err := read(ctx, tx, id)
		if err != nil {
			return err
		}
		for _, query := range []string{
			`DELETE FROM channel_tries WHERE message IN (SELECT id FROM channel_messages WHERE channel = $1)`,
			`DELETE FROM channel_messages WHERE channel = $1`, `DELETE FROM channel_notes WHERE channel = $1`,
			`DELETE FROM channels WHERE id = $1`,
		} {
			if _, err := tx.ExecContext(ctx, query, id); err != nil {
				return fmt.Errorf("remove channel: %w", err)
			}
		}
		return c.Audit(ctx, tx, actor, "channel.removed", id, row.Name+" ("+row.Kind+")")
	})
}

// Answered notes in a channel's row how a try went, in the transaction that records the
// try.
func Answered(ctx context.Context, tx *sqlx.Tx, channel string, at int64, ok bool, answer string) error {
	query := `UPDATE channels SET last_at = $1, last_answer = $2,
		failing_since = CASE WHEN failing_since = 0 THEN $1 ELSE failing_since END WHERE id = $3`
	if ok {
		query = `UPDATE channels SET last_at = $1, last_answer = $2, failing_since = 0, last_ok_at = $1 WHERE id = $3`
	}
	_, err := tx.ExecContext(ctx, query, at, answer, channel)
	return err
}

// Tested records a test of a channel: a message that is over, with its one try.
func (c Channels) Tested(ctx context.Context, actor string, m Message, t Try) error {
	return c.Tx(ctx, func(tx *sqlx.Tx) error {
		row, err := read(ctx, tx, m.Channel)
		if err != nil {
			return err
		}
		m.Event, m.State, m.Tries, m.EndedAt, m.Answer = Test, GivenUp, 1, t.At+t.TookMS, t.Answer
		if t.OK {
			m.State = Sent
		}
		t.Message, t.N = m.ID, 1
		if _, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO channel_messages
			(id, channel, event, state, created_at, next_at, tries, ended_at, answer, alerts, body)
			VALUES (:id, :channel, :event, :state, :created_at, :next_at, :tries, :ended_at, :answer, :alerts, :body)`, m); err != nil {
			return err
		}
		if _, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO channel_tries (message, n, at, took_ms, ok, answer)
			VALUES (:message, :n, :at, :took_ms, :ok, :answer)`, t); err != nil {
			return err
		}
		if err := Answered(ctx, tx, m.Channel, t.At, t.OK, t.Answer); err != nil {
			return err
		}
		how := "it was answered"
		if !t.OK {
			how = "it failed"
		}
		return c.Audit(ctx, tx, actor, "channel.tested", row.ID, row.Name+": "+how)
	})
}

// A Delivery is a message with its tries, the first one first.
type Delivery struct {
	Message
	Tried []Try
}

// Deliveries lists what was told in a channel, the newest first: those before an ID, "" for
// the newest, at most so many.
func (c Channels) Deliveries(ctx context.Context, channel, before string, most int) ([]Delivery, error) {
	rows := []Message{}
	query, args := `SELECT * FROM channel_messages WHERE channel = $1 ORDER BY id DESC LIMIT $2`, []any{channel, most}
	if before != "" {
		query, args = `SELECT * FROM channel_messages WHERE channel = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, []any{channel, before, most}
	}
	if err := scan.Select(ctx, c.R, &rows, query, args...); err != nil {
		return nil, err
	}
	return c.tried(ctx, rows)
}

// tried are messages with their tries.
func (c Channels) tried(ctx context.Context, rows []Message) ([]Delivery, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	ids, all := []string{}, []Delivery{}
	for _, m := range rows {
		ids, all = append(ids, m.ID), append(all, Delivery{Message: m})
	}
	query, args, err := sqlx.In(`SELECT * FROM channel_tries WHERE message IN (?) ORDER BY message, n`, ids)
	if err != nil {
		return nil, err
	}
	tries := []Try{}
	if err := scan.Select(ctx, c.R, &tries, sqlx.Rebind(sqlx.DOLLAR, query), args...); err != nil {
		return nil, err
	}
	for _, t := range tries {
		i := slices.Index(ids, t.Message)
		all[i].Tried = append(all[i].Tried, t)
	}
	return all, nil
}
