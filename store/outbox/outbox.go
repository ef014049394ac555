// Package outbox keeps what is said to brokers that others listen to: what is retained
// there as it stands, and what is still to be said once. It knows no MQTT.
package outbox

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// A Retained is what is retained at a topic. Moments are Unix milliseconds.
type Retained struct {
	Outlet  string `db:"outlet"` // "" is all of them
	Topic   string `db:"topic"`  // below the outlet's root; with a leading / as it is
	Payload string `db:"payload"`
	N       int64  `db:"n"` // rises with each change of any row
	At      int64  `db:"at"`
}

// Cleared reports whether the topic is to be cleared.
func (r Retained) Cleared() bool { return r.Payload == "" }

// A Once is something that is said once.
type Once struct {
	N       int64        `db:"n"`
	Outlet  string       `db:"outlet"`
	Topic   string       `db:"topic"`
	Payload string       `db:"payload"`
	At      int64        `db:"at"`
	Job     topics.JobID `db:"job"` // whose end it says; then topic and payload are empty
}

// Rows are the rows of a database.
type Rows struct {
	R   sqlx.QueryerContext
	Tx  func(context.Context, func(*sqlx.Tx) error) error
	Now func() int64
}

// Newest is the number of the newest change.
func (r Rows) Newest(ctx context.Context) (n int64, err error) {
	return n, sqlx.GetContext(ctx, r.R, &n, `SELECT coalesce(max(n), 0) FROM outbox_retained`)
}

// Each calls f with every row, in the order of their changes.
func (r Rows) Each(ctx context.Context, f func(Retained)) (err error) {
	rows, err := r.R.QueryxContext(ctx, `SELECT * FROM outbox_retained ORDER BY n`)
	if err != nil {
		return fmt.Errorf("read what is retained: %w", err)
	}
	defer func() { _ = rows.Close() }() // what it would say, Err has said
	for rows.Next() {
		var row Retained
		if err := rows.StructScan(&row); err != nil {
			return fmt.Errorf("read what is retained: %w", err)
		}
		f(row)
	}
	return rows.Err()
}

// After lists what an outlet retains that changed after n, at most so many. The plus keeps
// SQLite from looking outlets up by the primary key: it would read and sort all rows for each
// of the batches in which they are said again.
func (r Rows) After(ctx context.Context, outlet string, n int64, most int) ([]Retained, error) {
	rows := []Retained{}
	err := scan.Select(ctx, r.R, &rows, `SELECT * FROM outbox_retained WHERE n > $1 AND +outlet IN ('', $2) ORDER BY n LIMIT $3`,
		n, outlet, most)
	if err != nil {
		return nil, fmt.Errorf("read what is retained: %w", err)
	}
	return rows, nil
}

// At returns what is retained at a topic; false is nothing.
func (r Rows) At(ctx context.Context, outlet, topic string) (Retained, bool, error) {
	rows := []Retained{}
	err := scan.Select(ctx, r.R, &rows, `SELECT * FROM outbox_retained WHERE outlet = $1 AND topic = $2`, outlet, topic)
	if err != nil || len(rows) == 0 {
		return Retained{}, false, err
	}
	return rows[0], true, nil
}

// Put writes rows and what is said once, all or none of it.
func (r Rows) Put(ctx context.Context, rows []Retained, onces []Once) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		if len(rows) > 0 {
			put, err := tx.PrepareContext(ctx, `INSERT INTO outbox_retained (outlet, topic, payload, n, at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (outlet, topic) DO UPDATE SET payload = excluded.payload, n = excluded.n, at = excluded.at`)
			if err != nil {
				return fmt.Errorf("write what is retained: %w", err)
			}
			defer func() { _ = put.Close() }() // with the transaction it is closed anyway
			for _, row := range rows {
				if _, err := put.ExecContext(ctx, row.Outlet, row.Topic, row.Payload, row.N, row.At); err != nil {
					return fmt.Errorf("write what is retained at %s: %w", row.Topic, err)
				}
			}
		}
		for _, o := range onces {
			if _, err := tx.NamedExecContext(ctx, `INSERT INTO outbox_once (outlet, topic, payload, at, job)
				VALUES (:outlet, :topic, :payload, :at, :job)`, o); err != nil {
				return fmt.Errorf("write what is said at %s: %w", o.Topic, err)
			}
		}
		return nil
	})
}

// Drop removes rows that are still as they were read.
func (r Rows) Drop(ctx context.Context, rows []Retained) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		for _, row := range rows {
			if _, err := tx.ExecContext(ctx, `DELETE FROM outbox_retained WHERE outlet = $1 AND topic = $2 AND n = $3`,
				row.Outlet, row.Topic, row.N); err != nil {
				return fmt.Errorf("remove what was cleared at %s: %w", row.Topic, err)
			}
		}
		return nil
	})
}

// Ended notes, in the transaction in which a job ends, that its end is to be said.
func Ended(ctx context.Context, tx sqlx.ExecerContext, job topics.JobID, now int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO outbox_once (outlet, topic, payload, at, job) VALUES ('', '', '', $1, $2)`, now, job)
	if err != nil {
		return fmt.Errorf("note that the end of job %s is to be said: %w", job, err)
	}
	return nil
}
