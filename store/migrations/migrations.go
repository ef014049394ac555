// Package migrations holds the database's schema: one SQL file per step, and what
// brings a database up to date.
//
// Each step is one transaction, in which its number is written down, too: whoever is
// interrupted has the steps that were done whole, and goes on with the next.
package migrations

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// Files are the steps, in the order of their numbers.
//
//go:embed *.sql
var Files embed.FS

// Errors of a database that this program does not open as it is.
var (
	// ErrNewer is a database that has steps which this program does not know.
	ErrNewer = errors.New("this database was written by a newer restic-manager")
	// ErrOlder is a database that has not all steps that this program knows.
	ErrOlder = errors.New("this database was written by an older restic-manager")
	// ErrForeign is a database of another program.
	ErrForeign = errors.New("this is a database of another program")
)

// known are the numbers of the steps, sorted.
var known = func() []int64 {
	names, err := fs.Glob(Files, "*.sql")
	if err != nil {
		panic(err)
	}
	var list []int64
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			panic(err) // a file of ours without a number
		}
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}()

// Newest is the number of the newest step that this program knows.
func Newest() int64 { return known[len(known)-1] }

// A State is which steps a database has.
type State struct {
	At      int64   // the newest step that it has; 0 is an empty database
	Missing []int64 // steps that this program knows and it has not
}

// Look returns which steps a database has, and writes nothing. The error is ErrNewer if
// it has one that this program does not know, between others or after them, and
// ErrForeign if it has tables and not ours.
func Look(ctx context.Context, db *sql.DB) (s State, err error) {
	tables, err := column[string](ctx, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	if err != nil {
		return s, err
	}
	if len(tables) == 0 {
		return State{Missing: known}, nil
	}
	if !slices.Contains(tables, "goose_db_version") {
		slices.Sort(tables)
		return s, fmt.Errorf("%w: it has the tables %s", ErrForeign, few(tables))
	}
	has, err := column[int64](ctx, db, `SELECT version_id FROM goose_db_version WHERE is_applied AND version_id > 0`)
	if err != nil {
		return s, err
	}
	if len(has) > 0 && (!slices.Contains(tables, "meta") || !slices.Contains(tables, "hosts")) {
		return s, fmt.Errorf("%w: it has the tables %s", ErrForeign, few(tables))
	}
	unknown := without(has, known)
	s = State{Missing: without(known, has)}
	if len(has) > 0 {
		s.At = slices.Max(has)
	}
	if len(unknown) == 0 {
		return s, nil
	}
	n, install := slices.Max(unknown), "install that version again"
	// The table may be another one by then, or hold what no release calls itself.
	versions, err := column[string](ctx, db, `SELECT version FROM served WHERE schema >= $1 ORDER BY schema, first_at LIMIT 1`, n)
	if err == nil && len(versions) == 1 && versions[0] != "" && versions[0] != "dev" {
		install = "install version " + versions[0] + " or later"
	}
	return s, fmt.Errorf("%w (schema %d, this binary knows %d); %s", ErrNewer, n, Newest(), install)
}

func column[T any](ctx context.Context, db *sql.DB, query string, args ...any) (list []T, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// without returns what is in one list and not in another.
func without[T cmp.Ordered](list, other []T) (rest []T) {
	for _, v := range list {
		if !slices.Contains(other, v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// few names the first of a list.
func few(names []string) string {
	if len(names) > 4 {
		return strings.Join(names[:4], ", ") + fmt.Sprintf(" and %d others", len(names)-4)
	}
	return strings.Join(names, ", ")
}

// Up does the steps that a database has not, in the order of their numbers: also one
// with a lower number than others that it has. It calls each before every statement.
func Up(ctx context.Context, db *sql.DB, each func()) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, db, Files, goose.WithLogger(statements(each)), goose.WithVerbose(true),
		goose.WithAllowOutofOrder(true))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// statements is a logger that calls for each statement, which is how goose tells of
// them.
type statements func()

// Printf implements goose.Logger.
func (s statements) Printf(_ string, v ...any) {
	if len(v) > 0 && strings.HasPrefix(fmt.Sprint(v[0]), "Executing statement") {
		s()
	}
}

// Fatalf implements goose.Logger.
func (s statements) Fatalf(format string, v ...any) { s.Printf(format, v...) }
