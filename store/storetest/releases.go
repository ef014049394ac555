package storetest

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Databases of releases, filled by their own programs: build/oldrelease makes one.
//
//	schema6    d602d95
//	schema90   f90021b
//	schema120  d869a30
//	schema270  c5eac0e
//
//go:embed releases
var releases embed.FS

// Releases are the names of databases that Release unpacks, the oldest first.
var Releases = []string{"schema6", "schema90", "schema120", "schema270"}

// Password is the one of the people anna (admin), berta (operator) and carl (viewer,
// disabled if the release could) in a release's database.
const Password = "correct horse battery"

// Release puts the database of a release into dir, which is not there yet, and its key
// where store.Open looks for it.
func Release(t testing.TB, name, dir string) {
	t.Helper()
	packed, err := releases.ReadFile("releases/" + name + ".db.gz")
	if err != nil {
		t.Fatal(err)
	}
	key, err := releases.ReadFile("releases/" + name + ".key")
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	db, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string][]byte{filepath.Join(dir, "restic-manager.db"): db, dir + ".key": key} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
