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
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/store/prepared"
	"github.com/restic-manager/restic-manager/store/triggers"
)

// Errors that every method may return.
var (
	ErrNotFound = errors.New("there is no such row")
	ErrConflict = errors.New("it exists already")
)

// Store is the open database. It is safe for concurrent use; whoever opens it closes
// it.
type Store struct {
	// LogLines is how many lines of each job's log are kept. Set it before using the
	// store.
	LogLines int
	// Mended has one sentence about each file whose permissions let others use it
	// when the store was opened.
	Mended []string

	w, r *sqlx.DB
	keys ring
	now  func() time.Time

	ended func(Slots, Job) error
	fired func(Slots, Job) error
}

const fileName = "restic-manager.db"

// Exists reports whether a directory holds a database, or a file beside it says that
// it should. If not, Open creates a new one.
func Exists(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, fileName))
	return err == nil || keyring.Expects(dir)
}

// Open opens the database in dir, or creates it with its key, and migrates it. key is
// the key file; "" is dir.key, beside the directory.
func Open(ctx context.Context, dir, keyFile string) (*Store, error) {
	return OpenWith(ctx, dir, keyring.Source{File: keyFile})
}

// OpenWith is Open with a key from any source. It returns [keyring.ErrKey] and writes
// nothing if the database is there without its key, or a key file without its
// database: continuing would lose secrets, or let a stranger set up a new
// installation.
func OpenWith(ctx context.Context, dir string, key keyring.Source) (*Store, error) {
	path := filepath.Join(dir, fileName)
	info, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
	m, err := keyring.Open(key, dir, path, fresh)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	s := &Store{LogLines: LogLines, keys: ring{keyring.NewRing(m)}, now: time.Now}
	if s.w, err = dial(path, 1); err != nil {
		return nil, err
	}
	if s.r, err = dial(path, max(4, runtime.NumCPU())); err != nil {
		return nil, errors.Join(err, s.w.Close())
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.Close())
	}
	m.NoteMade(dir)
	s.Mended = private.Dir(dir, fileName+"*", "*.lock")
	if m.File != "" {
		for _, said := range private.Files(m.File) {
			s.Mended = append(s.Mended, said+"; whoever read it can read every secret in a copy of the database: restic-manager key rotate "+
				"makes a new one")
		}
	}
	return s, nil
}

func dial(path string, conns int) (*sqlx.DB, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)"}}
	db, err := sqlx.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func (s *Store) prepare(ctx context.Context) error {
	if err := s.fits(ctx); err != nil {
		return err
	}
	if err := migrations.Up(ctx, s.w.DB); err != nil {
		return err
	}
	steps := []func(context.Context) error{s.protectAudit, s.putTriggers, s.catchUp, s.begin, s.checkCanary}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// putTriggers has the database note changes and keep counts by itself.
func (s *Store) putTriggers(ctx context.Context) error {
	return triggers.Put(ctx, s.w, slices.Concat(triggers.HostChanges(fleetHostColumns, append(slices.Clone(fleetJobColumns), "summary")),
		triggers.ScheduleChanges(), triggers.Tallies(), triggers.GroupFacts(facts.GroupColumns)))
}

// catchUp makes the facts of source groups anew that are out of date, some in each
// transaction: after an upgrade those of all groups are.
func (s *Store) catchUp(ctx context.Context) error {
	for {
		tx, err := s.w.BeginTxx(ctx, nil)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		n, err := facts.Update(ctx, prepared.In(tx), manyHosts, s.Now())
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil || n < manyHosts {
			return err
		}
	}
}

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

// Now returns the store's time in Unix milliseconds.
func (s *Store) Now() int64 { return s.now().UnixMilli() }

// tx runs a deed in a transaction and commits it unless it fails. The facts of the
// source groups that it changed are up to date then.
func (s *Store) tx(ctx context.Context, deed func(*sqlx.Tx) error) error {
	tx, err := s.w.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err = deed(tx)
	if err == nil {
		_, err = facts.Update(ctx, tx, 0, s.Now())
	}
	if err != nil {
		return errors.Join(ours(err), ignoreDone(tx.Rollback()))
	}
	return ours(tx.Commit())
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
	return rows, ours(sqlx.SelectContext(ctx, q, &rows, query, args...))
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
