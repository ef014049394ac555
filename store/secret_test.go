package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/topics"
)

// vaults are repositories with a secret in every field.
func vaults(t *testing.T, s *Store, n int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("vault-%04d", i)
		if err := s.AddRepository(t.Context(), "test", Repository{ID: topics.RepositoryID(id), Name: id, Location: "/srv"},
			secretsOf(id)); err != nil {
			t.Fatal(err)
		}
	}
}

func secretsOf(id string) RepositoryAccess {
	return RepositoryAccess{URL: topics.Secret("rest:http://u:p-" + id + "@nas/"), Password: topics.Secret("password of " + id),
		Env: map[string]topics.Secret{"AWS_SECRET_ACCESS_KEY": topics.Secret("key of " + id)}}
}

// mustReadAll opens a database, insists that every secret is there, and leaves it.
func mustReadAll(t *testing.T, dir string, key keyring.Source, vaults int) {
	t.Helper()
	s, err := OpenWith(t.Context(), dir, Options{Key: key, Upgrade: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows := must(s.Repositories(t.Context()))
	if len(rows) != vaults {
		t.Fatalf("%d repositories, want %d", len(rows), vaults)
	}
	for _, r := range rows {
		if a, err := s.RepositoryAccess(t.Context(), r.ID); err != nil || !reflect.DeepEqual(a, secretsOf(string(r.ID))) {
			t.Errorf("the secrets of %s: %v", r.ID, err)
		}
	}
	if b, err := s.Secret(t.Context(), "ca_key", func() ([]byte, error) {
		return nil, errors.New("it has gone")
	}); err != nil || string(b) != "a CA's key" {
		t.Errorf("the CA's key: %q, %v", b, err)
	}
}

func populated(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s := must(Open(t.Context(), dir, ""))
	vaults(t, s, n)
	must(s.Secret(t.Context(), "ca_key", func() ([]byte, error) { return []byte("a CA's key"), nil }))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// old makes a database as it was before there were data keys: every secret is
// sealed with the key in the file.
func old(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	if err := errors.Join(os.MkdirAll(dir, 0o700), keyring.NewFile(keyring.Beside(dir))); err != nil {
		t.Fatal(err)
	}
	key := must(hex.DecodeString(strings.TrimSpace(string(must(os.ReadFile(keyring.Beside(dir)))))))
	aead := must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(key))))
	db := must(dial(filepath.Join(dir, fileName), 1))
	defer db.Close()
	if _, err := must(goose.NewProvider(goose.DialectSQLite3, db.DB, migrations.Files)).UpTo(t.Context(),
		6); err != nil {
		t.Fatal(err)
	}
	seal := func(table, row, column, plain string) []byte {
		return aead.Seal(nil, nil, []byte(plain), keyring.Place(table, row, column))
	}
	for name, plain := range map[string]string{"canary": "restic-manager", "ca_key": "a CA's key"} {
		db.MustExec(`INSERT INTO meta (name, value) VALUES ($1, $2)`, name, seal("meta", name, "value", plain))
	}
	for i := range n {
		id := fmt.Sprintf("vault-%04d", i)
		a := secretsOf(id)
		db.MustExec(`INSERT INTO repositories (id, name, location, created_at, url, password, env) VALUES ($1, $1, '/srv', 0, $2, $3, $4)`, id,
			seal("repositories", id, "url", a.URL.Reveal()), seal("repositories", id, "password", a.Password.Reveal()),
			seal("repositories", id, "env", `{"AWS_SECRET_ACCESS_KEY":"key of `+id+`"}`))
	}
	return dir
}

func TestADatabaseFromBeforeDataKeysIsTakenOver(t *testing.T) {
	dir := old(t, 3)
	mustReadAll(t, dir, keyring.Source{}, 3)
	mustReadAll(t, dir, keyring.Source{}, 3)
	db := must(dial(filepath.Join(dir, fileName), 1))
	defer db.Close()
	if n := must(get[int](t.Context(), db, `SELECT count(*) FROM data_keys`)); n != 1 {
		t.Errorf("%d data keys, want one", n)
	}
	m := must(keyring.Read(keyring.Beside(dir)))
	for _, c := range sealedColumns {
		for _, b := range must(all[[]byte](t.Context(), db, `SELECT `+c.column+` FROM `+c.table)) {
			if len(b) == 0 {
				continue // there is none
			}
			if _, ok := keyring.SealedBy(b); !ok {
				t.Errorf("a secret of %s.%s is not sealed with a data key", c.table, c.column)
			}
			if _, err := m.OpenOld(keyring.Place(c.table, "canary", c.column), b); err == nil {
				t.Errorf("a secret of %s.%s is sealed with the master key", c.table, c.column)
			}
		}
	}
}

func TestAWrongKeyChangesNothing(t *testing.T) {
	wrong := topics.Secret(strings.Repeat("ab", 32))
	for name, dir := range map[string]string{"a database": populated(t, 1), "an old database": old(t, 1)} {
		path := filepath.Join(dir, fileName)
		before := must(os.ReadFile(path))
		other := filepath.Join(t.TempDir(), "other.key")
		if err := keyring.NewFile(other); err != nil {
			t.Fatal(err)
		}
		for how, key := range map[string]keyring.Source{
			"another's file": {File: other},
			"a missing file": {File: filepath.Join(t.TempDir(), "nowhere")},
			"a wrong key":    {Given: wrong, From: "the environment"},
			"half a key":     {Given: wrong[:40], From: "the environment"},
		} {
			s, err := OpenWith(t.Context(), dir, Options{Key: key, Upgrade: true})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, keyring.ErrKey) || strings.Contains(err.Error(), wrong.Reveal()[:40]) {
				t.Errorf("%s with %s: %v", name, how, err)
			}
			if !bytes.Equal(before, must(os.ReadFile(path))) {
				t.Errorf("%s with %s: it was written to", name, how)
			}
			if left := must(filepath.Glob(path + "-*")); len(left) > 0 {
				t.Errorf("%s with %s: there is %v now", name, how, left)
			}
		}
		mustReadAll(t, dir, keyring.Source{}, 1)
	}
}

func TestAKeyMayBeGiven(t *testing.T) {
	given := keyring.Source{Given: topics.Secret(strings.Repeat("0123456789abcdef", 4)), From: "the environment"}
	dir := filepath.Join(t.TempDir(), "data")
	s := must(OpenWith(t.Context(), dir, Options{Key: given, Upgrade: true}))
	vaults(t, s, 1)
	must(s.Secret(t.Context(), "ca_key", func() ([]byte, error) { return []byte("a CA's key"), nil }))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(keyring.Beside(dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a key file, too: %v", err)
	}
	mustReadAll(t, dir, given, 1)
	if s, err := Open(t.Context(), dir, ""); !errors.Is(err, keyring.ErrKey) {
		t.Errorf("without it: %v", err)
		if err == nil {
			_ = s.Close()
		}
	}
	// Without its volume, a mount point is an empty directory.
	if err := os.Rename(dir, dir+".elsewhere"); err != nil {
		t.Fatal(err)
	}
	for _, there := range []bool{false, true} {
		if there {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		s, err := OpenWith(t.Context(), dir, Options{Key: given, Upgrade: true})
		if !errors.Is(err, keyring.ErrKey) || !strings.Contains(err.Error(), "mount its volume") {
			t.Errorf("a new database is begun where one was: %v", err)
			if err == nil {
				_ = s.Close()
			}
		}
		if left := must(filepath.Glob(filepath.Join(dir, "*"))); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
	}
	// A lost database is noticed where a file shows that there was one.
	lost := populated(t, 0)
	if err := os.RemoveAll(lost); err != nil {
		t.Fatal(err)
	}
	if s, err := OpenWith(t.Context(), lost, Options{Key: given, Upgrade: true}); !errors.Is(err, keyring.ErrKey) {
		t.Errorf("beside another's key file a new database is begun: %v", err)
		if err == nil {
			_ = s.Close()
		}
	}
	if _, err := os.Stat(lost); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestASecretOpensOnlyInItsPlace(t *testing.T) {
	s := open(t)
	vaults(t, s, 2)
	for _, move := range []string{
		`UPDATE repositories SET password = (SELECT password FROM repositories WHERE id = 'vault-0001') WHERE id = 'vault-0000'`,
		`UPDATE repositories SET password = url WHERE id = 'vault-0000'`,
		`UPDATE repositories SET password = X'00' WHERE id = 'vault-0000'`,
		`UPDATE repositories SET password = (SELECT wrapped FROM data_keys) WHERE id = 'vault-0000'`,
		`UPDATE repositories SET password = X'01FFFFFFFFFFFFFFFF' || substr(password, 10) WHERE id = 'vault-0000'`,
	} {
		if _, err := s.w.Exec(move); err != nil {
			t.Fatal(err)
		}
		if _, err := s.RepositoryAccess(t.Context(), "vault-0000"); !errors.Is(err, keyring.ErrKey) {
			t.Errorf("after %s: %v", move, err)
		}
	}
}

// notSealed are the columns of bytes that hold no secret.
var notSealed = []string{"data_keys.wrapped", "hosts.seal_key", "enroll_tokens.key_hash", "enroll_keys.key_hash", "password_links.key_hash",
	"sessions.data", "api_tokens.key_hash", "mqtt_users.key_hash", "audit.hash"}

func TestEveryColumnOfBytesIsSealedOrKnownNotToBe(t *testing.T) {
	s := open(t)
	type column struct {
		Table string `db:"t"`
		Name  string `db:"c"`
	}
	columns := must(all[column](t.Context(), s.r, `SELECT m.name AS t, p.name AS c FROM sqlite_master m, pragma_table_info(m.name) p
		WHERE m.type = 'table' AND p.type IN ('BYTEA', 'BLOB')`))
	if len(columns) < len(sealedColumns) {
		t.Fatalf("there are %v", columns)
	}
	for _, c := range columns {
		sealed := slices.ContainsFunc(sealedColumns, func(x struct{ table, key, column string }) bool {
			return x.table == c.Table && x.column == c.Name
		})
		if !sealed && !slices.Contains(notSealed, c.Table+"."+c.Name) {
			t.Errorf("%s.%s is neither in sealedColumns, so that it is sealed anew with the others, nor known to hold no secret", c.Table, c.Name)
		}
	}
}

// childVariable names the database in which a process of its own changes keys.
const childVariable = "RESTIC_MANAGER_TEST_ROTATES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		changeKeys(dir)
		return
	}
	os.Exit(m.Run())
}

func changeKeys(dir string) {
	s := must(Open(context.Background(), dir, ""))
	must(s.RotateKeys(context.Background(), "test", ""))
	if err := s.Close(); err != nil {
		panic(err)
	}
}

// rotate changes keys in another process, and reports whether it was killed.
func rotate(t *testing.T, dir, point string) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir, failpoint.Variable+"="+point)
	out, err := cmd.CombinedOutput()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if killed = status.Signaled() && status.Signal() == syscall.SIGKILL; !killed && err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return killed
}

func TestAChangeOfKeysSurvivesAnything(t *testing.T) {
	const n = 3
	points := []string{"rotate-admitted", "rotate-in-place", "rotate-data-key", "rotate-retired"}
	secrets := 2 + 3*n // canary and CA key, three of each repository
	for i := range secrets {
		points = append(points, fmt.Sprintf("rotate-row:%d", i+1))
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dir := populated(t, n)
			key := must(os.ReadFile(keyring.Beside(dir)))
			before := stateOf(t, dir)
			if !rotate(t, dir, point) {
				t.Fatalf("it did not come by %s", point)
			}
			mustReadAll(t, dir, keyring.Source{}, n)
			if rotate(t, dir, "") {
				t.Fatal("it was killed without a failpoint")
			}
			mustReadAll(t, dir, keyring.Source{}, n)
			after := stateOf(t, dir)
			if len(after.masters) != 1 || len(after.data) != 1 || after.masters[0] == before.masters[0] || after.data[0] == before.data[0] {
				t.Errorf("keys were %v and are %v", before, after)
			}
			if left := must(filepath.Glob(filepath.Dir(dir) + "/*")); len(left) != 2 {
				t.Errorf("there is %v", left)
			}
			if s, err := OpenWith(t.Context(), dir, Options{Key: keyring.Source{Given: topics.Secret(bytes.TrimSpace(key)),
				From: "the old key"}}); !errors.Is(err, keyring.ErrKey) {
				t.Errorf("the old key still opens it: %v", err)
				if err == nil {
					_ = s.Close()
				}
			}
			if b := must(os.ReadFile(filepath.Join(dir, fileName))); bytes.Contains(b, []byte(before.data[0])) {
				// Its name is in the audit log only if a change came to its end before.
				for _, e := range auditOf(t, dir) {
					b = bytes.ReplaceAll(b, []byte(e.Target), nil)
				}
				if bytes.Contains(b, []byte(before.data[0])) {
					t.Errorf("the old data key is still in the file")
				}
			}
		})
	}
}

type keyState struct{ masters, data []string }

func stateOf(t *testing.T, dir string) (k keyState) {
	t.Helper()
	db := must(dial(filepath.Join(dir, fileName), 1))
	defer db.Close()
	k.masters = must(all[string](t.Context(), db, `SELECT DISTINCT master FROM data_keys`))
	k.data = must(all[string](t.Context(), db, `SELECT DISTINCT id FROM data_keys`))
	return k
}

func auditOf(t *testing.T, dir string) []AuditEntry {
	t.Helper()
	db := must(dial(filepath.Join(dir, fileName), 1))
	defer db.Close()
	return must(all[AuditEntry](t.Context(), db, `SELECT * FROM audit ORDER BY n`))
}

func TestAGivenKeyIsChangedInTwoSteps(t *testing.T) {
	given := keyring.Source{Given: topics.Secret(strings.Repeat("0123456789abcdef", 4)), From: "the environment"}
	dir := filepath.Join(t.TempDir(), "data")
	change := func(key keyring.Source, file string) (Rotated, error) {
		s := must(OpenWith(t.Context(), dir, Options{Key: key, Upgrade: true}))
		defer s.Close()
		return s.RotateKeys(t.Context(), "test", file)
	}
	s := must(OpenWith(t.Context(), dir, Options{Key: given, Upgrade: true}))
	vaults(t, s, 2)
	must(s.Secret(t.Context(), "ca_key", func() ([]byte, error) { return []byte("a CA's key"), nil }))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := change(given, ""); err == nil || !strings.Contains(err.Error(), "--new-key-file") {
		t.Errorf("without a file: %v", err)
	}
	file := filepath.Join(t.TempDir(), "new.key")
	for range 2 {
		if r, err := change(given, file); err != nil || r.NewKeyFile != file {
			t.Fatalf("first step: %v, %v", r, err)
		}
		mustReadAll(t, dir, given, 2)
	}
	next := keyring.Source{Given: topics.Secret(strings.TrimSpace(string(must(os.ReadFile(file))))), From: "the environment"}
	if _, err := hex.DecodeString(next.Given.Reveal()); err != nil || next.Given == given.Given {
		t.Fatalf("the new key: %v", err)
	}
	mustReadAll(t, dir, next, 2)
	if r, err := change(next, ""); err != nil || r.NewKeyFile != "" || r.Resealed != 8 {
		t.Errorf("second step: %+v, %v", r, err)
	}
	mustReadAll(t, dir, next, 2)
	if s, err := OpenWith(t.Context(), dir, Options{Key: given, Upgrade: true}); !errors.Is(err, keyring.ErrKey) {
		t.Errorf("the old key still opens it: %v", err)
		if err == nil {
			_ = s.Close()
		}
	}
}

// TestWhoSealsWhileKeysChangeLosesNothing has a second program add secrets with
// what it knew before.
func TestWhoSealsWhileKeysChangeLosesNothing(t *testing.T) {
	dir := populated(t, 1)
	beside := must(Open(t.Context(), dir, ""))
	defer beside.Close()
	s := must(Open(t.Context(), dir, ""))
	must(s.RotateKeys(t.Context(), "test", ""))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	late := Repository{ID: "vault-9999", Name: "late", Location: "/srv"}
	if err := beside.AddRepository(t.Context(), "test", late, secretsOf("vault-9999")); !errors.Is(err, keyring.ErrKey) {
		t.Errorf("with the key from before: %v", err)
	}
	if _, err := beside.Repository(t.Context(), late.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("half of it was written: %v", err)
	}
	mustReadAll(t, dir, keyring.Source{}, 1)
}

func TestOpenFilesAreMended(t *testing.T) {
	dir := populated(t, 1)
	held := must(Open(t.Context(), dir, "")) // so that -wal and -shm are there
	defer held.Close()
	paths := append(must(filepath.Glob(filepath.Join(dir, "*"))), dir, keyring.Beside(dir))
	if len(paths) < 5 {
		t.Fatalf("there is only %v", paths)
	}
	for _, p := range paths {
		if err := os.Chmod(p, must(os.Stat(p)).Mode().Perm()|0o055); err != nil {
			t.Fatal(err)
		}
	}
	s := must(Open(t.Context(), dir, ""))
	defer s.Close()
	for _, p := range paths {
		if mode := must(os.Stat(p)).Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s is still %v", p, mode)
		}
		if !slices.ContainsFunc(s.Mended, func(said string) bool { return strings.HasPrefix(said, p+" could be used by others") }) {
			t.Errorf("nothing is said of %s: %q", p, s.Mended)
		}
	}
}
