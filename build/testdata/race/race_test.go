// Package race holds a data race beside the work of SQLite. The tests run with
// SQLite's own code outside the race detector, and build/planted-race sees that
// the detector still reports what is ours.
package race

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/restic-manager/restic-manager/store"
)

func TestARaceBesideSQLite(t *testing.T) {
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "data"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read := 0
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for range 50 {
				if _, err := s.Hosts(t.Context()); err != nil {
					t.Error(err)
				}
			}
			read++ // the race: after the last query nothing orders the two
		})
	}
	both.Wait()
	t.Logf("%d are done", read)
}
