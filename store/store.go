// Package store is the control plane's database: SQLite, with one file per kind of
// row and its queries beside it.
//
// It uses the IDs and states of package topics and the job journal of package
// protocol, and knows neither HTTP nor MQTT. Each exported method is a complete
// transaction. All writes go through one connection, reads through a pool; times are
// Unix milliseconds. Committed data is on disk (synchronous=FULL).
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/gauges"
	"github.com/restic-manager/restic-manager/store/inspect"
	"github.com/restic-manager/restic-manager/store/room"
	"github.com/restic-manager/restic-manager/store/scan"
)

// Errors that every method may return.
var (
	ErrNotFound = errors.New("there is no such row")
	ErrConflict = errors.New("it exists already")
	// ErrUnusable is a database file that cannot be read or written as it is. Its text
	// says what to do.
	ErrUnusable = inspect.ErrUnusable
)

// Store is the open database. It is safe for concurrent use; whoever opens it closes
// it.
type Store struct {
	// LogLines is how many lines of each job's log are kept. Set it before using the
	// store.
	LogLines int
	// Mended has a sentence about a key that lies in the data directory, and one about
	// each file whose permissions let others use it
	// when the store was opened.
	Mended []string

	// Copied is the copy that was made before the database was brought up to date, "" if
	// it was not.
	Copied string

	dir  string
	mark string // file
	w, r *sqlx.DB
	keys ring
	now  func() time.Time

	writes gauges.Meter

	ended func(Slots, Job) error
	fired func(Slots, Job) error
	judge func(Slots, Job) error
}

const fileName = "restic-manager.db"

// hasTable reports whether a table exists.
func (s *Store) hasTable(ctx context.Context, name string) (bool, error) {
	n, err := get[int](ctx, s.w, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1`, name)
	return n > 0, err
}

// Close closes the database. Nothing may use the store afterwards.
func (s *Store) Close() error { return errors.Join(s.r.Close(), s.w.Close()) }

// Ping returns an error if the database does not answer.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.r.GetContext(ctx, &one, `SELECT 1`)
}

// Try writes to the database. [room.Why] tells from the error why it cannot be written.
func (s *Store) Try(ctx context.Context) error { return room.Try(ctx, s.w, s.Now()) }

// Shrink gives back what the database's log takes on the disk, if nobody reads from it.
func (s *Store) Shrink(ctx context.Context) error { return room.Shrink(ctx, s.w) }

// Drafts returns the restores that people put together.
func (s *Store) Drafts() drafts.Drafts { return drafts.Drafts{R: s.r, Tx: s.tx, Now: s.Now} }

// Now returns the store's time in Unix milliseconds.
func (s *Store) Now() int64 { return s.now().UnixMilli() }

// tx runs a deed in a transaction and commits it unless it fails. The facts of the
// source groups that it changed are up to date then.
func (s *Store) tx(ctx context.Context, deed func(*sqlx.Tx) error) error {
	asked := time.Now()
	tx, err := s.w.BeginTxx(ctx, nil)
	if err != nil {
		s.writes.Failed()
		return fmt.Errorf("begin: %w", err)
	}
	err = deed(tx)
	if err == nil {
		_, err = facts.Update(ctx, tx, 0, s.Now())
	}
	if err != nil {
		return errors.Join(ours(err), ignoreDone(tx.Rollback()))
	}
	if err = tx.Commit(); err != nil {
		s.writes.Failed()
		return ours(err)
	}
	s.writes.Took(time.Since(asked))
	return nil
}

// Gauges are what is measured of the database, for programs that watch.
func (s *Store) Gauges() gauges.Gauges {
	return gauges.Gauges{R: s.r, File: filepath.Join(s.dir, fileName), Writes: &s.writes}
}

// ignoreMissing is nil for ErrNotFound.
func ignoreMissing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// ours translates the driver's errors into the package's.
func ours(err error) error {
	var e *sqlite.Error
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

// Hopeless reports whether an error is of what was to be stored, and not of the database
// or the moment: trying again would fail the same way.
func Hopeless(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG:
			return true
		}
		return false
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, sql.ErrTxDone) &&
		!errors.Is(err, sql.ErrConnDone) && !errors.Is(err, driver.ErrBadConn)
}

// get reads one row; ErrNotFound if there is none.
func get[T any](ctx context.Context, q sqlx.QueryerContext, query string, args ...any) (T, error) {
	var row T
	trace(ctx, query, args)
	return row, ours(sqlx.GetContext(ctx, q, &row, query, args...))
}

// all reads any number of rows.
func all[T any](ctx context.Context, q sqlx.QueryerContext, query string, args ...any) ([]T, error) {
	rows := []T{}
	trace(ctx, query, args)
	return rows, ours(scan.Select(ctx, q, &rows, query, args...))
}

// among reads the rows whose key is in a list, which is the first "?" of the query.
// It reads nothing for an empty list.
func among[T, K any](ctx context.Context, q sqlx.QueryerContext, query string, keys []K, args ...any) ([]T, error) {
	if len(keys) == 0 {
		return []T{}, nil
	}
	query, args, err := sqlx.In(query, append([]any{keys}, args...)...)
	if err != nil {
		return nil, err
	}
	return all[T](ctx, q, sqlx.Rebind(sqlx.DOLLAR, query), args...)
}

// one returns the condition that a column equals $1, or a condition that is always
// true if the value is empty. An OR in the query would make SQLite scan the table for
// one value, too.
func one[K ~string](column string, id K) string {
	if id == "" {
		return `$1 = ''`
	}
	return column + ` = $1`
}

// change runs a statement and returns ErrNotFound if it changed no row.
func change(ctx context.Context, tx sqlx.ExecerContext, query string, args ...any) error {
	r, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrNotFound)
	}
	return nil
}

// A List is a list of texts, kept as JSON.
type List = column.List
