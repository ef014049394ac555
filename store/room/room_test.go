package room

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver
)

func TestWhyADatabaseCannotBeWritten(t *testing.T) {
	path := "file:" + filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec := func(query string) error { _, err := db.Exec(query); return err }
	if err := errors.Join(exec(`CREATE TABLE tried (id BIGINT PRIMARY KEY, at BIGINT)`), Try(t.Context(), db, 1)); err != nil {
		t.Fatal(err)
	}
	if err := exec(`INSERT INTO nowhere VALUES (1)`); err == nil || Why(err) != "" {
		t.Errorf("a statement that cannot be: %v, %q", err, Why(err))
	}
	if err := exec(`INSERT INTO tried VALUES (1, 1)`); err == nil || Why(err) != "" {
		t.Errorf("a row that is there: %v, %q", err, Why(err))
	}
	for _, c := range []struct {
		spoil, mend string
		want        Cause
	}{
		{"PRAGMA query_only = 1", "PRAGMA query_only = 0", ReadOnly},
		{"PRAGMA max_page_count = 1", "PRAGMA max_page_count = 100000", Full},
	} {
		if err := exec(c.spoil); err != nil {
			t.Fatal(err)
		}
		write := func() error {
			return exec(`INSERT INTO tried SELECT coalesce(max(id), 0) + 1, zeroblob(9000) FROM tried`)
		}
		if got := Why(fmt.Errorf("wrapped: %w", write())); got != c.want {
			t.Errorf("after %s: %q, want %q", c.spoil, got, c.want)
		}
		if err := errors.Join(exec(c.mend), write()); err != nil {
			t.Errorf("after %s: %v", c.mend, err)
		}
	}
	other, err := sql.Open("sqlite", path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if got := Why(Try(t.Context(), db, 2)); got != Locked {
		t.Errorf("while another writes: %q", got)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

func TestAGateIsWaitedForAndWaitsForNobody(t *testing.T) {
	g, goOn := NewGate(), make(chan struct{})
	done := false
	slow := func(context.Context) error { <-goOn; done = true; return nil }
	if err := g.Soon(t.Context(), time.Millisecond, slow); Why(err) != Locked {
		t.Errorf("a slow write: %v", err)
	}
	if err := g.Soon(t.Context(), time.Millisecond, func(context.Context) error { return nil }); Why(err) != Locked {
		t.Errorf("a write behind it: %v", err)
	}
	close(goOn)
	g.Wait()
	if !done {
		t.Error("the slow write was not waited for")
	}
	if err := g.Soon(t.Context(), time.Minute, func(context.Context) error { return sql.ErrNoRows }); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("a write that fails: %v", err)
	}
}
