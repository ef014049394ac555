package store

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/mark"
	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// A lived is a database that somebody has used: two users, and a mark.
func lived(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	storetest.Make(t, dir, Open)
	s := must(Open(t.Context(), dir, ""))
	for _, name := range []string{"anna", "berta"} {
		if err := s.AddUser(t.Context(), "cli", User{ID: topics.NewID(s.now()), Name: name, Role: Admin}); err != nil {
			t.Fatal(err)
		}
	}
	must(s.WriteMark(t.Context()))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// killed reads the files of a database while it is open, as they are when its program is
// killed, and puts them into another directory with the key and the mark.
func killed(t *testing.T, s *Store) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fileName, fileName + "-wal"} {
		write(t, filepath.Join(dir, name), must(os.ReadFile(filepath.Join(s.dir, name))))
	}
	for _, end := range []string{".key", ".mark"} {
		if b, err := os.ReadFile(s.dir + end); err == nil {
			write(t, dir+end, b)
		}
	}
	return dir
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADatabaseThatCannotBeUsedIsRefusedInWords(t *testing.T) {
	sql := func(text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			db := must(sqlx.Open("sqlite", filepath.Join(dir, fileName)))
			must(db.Exec(text))
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := func(change func(b []byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, fileName)
			write(t, path, change(must(os.ReadFile(path))))
		}
	}
	both := func(a, b func(t *testing.T, dir string)) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { a(t, dir); b(t, dir) }
	}
	lose := func(ends ...string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			for _, end := range ends {
				if err := os.Remove(dir + end); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	other := filepath.Join(t.TempDir(), "data")
	if err := must(Open(t.Context(), other, "")).Close(); err != nil { // not from the template, whose ID they all have
		t.Fatal(err)
	}
	replace := func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, fileName), must(os.ReadFile(filepath.Join(other, fileName))))
	}
	foreign := both(lose("/"+fileName), sql(`CREATE TABLE passwords (a TEXT); CREATE TABLE notes (b TEXT)`))
	for name, c := range map[string]struct {
		do   func(t *testing.T, dir string)
		want error
		say  []string
	}{
		"a newer one": {sql(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1);
			INSERT INTO served VALUES ('v9.1', 99999, 1, 1), ('v9.2', 99999, 2, 2)`), migrations.ErrNewer,
			[]string{"this database was written by a newer restic-manager (schema 99999, this binary knows ", "); install version v9.1 or later"}},
		"a newer one that names no version": {sql(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`), migrations.ErrNewer,
			[]string{"(schema 99999, this binary knows ", "install that version again"}},
		"a newer one without our tables of versions": {sql(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1);
			DROP TABLE served; CREATE TABLE served (who TEXT)`), migrations.ErrNewer, []string{"(schema 99999"}},
		"one with a step between ours that we do not know": {sql(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (305, 1)`),
			migrations.ErrNewer, []string{"(schema 305, this binary knows "}},
		"another program's": {foreign, migrations.ErrForeign,
			[]string{"has the tables notes, passwords", "--data"}},
		"another program's with the same kind of migrations": {both(foreign,
			sql(`CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY, version_id INTEGER, is_applied INTEGER, tstamp TEXT);
			INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1)`)), migrations.ErrForeign, []string{"another program"}},
		"garbage": {file(func(b []byte) []byte { return []byte(strings.Repeat("garbage\n", 1000)) }), ErrUnusable,
			[]string{"is no database", "restore-self"}},
		"a few bytes":         {file(func(b []byte) []byte { return b[:50] }), ErrUnusable, []string{"is no database"}},
		"an empty file":       {file(func(b []byte) []byte { return nil }), keyring.ErrKey, []string{"is empty", "2 users", "restore-self"}},
		"no file":             {lose("/" + fileName), keyring.ErrKey, []string{"is missing", "2 users", "restore-self"}},
		"no file and no key":  {lose("/"+fileName, ".key"), keyring.ErrKey, []string{"is missing", "its mark"}},
		"no file and no mark": {lose("/"+fileName, ".mark"), keyring.ErrKey, []string{"is missing or empty"}},
		"cut off": {file(func(b []byte) []byte { return b[:len(b)/2] }), ErrUnusable,
			[]string{"is damaged (it is cut off: ", ".recover"}},
		"a damaged page": {file(func(b []byte) []byte {
			for n := range 4000 {
				b[100+n] ^= 0x5a
			}
			return b
		}), ErrUnusable, []string{"is damaged", ".recover", "restore-self"}},
		"another installation's": {replace, mark.ErrOther, []string{"swapped", "remove the mark"}},
		"a mark that is none": {func(t *testing.T, dir string) { write(t, dir+".mark", []byte("x")) }, mark.ErrDamaged,
			[]string{"remove the file"}},
		"a directory": {func(t *testing.T, dir string) {
			lose("/"+fileName)(t, dir)
			if err := os.Mkdir(filepath.Join(dir, fileName), 0o700); err != nil {
				t.Fatal(err)
			}
		}, ErrUnusable, []string{"is not a file"}},
		"an empty database": {both(lose(".mark", "/"+fileName), sql(`PRAGMA journal_mode = WAL; CREATE TABLE x (a TEXT); DROP TABLE x`)),
			keyring.ErrKey, []string{"holds no table", "-wal"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := lived(t)
			c.do(t, dir)
			path := filepath.Join(dir, fileName)
			before, _ := os.ReadFile(path)
			s, err := Open(t.Context(), dir, "")
			if err == nil {
				_ = s.Close()
				t.Fatal("it is opened")
			}
			if !errors.Is(err, c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("it is refused by %v, want %v in one line", err, c.want)
			}
			for _, say := range c.say {
				if !strings.Contains(err.Error(), say) {
					t.Errorf("it does not say %q: %v", say, err)
				}
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("it was written to")
			}
		})
	}
}

// Where the end of the database is lost, the mark shows it.
func TestADatabaseThatLostItsEndIsRefusedUnlessThatIsAccepted(t *testing.T) {
	older := func(t *testing.T, _ *Store, dir string) {
		db := must(sqlx.Open("sqlite", filepath.Join(dir, fileName)))
		must(db.Exec(`DROP TRIGGER audit_keeps_delete; DELETE FROM audit WHERE n = (SELECT max(n) FROM audit);
			DELETE FROM users WHERE name = 'berta'`))
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wal := func(change func(b []byte) []byte) func(*testing.T, *Store, string) {
		return func(t *testing.T, _ *Store, dir string) {
			path := filepath.Join(dir, fileName+"-wal")
			write(t, path, change(must(os.ReadFile(path))))
		}
	}
	for name, c := range map[string]struct {
		do    func(t *testing.T, s *Store, dir string)
		right bool
	}{
		"killed, and nothing lost": {func(*testing.T, *Store, string) {}, true},
		"a -wal that is missing": {func(t *testing.T, _ *Store, dir string) {
			if err := os.Remove(filepath.Join(dir, fileName+"-wal")); err != nil {
				t.Fatal(err)
			}
		}, false},
		"an empty -wal":                {wal(func([]byte) []byte { return nil }), false},
		"a torn -wal":                  {wal(func(b []byte) []byte { return b[:len(b)-8000] }), false},
		"half a -wal":                  {wal(func(b []byte) []byte { return b[:len(b)/2] }), false},
		"a flipped -wal":               {wal(func(b []byte) []byte { b[len(b)-3000] ^= 1; return b }), false},
		"a flipped header of the -wal": {wal(func(b []byte) []byte { b[17] ^= 1; return b }), false},
		"an older copy":                {older, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := must(Open(t.Context(), lived(t), ""))
			t.Cleanup(func() { _ = s.Close() })
			for _, name := range []string{"carl", "dora", "emil"} {
				if err := s.AddUser(t.Context(), "cli", User{ID: topics.NewID(s.now()), Name: name, Role: Admin}); err != nil {
					t.Fatal(err)
				}
			}
			m := must(s.WriteMark(t.Context()))
			dir := killed(t, s)
			c.do(t, s, dir)
			again, err := Open(t.Context(), dir, "")
			if c.right {
				if err != nil {
					t.Fatal(err)
				}
				if n := len(must(again.Users(t.Context()))); n != 5 {
					t.Errorf("it has %d users", n)
				}
				_ = again.Close()
				return
			}
			if err == nil {
				_ = again.Close()
			}
			if !errors.Is(err, mark.ErrBehind) || !strings.Contains(err.Error(), "--accept-rollback") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("it is not refused: %v", err)
			}
			again, err = OpenWith(t.Context(), dir, Options{Upgrade: true, AcceptRollback: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = again.Close() })
			after := must(again.WriteMark(t.Context()))
			if after.Epoch <= m.Epoch || after.Database != m.Database {
				t.Errorf("the mark was %+v and is %+v", m, after)
			}
			if e := must(again.AuditEntries(t.Context(), AuditFilter{Action: "database.rollback_accepted"}, 9)); len(e) != 1 {
				t.Errorf("the audit log has %v", e)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
			if again, err = Open(t.Context(), dir, ""); err != nil {
				t.Errorf("it is refused once more: %v", err)
			} else {
				_ = again.Close()
			}
		})
	}
}

// Where all of the first day was in the -wal, nobody is asked to make the first account
// again.
func TestALostBeginningIsNoFirstRun(t *testing.T) {
	s := must(Open(t.Context(), filepath.Join(t.TempDir(), "data"), ""))
	t.Cleanup(func() { _ = s.Close() })
	if err := s.AddFirstUser(t.Context(), "anna", User{ID: topics.NewID(s.now()), Name: "anna", Role: Admin}); err != nil {
		t.Fatal(err)
	}
	if m, err := mark.Read(s.dir + ".mark"); err != nil || m.Users != 1 {
		t.Errorf("the mark is %+v, %v: whoever makes the first account has it written", m, err)
	}
	for _, marked := range []bool{true, false} {
		dir := killed(t, s)
		if err := os.Remove(filepath.Join(dir, fileName+"-wal")); err != nil {
			t.Fatal(err)
		}
		if !marked {
			if err := os.Remove(dir + ".mark"); err != nil {
				t.Fatal(err)
			}
		}
		if again, err := Open(t.Context(), dir, ""); err == nil {
			t.Errorf("marked %v: it is opened with %d users", marked, len(must(again.Users(t.Context()))))
			_ = again.Close()
		}
	}
}

// Only serve brings a database up to date.
func TestAnOlderDatabaseIsLeftToServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	storetest.Release(t, "schema270", dir)
	before := must(os.ReadFile(filepath.Join(dir, fileName)))
	s, err := OpenWith(t.Context(), dir, Options{})
	if err == nil {
		_ = s.Close()
	}
	if !errors.Is(err, migrations.ErrOlder) || !strings.Contains(err.Error(), "start restic-manager serve of this version once") {
		t.Errorf("it is not refused: %v", err)
	}
	if after := must(os.ReadFile(filepath.Join(dir, fileName))); string(after) != string(before) {
		t.Error("it was written to")
	}
	if list := must(copies.List(dir)); len(list) != 0 {
		t.Errorf("it was copied: %v", list)
	}
	if s, err = OpenWith(t.Context(), filepath.Join(t.TempDir(), "new"), Options{}); err != nil { // a new one may be made by any command
		t.Error(err)
	} else {
		_ = s.Close()
	}
}

// A step with a lower number than others that were done is done, too.
func TestAStepBetweenOthersIsMadeUpFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	storetest.Make(t, dir, Open)
	s := must(Open(t.Context(), dir, ""))
	must(s.w.Exec(`DELETE FROM goose_db_version WHERE version_id = 100; DROP TABLE host_changes`))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = must(Open(t.Context(), dir, ""))
	t.Cleanup(func() { _ = s.Close() })
	if has, err := s.hasTable(t.Context(), "host_changes"); !has || err != nil {
		t.Errorf("the table is not there: %v", err)
	}
	if s.Copied == "" {
		t.Error("no copy was made before")
	}
}

func TestALockedDatabaseSaysWho(t *testing.T) {
	dir := lived(t)
	db := must(sqlx.Open("sqlite", filepath.Join(dir, fileName)))
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	must(db.Exec(`PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE`))
	s, err := Open(t.Context(), dir, "")
	if err == nil {
		_ = s.Close()
	}
	if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "locked by another program") {
		t.Errorf("it says %v", err)
	}
}

// The size that the header names is right for what SQLite writes, or every database
// would be called cut off.
func TestTheHeaderSaysTheSize(t *testing.T) {
	dir := lived(t)
	b := must(os.ReadFile(filepath.Join(dir, fileName)))
	if got := int(binary.BigEndian.Uint16(b[16:])) * int(binary.BigEndian.Uint32(b[28:])); got != len(b) {
		t.Errorf("it says %d, the file has %d bytes", got, len(b))
	}
}
