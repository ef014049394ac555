package store

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/chain"
	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/store/storetest"
)

// counts are how many rows tables have whose rows nobody makes anew.
func counts(t *testing.T, db *sqlx.DB) map[string]int {
	t.Helper()
	n := map[string]int{}
	not := map[string]string{"repositories": ` WHERE id <> ''`} // a row that stands for none
	for _, table := range []string{"hosts", "users", "jobs", "job_lines", "snapshots", "audit", "schedules", "schedule_groups", "repositories",
		"source_groups", "api_tokens", "mqtt_users", "enroll_tokens"} {
		n[table] = must(get[int](t.Context(), db, `SELECT count(*) FROM `+table+not[table]))
	}
	return n
}

// shape is the tables, columns and indexes of a database.
func shape(t *testing.T, db *sqlx.DB) []string {
	t.Helper()
	return must(all[string](t.Context(), db, `SELECT m.name || '.' || c.name || ' ' || c.type || ' ' || c."notnull"
		|| ' ' || coalesce(c.dflt_value, '') || ' ' || c.pk
		FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name <> 'sqlite_sequence'
		UNION ALL SELECT 'index ' || name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite_%'
		UNION ALL SELECT 'trigger ' || name FROM sqlite_master WHERE type = 'trigger' ORDER BY 1`))
}

func TestEveryReleasesDatabaseIsBroughtUpToDate(t *testing.T) {
	fresh := storetest.Open(t, Open)
	want := shape(t, fresh.r)
	for _, name := range storetest.Releases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			storetest.Release(t, name, dir)
			db := must(dial(filepath.Join(dir, fileName), 1))
			before := counts(t, db)
			from := must(migrations.Look(t.Context(), db.DB))
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if before["hosts"] == 0 || before["jobs"] == 0 || before["users"] < 4 || before["audit"] < 10 || before["schedules"] == 0 {
				t.Fatalf("there is little in it: %v", before)
			}
			s := must(Open(t.Context(), dir, ""))
			t.Cleanup(func() { _ = s.Close() })
			if after := counts(t, s.r); !maps.Equal(before, after) {
				t.Errorf("it had %v, and has %v", before, after)
			}
			if got := shape(t, s.r); !slices.Equal(got, want) {
				t.Errorf("it is not of the shape that a new one has:\n%s", difference(got, want))
			}
			if found, err := s.Check(t.Context(), true); err != nil || found != nil {
				t.Errorf("it is damaged: %v, %v", found, err)
			}
			if rows := must(s.r.Queryx(`PRAGMA foreign_key_check`)); rows.Next() {
				t.Error("rows name others that are not there")
			}
			if _, err := s.VerifyAudit(t.Context(), chain.Head{}); err != nil {
				t.Error(err)
			}
			for _, r := range must(s.Repositories(t.Context())) {
				if access, err := s.RepositoryAccess(t.Context(), r.ID); err != nil || access.URL.Reveal() == "" || access.Password.Reveal() == "" {
					t.Errorf("the secrets of %s cannot be read: %v", r.Name, err)
				} else if len(access.Files) > 0 || r.Options.V != nil { // nobody pasted or set any yet
					t.Errorf("%s got files %v and options %v", r.Name, access.Files, r.Options.V)
				}
			}
			for _, h := range must(s.Hosts(t.Context())) {
				for _, g := range must(s.SourceGroups(t.Context(), h.ID)) {
					if g.Tuning.V != nil || !g.Topic().Tuning.IsZero() {
						t.Errorf("%s of %s got %+v", g.Name, h.Name, g.Tuning.V)
					}
				}
			}
			list := must(copies.List(dir))
			if len(list) != 1 || list[0].Path != s.Copied || !strings.HasSuffix(s.Copied, fmt.Sprintf("schema%d.db", from.At)) {
				t.Fatalf("copies are %v, it says %q", list, s.Copied)
			}
			copied := must(sqlx.Open("sqlite", s.Copied))
			t.Cleanup(func() { _ = copied.Close() })
			if kept := counts(t, copied); !maps.Equal(before, kept) || must(migrations.Look(t.Context(), copied.DB)).At != from.At {
				t.Errorf("the copy has %v, the database had %v", kept, before)
			}
		})
	}
}

func difference(got, want []string) string {
	var lines []string
	for _, l := range got {
		if !slices.Contains(want, l) {
			lines = append(lines, "+ "+l)
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			lines = append(lines, "- "+l)
		}
	}
	return strings.Join(lines, "\n")
}

// Each migration is interrupted after each of its statements, and before its number is
// written down: none of it is left, and the next start does all of it.
func TestAnUpgradeThatIsInterruptedAnywhereLeavesWholeSteps(t *testing.T) {
	fresh := storetest.Open(t, Open)
	want := shape(t, fresh.r)
	for _, name := range storetest.Releases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			storetest.Release(t, name, dir)
			path := filepath.Join(dir, fileName)
			db := must(dial(path, 1))
			before := counts(t, db)
			state := func() (missing int, master string) {
				s := must(migrations.Look(context.Background(), db.DB))
				return len(s.Missing), must(get[string](context.Background(), db, `SELECT group_concat(sql, char(10)) FROM (SELECT sql
					FROM sqlite_master WHERE name NOT LIKE 'interrupted%' ORDER BY name)`))
			}
			interrupted := 0
			for at := 1; ; at++ {
				missing, master := state()
				ctx, cancel := context.WithCancel(t.Context())
				n := 0
				err := migrations.Up(ctx, db.DB, func() {
					if n++; n == at {
						cancel()
					}
				})
				cancel()
				if err == nil {
					break
				}
				if interrupted++; interrupted > 2000 {
					t.Fatal(err)
				}
				left, now := state()
				switch {
				case left == missing && now != master:
					t.Fatalf("a migration that was interrupted before its statement %d left something: %v", at, err)
				case left < missing-1:
					t.Fatalf("%d migrations were done where one was to be", missing-left)
				case left == missing-1: // interrupted before the first statement of the next
					at = 1
				}
			}
			if missing, _ := state(); missing != 0 || interrupted < 3 {
				t.Errorf("%d are missing after %d interruptions", missing, interrupted)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			s := must(Open(t.Context(), dir, ""))
			t.Cleanup(func() { _ = s.Close() })
			if after := counts(t, s.r); !maps.Equal(before, after) {
				t.Errorf("it had %v, and has %v", before, after)
			}
			if got := shape(t, s.r); !slices.Equal(got, want) {
				t.Errorf("it is not of the shape that a new one has:\n%s", difference(got, want))
			}
			t.Logf("interrupted %d times", interrupted)
		})
	}
}

func TestAMigrationWhoseNumberCannotBeWrittenIsNotDone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	storetest.Release(t, storetest.Releases[0], dir)
	db := must(dial(filepath.Join(dir, fileName), 1))
	t.Cleanup(func() { _ = db.Close() })
	missing := must(migrations.Look(t.Context(), db.DB)).Missing
	for _, n := range missing {
		master := `SELECT group_concat(sql) FROM (SELECT sql FROM sqlite_master WHERE name <> 'refuse' ORDER BY name)`
		before := must(get[string](t.Context(), db, master))
		must(db.Exec(fmt.Sprintf(`CREATE TRIGGER refuse BEFORE INSERT ON goose_db_version WHEN new.version_id = %d
			BEGIN SELECT RAISE(ABORT, 'not this one'); END`, n)))
		if err := migrations.Up(t.Context(), db.DB, func() {}); err == nil || !strings.Contains(err.Error(), "not this one") {
			t.Fatalf("migration %d: %v", n, err)
		}
		left := must(migrations.Look(t.Context(), db.DB)).Missing
		after := must(get[string](t.Context(), db, master))
		if left[0] != n {
			t.Fatalf("migration %d is taken for done: %v are missing", n, left)
		}
		if n == missing[0] && after != before {
			t.Errorf("migration %d left something", n)
		}
		must(db.Exec(`DROP TRIGGER refuse`))
	}
	if err := migrations.Up(t.Context(), db.DB, func() {}); err != nil {
		t.Error(err)
	}
}

func TestNoMigrationLeavesTheTransaction(t *testing.T) {
	for _, name := range must(migrations.Files.ReadDir(".")) {
		text := string(must(migrations.Files.ReadFile(name.Name())))
		for _, word := range []string{"+goose NO TRANSACTION", "COMMIT;", "BEGIN;", "VACUUM", "PRAGMA "} {
			if strings.Contains(strings.ToUpper(text), strings.ToUpper(word)) {
				t.Errorf("%s has %s: it would not be done wholly or not at all", name.Name(), word)
			}
		}
	}
}

func TestAnUpgradeIsNotBegunWithoutRoomForItsCopy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	storetest.Release(t, "schema90", dir)
	if err := os.WriteFile(filepath.Join(dir, "copies"), nil, 0o600); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	s, err := Open(t.Context(), dir, "")
	if err == nil {
		_ = s.Close()
		t.Fatal("it is brought up to date without a copy")
	}
	db := must(dial(filepath.Join(dir, fileName), 1))
	t.Cleanup(func() { _ = db.Close() })
	if at := must(migrations.Look(t.Context(), db.DB)).At; at != 90 || !strings.Contains(err.Error(), "copied before that") {
		t.Errorf("it is at %d: %v", at, err)
	}
}
