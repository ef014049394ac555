// Package heartbeats keeps the addresses elsewhere that are told that all is well, and what
// is still to be said to them: a queue that outlives a restart.
package heartbeats

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// Errors.
var (
	// ErrNone is the error that there is no such heartbeat.
	ErrNone = errors.New("there is no such heartbeat")
	// ErrMoved is the error that somebody changed a heartbeat since it was read.
	ErrMoved = errors.New("somebody else changed it meanwhile")
)

// A Scope is whose heartbeat it is.
type Scope string

// The scopes.
const (
	OfPlane    Scope = "plane" // the control plane itself
	OfHost     Scope = "host"
	OfTag      Scope = "tag" // all hosts that have it
	OfSchedule Scope = "schedule"
)

// An Event is what is said of a backup.
type Event string

// The events.
const (
	Start   Event = "start"
	Success Event = "success"
	Fail    Event = "fail"
)

// A Heartbeat is an address that is told that all is well, and how that went. Moments are
// in Unix milliseconds; 0 is never.
type Heartbeat struct {
	ID           string        `db:"id"`
	Scope        Scope         `db:"scope"`
	Subject      string        `db:"subject"`       // the host's or the schedule's ID, the tag; "" for the plane
	Kind         string        `db:"kind"`          // whose service it is, "" if the address tells
	URL          topics.Secret `db:"-"`             // sealed in the row
	Every        int64         `db:"every_seconds"` // of the plane's
	Version      int64         `db:"version"`       // counts its changes
	ChangedAt    int64         `db:"changed_at"`
	ChangedBy    string        `db:"changed_by"`
	LastAt       int64         `db:"last_at"`
	LastOKAt     int64         `db:"last_ok_at"`
	LastAnswer   string        `db:"last_answer"`
	FailingSince int64         `db:"failing_since"`
	Failures     int64         `db:"failures"` // tries in a row that failed

	// Unread is why the address cannot be read; nil if it can.
	Unread error `db:"-"`
}

// A Row is a heartbeat with its address sealed.
type Row struct {
	Heartbeat
	Sealed []byte `db:"url"`
}

// A Ping is something that is still to be said.
type Ping struct {
	ID        int64        `db:"id"`
	Heartbeat string       `db:"heartbeat"`
	Event     Event        `db:"event"`
	Job       topics.JobID `db:"job"`
	At        int64        `db:"at"`
	Tries     int64        `db:"tries"`
	NextAt    int64        `db:"next_at"`
}

// List lists all heartbeats: the plane's first, then by scope and subject.
func List(ctx context.Context, q sqlx.QueryerContext) ([]Row, error) {
	rows := []Row{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM heartbeats ORDER BY scope <> 'plane', scope, subject`)
}

// Find returns the heartbeat of a scope and subject.
func Find(ctx context.Context, q sqlx.QueryerContext, scope Scope, subject string) (Row, error) {
	rows := []Row{}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM heartbeats WHERE scope = $1 AND subject = $2`, scope, subject); err != nil {
		return Row{}, fmt.Errorf("heartbeat: %w", err)
	}
	if len(rows) == 0 {
		return Row{}, ErrNone
	}
	return rows[0], nil
}

// Put writes a heartbeat with a new address: what is known of the old one goes, with what
// was still to be said to it.
func Put(ctx context.Context, tx sqlx.ExtContext, r Row) error {
	if err := forget(ctx, tx, r.ID); err != nil {
		return err
	}
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO heartbeats (id, scope, subject, kind, url, every_seconds, version, changed_at,
			changed_by, last_at, last_ok_at, last_answer, failing_since, failures)
		VALUES (:id, :scope, :subject, :kind, :url, :every_seconds, :version, :changed_at, :changed_by, 0, 0, '', 0, 0)
		ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, url = excluded.url, every_seconds = excluded.every_seconds,
			version = excluded.version, changed_at = excluded.changed_at, changed_by = excluded.changed_by, last_at = 0, last_ok_at = 0,
			last_answer = '', failing_since = 0, failures = 0`, r)
	if err != nil {
		return fmt.Errorf("put a heartbeat: %w", err)
	}
	return nil
}

// Drop removes a heartbeat and what was still to be said to it.
func Drop(ctx context.Context, tx sqlx.ExtContext, id string) error {
	if err := forget(ctx, tx, id); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM heartbeats WHERE id = $1`, id); err != nil {
		return fmt.Errorf("drop a heartbeat: %w", err)
	}
	return nil
}

func forget(ctx context.Context, tx sqlx.ExecerContext, id string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM heartbeat_pings WHERE heartbeat = $1`, id); err != nil {
		return fmt.Errorf("drop the pings of a heartbeat: %w", err)
	}
	return nil
}

// Said writes down how a try went, if the heartbeat is still the one that was tried.
func Said(ctx context.Context, tx sqlx.ExtContext, h Heartbeat) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `UPDATE heartbeats SET last_at = :last_at, last_ok_at = :last_ok_at,
		last_answer = :last_answer, failing_since = :failing_since, failures = :failures WHERE id = :id AND version = :version`, h)
	if err != nil {
		return fmt.Errorf("how a heartbeat went: %w", err)
	}
	return nil
}
