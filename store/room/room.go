// Package room says whether the database can be written, and if not, why: it tries,
// and it understands what SQLite answers.
package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// A Cause is why the database cannot be written; "" is that it can.
type Cause string

// Causes.
const (
	Full     Cause = "full"      // no space is left on its disk
	ReadOnly Cause = "read-only" // its file system or file is
	Fault    Cause = "fault"     // the disk answers with an error
	Locked   Cause = "locked"    // another process, or a long write of this one, holds it
)

// ErrSlow says that a write takes longer than was waited for. It goes on, and may
// still succeed.
var ErrSlow = errors.New("the database is busy with another write")

// Why returns why a statement failed, if the reason is that the database cannot be
// written now: the same statement will do when that is over. Otherwise it is "".
func Why(err error) Cause {
	var e *sqlite.Error
	switch {
	case errors.Is(err, ErrSlow):
		return Locked
	case !errors.As(err, &e):
		return ""
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return Full
	case sqlite3.SQLITE_READONLY:
		return ReadOnly
	case sqlite3.SQLITE_IOERR:
		if e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE { // the index of the log could not grow
			return Full
		}
		return Fault
	case sqlite3.SQLITE_CANTOPEN:
		return Fault
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return Locked
	}
	return ""
}

// Soon runs a write and returns its error, or after a while [ErrSlow]; then the write
// goes on with a context of its own, which lasts for so long again as SQLite waits for
// a lock. At most one write of a gate goes on: the others wait for it as long.
func (g *Gate) Soon(ctx context.Context, wait time.Duration, write func(context.Context) error) error {
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case g.one <- struct{}{}:
	case <-late.C:
		return ErrSlow
	case <-ctx.Done():
		return ctx.Err()
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	ended := make(chan error, 1)
	go func() {
		defer func() { <-g.one }()
		defer cancel()
		ended <- write(own)
	}()
	select {
	case err := <-ended:
		return err
	case <-late.C:
		return ErrSlow
	}
}

// A Gate lets one write through at a time, see [Gate.Soon].
type Gate struct{ one chan struct{} }

// NewGate returns an open gate.
func NewGate() *Gate { return &Gate{make(chan struct{}, 1)} }

// Wait returns when no write goes on.
func (g *Gate) Wait() {
	g.one <- struct{}{}
	<-g.one
}

// Try writes a row and commits it: the error says whether the database can be written.
func Try(ctx context.Context, db sqlx.ExecerContext, now int64) error {
	if _, err := db.ExecContext(ctx, `INSERT INTO tried (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = $1`, now); err != nil {
		return fmt.Errorf("try to write: %w", err)
	}
	return nil
}

// Shrink writes SQLite's log into the database and gives back its place, as far as
// nobody reads from it.
func Shrink(ctx context.Context, db sqlx.ExecerContext) error {
	if _, err := db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return fmt.Errorf("shrink the log: %w", err)
	}
	return nil
}
