package moments

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// A size is what one snapshot of a test holds, and whether it is gone.
type size struct {
	files, bytes, added uint64
	gone                bool
}

// filled is a store with one host whose group has these snapshots, a day apart, the
// last of them on 28 November 2026.
func filled(t testing.TB, sizes []size, step time.Duration) (*store.Store, store.SourceGroup) {
	t.Helper()
	ctx, s := t.Context(), storetest.Open(t, store.Open)
	hash := sha256.Sum256([]byte("attic"))
	if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: "attic-0001", KeyHash: hash[:], Name: "attic", CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000}); err != nil {
		t.Fatal(err)
	}
	h, err := s.Enroll(ctx, hash[:], store.Host{ID: "attic-0001", SealKey: []byte("k"), Serial: "1", Hostname: "attic"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault", Location: "/srv/vault"},
		store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	g, err := s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: "letters-0001", Host: h.ID, Name: "letters", Repository: "vault-0001",
		Paths: store.List{"/letters"}})
	if err != nil {
		t.Fatal(err)
	}
	last := time.Date(2026, 11, 28, 23, 30, 0, 0, time.UTC)
	var past []store.Past
	for i, z := range sizes {
		at := last.Add(-step * time.Duration(len(sizes)-1-i)).UnixMilli()
		gone := int64(0)
		if z.gone {
			gone = at + 1
		}
		past = append(past, store.Past{GoneAt: gone,
			Job: store.Job{ID: topics.JobID(fmt.Sprintf("job-%08d", i)), Host: h.ID, Kind: topics.BackupJob, SourceGroup: g.ID,
				Repository: g.Repository, State: topics.Succeeded, QueuedAt: at, StartedAt: at, FinishedAt: at + 1000,
				Summary: column.JSON[topics.Summary]{V: &topics.Summary{TotalFiles: z.files, TotalBytes: z.bytes, FilesNew: 1,
					FilesUnmodified: z.files - min(z.files, 1), DataAdded: z.added}}},
			Snapshot: &topics.Snapshot{ID: fmt.Sprintf("%064x", i+1), Time: at, Tags: []string{"plan=" + string(g.ID)},
				Paths: []string{"/letters"}}})
	}
	if err := s.AddPast(ctx, past, nil); err != nil {
		t.Fatal(err)
	}
	return s, g
}

func TestMomentsSayWhatTheyHoldAndWhereTheyDrop(t *testing.T) {
	s, g := filled(t, []size{
		{files: 1000, bytes: 1 << 30, added: 1 << 20},
		{files: 1001, bytes: 1 << 30}, // nearly the same
		{files: 500, bytes: 1 << 29, gone: true},
		{files: 249, bytes: 1 << 29}, // under half of the one before, which is gone
		{files: 248, bytes: 1 << 29},
		{files: 4, bytes: 1 << 29},        // under a fiftieth of the files
		{files: 1000, bytes: 1 << 30},     // back again
		{files: 1000, bytes: 20 << 20},    // under a fiftieth of the bytes
		{files: 1000, bytes: 1_100 << 20}, // back again
		{files: 0, bytes: 0},
		{files: 1000, bytes: 1 << 30},
		{files: 500, bytes: 1 << 30}, // half of it is not less than half
	}, 24*time.Hour)
	list, next, err := List(t.Context(), s, Filter{Host: g.Host})
	if err != nil || next != "" || len(list) != 11 {
		t.Fatalf("%d moments, next %q, %v; want the 11 that exist", len(list), next, err)
	}
	want := []string{"", "", "no file", "", "next to nothing", "", "next to nothing", "", "far fewer files", "", ""}
	for i, m := range list {
		if (m.Drop == "") != (want[i] == "") || !strings.Contains(m.Drop, want[i]) {
			t.Errorf("moment %d with %d files and %d bytes: %q, want %q", i, m.Files, m.Bytes, m.Drop, want[i])
		}
		if m.HostName != "attic" || m.GroupName != "letters" || m.Repository != g.Repository || m.Foreign || !m.Sized {
			t.Errorf("moment %d: %+v", i, m)
		}
	}
	if m := list[len(list)-1]; m.Added == nil || *m.Added != 1<<20 || m.Removed != nil {
		t.Errorf("the first: %+v", m)
	}
	if m := list[0]; m.Removed == nil || *m.Removed != 501 || m.New == nil || *m.New != 1 {
		t.Errorf("the last, of which one is new where 1,000 were and 500 are: %+v", m)
	}

	var ids []string
	f := Filter{Repository: g.Repository, Group: g.ID, Limit: 4}
	for {
		page, next, err := List(t.Context(), s, f)
		if err != nil || len(page) > 4 {
			t.Fatal(len(page), err)
		}
		for _, m := range page {
			ids = append(ids, m.Snapshot)
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	for i, m := range list {
		if len(ids) != len(list) || ids[i] != m.Snapshot {
			t.Fatalf("in pages: %v", ids)
		}
	}
	if list, _, err := List(t.Context(), s, Filter{Host: g.Host, Before: list[0].Time, Since: list[2].Time}); err != nil || len(list) != 2 {
		t.Errorf("between two moments: %d, %v", len(list), err)
	}
	for _, f := range []Filter{{Host: "other-0001"}, {Repository: "other-0001"}, {Group: "other-0001"}} {
		if list, _, err := List(t.Context(), s, f); err != nil || len(list) != 0 {
			t.Errorf("%+v finds %d, %v", f, len(list), err)
		}
	}
}

func TestDaysOfAMonthAreThoseOfItsZone(t *testing.T) {
	s, g := filled(t, []size{{files: 9, bytes: 9}, {files: 9, bytes: 9}, {files: 1, bytes: 9}, {files: 1, bytes: 9}}, 12*time.Hour)
	utc := time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		month time.Time
		want  string
	}{
		{utc, "[{2026-11-27 2 0} {2026-11-28 2 1}]"},
		{utc.In(time.FixedZone("east", 3600)), "[{2026-11-27 1 0} {2026-11-28 2 1} {2026-11-29 1 0}]"},
		{utc.AddDate(0, 1, 0), "[]"},
	} {
		days, err := Days(t.Context(), s, Filter{Host: g.Host}, c.month)
		if got := fmt.Sprint(days); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.month, got, err, c.want)
		}
	}
}

// BenchmarkMoments is the first page of a host with 3,000 snapshots, the last one, and
// a month of them.
func BenchmarkMoments(b *testing.B) {
	sizes := make([]size, 3000)
	for i := range sizes {
		sizes[i] = size{files: 1000, bytes: 1 << 30}
	}
	s, g := filled(b, sizes, time.Hour)
	all, _, err := List(b.Context(), s, Filter{Host: g.Host, Limit: Most})
	if err != nil || len(all) != Most {
		b.Fatal(len(all), err)
	}
	for name, f := range map[string]Filter{
		"first": {Host: g.Host, Limit: 50},
		"later": {Host: g.Host, Limit: 50, Before: all[Most-1].Time},
		"group": {Group: g.ID, Limit: 50},
		"vault": {Repository: g.Repository, Limit: 250},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if list, _, err := List(b.Context(), s, f); err != nil || len(list) != f.Limit {
					b.Fatal(len(list), err)
				}
			}
		})
	}
	b.Run("month", func(b *testing.B) {
		for b.Loop() {
			if days, err := Days(b.Context(), s, Filter{Host: g.Host}, time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)); err != nil || len(days) != 31 {
				b.Fatal(len(days), err)
			}
		}
	})
}
