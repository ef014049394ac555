package scan_test

import (
	"database/sql"
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // the driver

	"github.com/restic-manager/restic-manager/store/scan"
)

type size struct {
	Name  string `db:"name"`
	Bytes int64  `db:"bytes"`
}

// TestRowsAreReadAsSqlxReadsThem compares lists, and what becomes of a list that was
// there, of one without rows and of columns that have no field.
func TestRowsAreReadAsSqlxReadsThem(t *testing.T) {
	db, err := sqlx.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE sizes (name TEXT, bytes INTEGER);
		INSERT INTO sizes VALUES ('letters', 1), ('photos', 2), (NULL, 3)`); err != nil {
		t.Fatal(err)
	}
	compare(t, db, []size{{"old", 7}}, `SELECT * FROM sizes WHERE name IS NOT NULL ORDER BY bytes`)
	compare(t, db, []size(nil), `SELECT * FROM sizes WHERE bytes > $1`, 10)
	compare(t, db, []size{}, `SELECT * FROM sizes WHERE bytes > $1`, 10)
	compare(t, db, []string(nil), `SELECT name FROM sizes WHERE bytes < $1 ORDER BY name`, 3)
	compare(t, db, []sql.NullString(nil), `SELECT name FROM sizes ORDER BY bytes`)
	compare(t, db, []string(nil), `SELECT name FROM sizes ORDER BY bytes`)                   // NULL is no string
	compare(t, db, []size(nil), `SELECT name, bytes, 1 AS more FROM sizes WHERE bytes = 1`)  // there is no such field
	compare(t, db, []string(nil), `SELECT name, bytes FROM sizes WHERE bytes = 1`)           // two columns are no string
	compare(t, db, []size(nil), `SELECT name, bytes FROM elsewhere`)                         // there is no such table
	compare(t, db, []size(nil), `SELECT abs(-9223372036854775807 - 1) AS bytes, '' AS name`) // it fails at the first row
}

func compare[T comparable](t *testing.T, db *sqlx.DB, before []T, query string, args ...any) {
	t.Helper()
	want, got := slices.Clone(before), slices.Clone(before)
	bad := sqlx.SelectContext(t.Context(), db, &want, query, args...)
	err := scan.Select(t.Context(), db, &got, query, args...)
	if (err != nil) != (bad != nil) {
		t.Errorf("%s: %v; of sqlx %v", query, err, bad)
	}
	if err == nil && (!slices.Equal(got, want) || (got == nil) != (want == nil)) {
		t.Errorf("%s: %v; of sqlx %v", query, got, want)
	}
}
