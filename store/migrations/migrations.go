// Package migrations holds the database's schema: one SQL file per step, and what
// brings a database up to date.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
)

// Files are the steps, in the order of their numbers.
//
//go:embed *.sql
var Files embed.FS

// ErrNewer refuses a database that a later version of the program has brought up
// to date.
var ErrNewer = errors.New("the database was written by a newer version of restic-manager")

// Up brings a database up to date. It refuses one that has steps which this program
// does not know.
func Up(ctx context.Context, db *sql.DB) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, db, Files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	is, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	known := p.ListSources()
	if last := known[len(known)-1].Version; is > last {
		return fmt.Errorf("%w: it is at migration %d, and this version knows %d; install the newer version again, "+
			"or restore the data directory's backup from before the upgrade", ErrNewer, is, last)
	}
	_, err = p.Up(ctx)
	return err
}
