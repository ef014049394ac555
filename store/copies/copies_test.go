package copies_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite"

	"github.com/restic-manager/restic-manager/store/copies"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func database(t *testing.T) (*sqlx.DB, string) {
	t.Helper()
	data := t.TempDir()
	db := must(sqlx.Open("sqlite", filepath.Join(data, "restic-manager.db")+"?_pragma=journal_mode(WAL)"))
	t.Cleanup(func() { _ = db.Close() })
	db.MustExec(`CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (1), (2), (3)`)
	return db, data
}

func TestACopyIsTheDatabaseOfOneMomentForItsOwnerAlone(t *testing.T) {
	db, data := database(t)
	tx := must(db.Beginx()) // that somebody writes does not hold it up, and what is not committed is not in it
	must(tx.Exec(`INSERT INTO t VALUES (4)`))
	c := must(copies.Make(t.Context(), db, data, copies.Upgrade, "s350", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(data, "copies", "restic-manager-upgrade-20260102T030405Z-s350.db"); c.Path != want || c.Bytes == 0 {
		t.Errorf("it is %+v, want %s", c, want)
	}
	if info := must(os.Stat(c.Path)); info.Mode().Perm() != 0o600 {
		t.Errorf("others can read it: %v", info.Mode())
	}
	if info := must(os.Stat(copies.Dir(data))); info.Mode().Perm() != 0o700 {
		t.Errorf("others can look at the copies: %v", info.Mode())
	}
	copied := must(sqlx.Open("sqlite", c.Path))
	var n int
	if err := errors.Join(copied.Get(&n, `SELECT count(*) FROM t`), copied.Close()); err != nil || n != 3 {
		t.Errorf("the copy has %d rows, %v", n, err)
	}
	if err := copies.Into(t.Context(), db, c.Path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("it is copied over a copy: %v", err)
	}
}

func TestAnInterruptedCopyIsNotListedAndGoesWithTheNext(t *testing.T) {
	db, data := database(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := copies.Make(ctx, db, data, copies.Daily, "", time.Now()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if left := must(os.ReadDir(copies.Dir(data))); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
	left := filepath.Join(copies.Dir(data), "restic-manager-daily-20260102T030405Z.db.partial")
	if err := os.WriteFile(left, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list := must(copies.List(data)); len(list) != 0 {
		t.Errorf("it lists %v", list)
	}
	must(copies.Make(t.Context(), db, data, copies.Daily, "", time.Now()))
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Error("what a crash left is still there")
	}
}

func TestSomeCopiesOfAKindAreKept(t *testing.T) {
	db, data := database(t)
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	must(copies.Make(t.Context(), db, data, copies.Upgrade, "", day.AddDate(-1, 0, 0)))
	for n := range 5 {
		must(copies.Make(t.Context(), db, data, copies.Daily, "", day.AddDate(0, 0, n)))
	}
	if err := os.WriteFile(filepath.Join(copies.Dir(data), "mine.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if removed := must(copies.Keep(data, copies.Daily, 2)); len(removed) != 3 || !removed[2].At.Equal(day) {
		t.Errorf("it removed %v", removed)
	}
	var got string
	for _, c := range must(copies.List(data)) {
		got += fmt.Sprintln(c.Kind, c.At.Format(time.DateOnly))
	}
	if got != "daily 2026-01-06\ndaily 2026-01-05\nupgrade 2025-01-02\n" {
		t.Errorf("there are\n%s", got)
	}
	if list, err := copies.List(t.TempDir()); len(list) != 0 || err != nil {
		t.Errorf("of nothing it lists %v, %v", list, err)
	}
}

// TestDailyCopiesDoNotFillADisk: a control plane holds new jobs when room is short, and its
// own copies are not to be the reason.
func TestDailyCopiesDoNotFillADisk(t *testing.T) {
	db, data := database(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 3 {
		must(copies.Make(t.Context(), db, data, copies.Daily, "", at.AddDate(0, 0, i)))
	}
	upgrade := must(copies.Make(t.Context(), db, data, copies.Upgrade, "", at))
	if gone := must(copies.Fewer(t.Context(), db, data, copies.Daily, 1)); len(gone) != 0 {
		t.Errorf("with room, %+v are removed", gone)
	}
	gone, err := copies.Fewer(t.Context(), db, data, copies.Daily, 1<<60)
	if !errors.Is(err, copies.ErrRoom) || len(gone) != 2 || !gone[0].At.Equal(at) {
		t.Errorf("without room, %+v are removed, and %v is said", gone, err)
	}
	left := must(copies.List(data))
	if len(left) != 2 || left[0].Kind != copies.Daily || !left[0].At.Equal(at.AddDate(0, 0, 2)) || left[1].Path != upgrade.Path {
		t.Errorf("left are %+v", left)
	}
}
