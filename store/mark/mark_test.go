package mark_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite"

	"github.com/restic-manager/restic-manager/store/chain"
	"github.com/restic-manager/restic-manager/store/mark"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// a database with an audit log of some entries.
func database(t *testing.T, id string, epoch, schema int64, hashes ...byte) *sqlx.DB {
	t.Helper()
	db := must(sqlx.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	db.MustExec(`CREATE TABLE installation (id TEXT, epoch BIGINT); CREATE TABLE goose_db_version (version_id BIGINT);
		CREATE TABLE users (id TEXT); CREATE TABLE audit (n BIGINT, hash BYTEA)`)
	db.MustExec(`INSERT INTO installation VALUES ($1, $2)`, id, epoch)
	db.MustExec(`INSERT INTO goose_db_version VALUES (0), ($1)`, schema)
	db.MustExec(`INSERT INTO users VALUES ('anna')`)
	for n, b := range hashes {
		db.MustExec(`INSERT INTO audit VALUES ($1, $2)`, n+1, hash(b))
	}
	return db
}

func hash(b byte) []byte { return []byte(strings.Repeat(string(rune(b)), 32)) }

func TestAMarkIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.mark")
	if _, err := mark.Read(path); !errors.Is(err, fs.ErrNotExist) || !mark.Missing(path) {
		t.Errorf("without a file: %v", err)
	}
	for _, db := range []*sqlx.DB{database(t, "a", 7, 350), database(t, "a", 8, 351, 'x', 'y')} {
		m := must(mark.Of(t.Context(), db, 1700000000000))
		if err := m.Write(path); err != nil {
			t.Fatal(err)
		}
		got := must(mark.Read(path))
		if got.Audit.String() != m.Audit.String() || got.Database != "a" || got.Epoch != m.Epoch || got.Schema != m.Schema || got.Users != 1 ||
			got.At != m.At {
			t.Errorf("it reads %+v, was written %+v", got, m)
		}
		if info := must(os.Stat(path)); info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read it: %v", info.Mode())
		}
	}
	if left := must(os.ReadDir(filepath.Dir(path))); len(left) != 1 {
		t.Errorf("beside it is %v", left)
	}
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mark.Read(path); !errors.Is(err, mark.ErrDamaged) {
		t.Errorf("something else reads as a mark: %v", err)
	}
}

func TestAMarkThatCannotBeWrittenLeavesTheOneOfBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	path := filepath.Join(dir, "data.mark") // a directory in its place: a rename over it fails for any user
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (mark.Mark{Database: "a"}).Write(path); err == nil {
		t.Error("it is written over a directory")
	}
	if left := must(os.ReadDir(dir)); len(left) != 1 {
		t.Errorf("it left %v", left)
	}
}

func TestADatabaseIsComparedWithItsMark(t *testing.T) {
	m := mark.Mark{Database: "a", Epoch: 7, Schema: 350, Audit: chain.Head{N: 2, Hash: hash('y')}}
	for name, c := range map[string]struct {
		db   *sqlx.DB
		want error
	}{
		"as it was":              {database(t, "a", 7, 350, 'x', 'y'), nil},
		"further":                {database(t, "a", 9, 360, 'x', 'y', 'z'), nil},
		"cut off":                {database(t, "a", 7, 350, 'x'), mark.ErrBehind},
		"empty":                  {database(t, "a", 7, 350), mark.ErrBehind},
		"grown another way":      {database(t, "a", 7, 350, 'x', 'z', 'z'), mark.ErrBehind},
		"an older schema":        {database(t, "a", 7, 349, 'x', 'y'), mark.ErrBehind},
		"restored since":         {database(t, "a", 6, 350, 'x', 'y'), mark.ErrBehind},
		"another":                {database(t, "b", 7, 350, 'x', 'y'), mark.ErrOther},
		"another, further":       {database(t, "b", 7, 350, 'x', 'y', 'z'), mark.ErrOther},
		"nothing in the file":    {must(sqlx.Open("sqlite", ":memory:")), mark.ErrBehind},
		"an ID that was removed": {database(t, "", 7, 350, 'x', 'y'), mark.ErrBehind},
	} {
		if err := m.Check(t.Context(), c.db); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestAMarkIsBesideTheKey(t *testing.T) {
	for _, c := range []struct{ dir, key, want string }{
		{"/var/lib/rm", "", "/var/lib/rm.mark"},
		{"/var/lib/rm/", "", "/var/lib/rm.mark"},
		{"/var/lib/rm", "/etc/rm/secrets.key", "/etc/rm/secrets.mark"},
		{"/var/lib/rm", "/etc/rm/secrets", "/etc/rm/secrets.mark"},
	} {
		if got := mark.Path(c.dir, c.key); got != c.want {
			t.Errorf("the mark of %s with key %q is %s, want %s", c.dir, c.key, got, c.want)
		}
	}
	dir := filepath.Join(t.TempDir(), "data")
	if err := (mark.Mark{Database: "a"}).Write(dir + ".mark"); err != nil {
		t.Fatal(err)
	}
	if got := mark.Path(dir, "/etc/rm/key"); got != dir+".mark" {
		t.Errorf("where there is one beside the directory, it is %s", got)
	}
}
