package fault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// planeOn starts a control plane on a data directory and returns it without waiting.
func planeOn(t *testing.T, data, point string) *e2e.Process {
	t.Helper()
	return start(t, "the control plane", point, "plane", data, e2e.FreeAddress(t), e2e.FreeAddress(t))
}

// A control plane that was killed and lost its -wal does not begin anew: nobody is asked
// to make the first account, and it says what to do.
func TestAKilledControlPlaneWithoutItsLogIsNoFirstRun(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data") // a new one: all of it is in the -wal
	plane := planeOn(t, data, "")
	plane.Await(`msg=serving`)
	s, err := store.Open(t.Context(), data, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"anna", "berta"} {
		if err := s.AddUser(t.Context(), "cli", store.User{ID: topics.NewID(time.Now()), Name: name, Role: store.Admin}); err != nil {
			t.Fatal(err)
		}
	}
	plane.Kill9() // while another process has the database open, so that nobody tidies up after it
	wal, err := os.ReadFile(filepath.Join(data, "restic-manager.db-wal"))
	if err != nil || len(wal) == 0 {
		t.Fatalf("there is no -wal: %v", err)
	}
	db, err := os.ReadFile(filepath.Join(data, "restic-manager.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // which moves the -wal into the database
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "restic-manager.db"), db, 0o600); err != nil {
		t.Fatal(err)
	}
	again := planeOn(t, data, "")
	again.Await(`has lost what was written last.*--accept-rollback`)
	if again.Wait(time.Minute) == 0 {
		t.Error("it ends as if all were well")
	}
	if err := os.WriteFile(filepath.Join(data, "restic-manager.db-wal"), wal, 0o600); err != nil {
		t.Fatal(err)
	}
	planeOn(t, data, "").Await(`msg=serving`) // with its -wal put back, it has lost nothing
	if s, err = store.Open(t.Context(), data, ""); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if users, err := s.Users(t.Context()); err != nil || len(users) != 2 {
		t.Errorf("users are %v, %v", users, err)
	}
}

// An upgrade that is killed in the middle goes on at the next start.
func TestAControlPlaneKilledInAnUpgradeGoesOn(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	storetest.Release(t, "schema6", data)
	for _, point := range []string{"migrate-statement:3", "migrate-statement:60", "migrate-statement:40"} {
		killed := planeOn(t, data, point)
		if killed.Wait(2*time.Minute) == 0 {
			t.Fatalf("it was not killed at %s", point)
		}
	}
	planeOn(t, data, "").Await(`msg=serving`)
	s, err := store.Open(t.Context(), data, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	users, uerr := s.Users(t.Context())
	hosts, herr := s.Hosts(t.Context())
	if uerr != nil || herr != nil || len(users) != 4 || len(hosts) != 1 {
		t.Errorf("users %v, %v; hosts %v, %v", users, uerr, hosts, herr)
	}
	if list, err := copies.List(data); err != nil || len(list) != 1 || !strings.HasSuffix(list[0].Path, "-schema6.db") {
		t.Errorf("copies are %v, %v: the one of the release is kept", list, err)
	}
}
