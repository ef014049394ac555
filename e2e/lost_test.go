package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
)

// Missing is a lost snapshot as the API shows it.
type Missing struct {
	ID             string  `json:"id"`
	Host           string  `json:"host"`
	AcknowledgedAt *string `json:"acknowledged_at"`
}

// Missing lists what a repository has lost.
func (w *World) Missing(id string) (list []Missing) {
	w.t.Helper()
	w.API("GET", "/api/repositories/"+id+"/missing", nil, http.StatusOK, &list)
	return list
}

// TestWhatIsTakenAwayBesideUsIsLost removes, tags and damages snapshots with restic
// itself, each in a repository of its own with three of them, and lists what is left.
func TestWhatIsTakenAwayBesideUsIsLost(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	for name, c := range map[string]struct {
		then func(t *testing.T, r Repository, ids []string)
		lost func(ids []string) []string
		left int
	}{
		"nothing": {func(*testing.T, Repository, []string) {}, func([]string) []string { return nil }, 3},
		"one": {func(_ *testing.T, r Repository, ids []string) { attic.Bare(r, "forget", ids[1]) },
			func(ids []string) []string { return ids[1:2] }, 2},
		"all": {func(_ *testing.T, r Repository, ids []string) { attic.Bare(r, append([]string{"forget"}, ids...)...) },
			func(ids []string) []string { return ids }, 0},
		"ours": {func(_ *testing.T, r Repository, ids []string) {
			attic.Ask(map[string]any{"kind": "forget", "repository": r.ID, "snapshots": ids[:1]})
		}, func([]string) []string { return nil }, 2},
		"tagged": {func(_ *testing.T, r Repository, ids []string) { attic.Bare(r, "tag", "--add", "kept", ids[2]) },
			func([]string) []string { return nil }, 3},
		"tagged-anew": {func(_ *testing.T, r Repository, ids []string) {
			attic.Bare(r, "tag", "--set", "kept", ids[2])
			attic.Ask(map[string]any{"kind": "snapshots", "repository": r.ID})
			attic.Bare(r, "tag", "--add", "twice", "latest")
		}, func([]string) []string { return nil }, 3},
		"damaged": {func(t *testing.T, r Repository, ids []string) {
			file := filepath.Join(r.URL, "snapshots", ids[0])
			if err := os.Chmod(file, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("this is no snapshot, and long enough to be taken for one"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(attic.Dir, "state", "cache")); err != nil {
				t.Fatal(err)
			}
		}, func([]string) []string { return nil }, 3},
		"made-anew": {func(t *testing.T, r Repository, _ []string) {
			if err := os.RemoveAll(r.URL); err != nil {
				t.Fatal(err)
			}
			if err := resticrepo.Make(r.URL, r.Password); err != nil {
				t.Fatal(err)
			}
		}, func(ids []string) []string { return ids }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.In(t)
			r := attic.Group(name)
			var ids []string
			for range 3 {
				attic.Noise("photo.raw", 1)
				ids = append(ids, w.AwaitState(attic.Backup(name), "succeeded").SnapshotID)
			}
			c.then(t, r, ids)
			list, result := attic.Ask(map[string]any{"kind": "snapshots", "repository": r.ID})
			var got []string
			for _, m := range w.Missing(r.ID) {
				got = append(got, m.ID)
				if m.Host != attic.ID || m.AcknowledgedAt != nil {
					t.Errorf("job %s found %+v", list, m)
				}
			}
			if (len(result.Unreadable) == 1) != (name == "damaged") || len(result.Place) != 64 {
				t.Errorf("job %s found %+v", list, result)
			}
			want := slices.Clone(c.lost(ids))
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d are lost: %v, want %v", len(got), got, want)
			}
			var repository struct {
				Snapshots int `json:"snapshots"`
				Foreign   int `json:"foreign_snapshots"`
			}
			w.API("GET", "/api/repositories/"+r.ID, nil, http.StatusOK, &repository)
			if repository.Snapshots != c.left || repository.Foreign != 0 {
				t.Errorf("%d snapshots are left, %d of them foreign; want %d and none", repository.Snapshots, repository.Foreign, c.left)
			}
			acknowledge := map[string]any{"snapshots": want}
			status := http.StatusOK
			if len(want) == 0 {
				status = http.StatusUnprocessableEntity
			}
			w.API("POST", "/api/repositories/"+r.ID+"/missing/acknowledge", acknowledge, status, nil)
			for _, m := range w.Missing(r.ID) {
				if m.AcknowledgedAt == nil {
					t.Errorf("%s is not acknowledged", m.ID)
				}
			}
		})
	}
}

// TestWhatComesBackIsNotLost moves a snapshot's file away and back, and has the
// password be wrong in between.
func TestWhatComesBackIsNotLost(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	r := attic.Group("all")
	id := w.AwaitState(attic.Backup("all"), "succeeded").SnapshotID
	file, aside := filepath.Join(r.URL, "snapshots", id), filepath.Join(attic.Dir, "aside")
	if err := os.Rename(file, aside); err != nil {
		t.Fatal(err)
	}
	list := map[string]any{"kind": "snapshots", "repository": r.ID}
	w.API("PUT", "/api/repositories/"+r.ID, map[string]any{"password": "another one"}, http.StatusOK, nil)
	attic.Fails("wrong-password", list)
	if lost := w.Missing(r.ID); len(lost) != 0 {
		t.Errorf("a listing that did not open the repository lost %v", lost)
	}
	w.API("PUT", "/api/repositories/"+r.ID, map[string]any{"password": r.Password}, http.StatusOK, nil)
	attic.Ask(list)
	if lost := w.Missing(r.ID); len(lost) != 1 || lost[0].ID != id {
		t.Errorf("lost is %v, want %s", lost, id)
	}
	if err := os.Rename(aside, file); err != nil {
		t.Fatal(err)
	}
	attic.Ask(list)
	if lost := w.Missing(r.ID); len(lost) != 0 {
		t.Errorf("what is there again is lost: %v", lost)
	}
}
