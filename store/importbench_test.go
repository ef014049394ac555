package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/topics"
)

// An import of 20,000 snapshots and its undoing: how long each takes, and how long somebody
// else who writes meanwhile has to wait at most.
func BenchmarkImport(b *testing.B) {
	for _, c := range []struct {
		name string
		row  func(i int) (hostname, tags string)
	}{{"alike", func(int) (string, string) { return "attic", `[]` }},
		{"of a thousand kinds", func(i int) (string, string) { return fmt.Sprintf("web%d", i%1000), `[]` }},
		{"each with tags of its own", func(i int) (string, string) { return "attic", fmt.Sprintf(`["t%d"]`, i) }},
		{"each of a host of its own", func(i int) (string, string) { return fmt.Sprintf("web%d", i), `[]` }}} {
		b.Run(c.name, func(b *testing.B) {
			s := open(b)
			g := grouped(b, s, enrolled(b, s, "attic"))
			nobodys(b, s, g.Repository, 20_000, c.row)
			var took [4]time.Duration
			for b.Loop() {
				id := topics.NewID(time.Now())
				began := time.Now()
				wait := longestWait(b, s, func() error {
					kins, err := s.Kins(b.Context(), g.Repository)
					var choices []imports.Choice
					for _, k := range kins {
						choices = append(choices, imports.Choice{Kin: k.Key, Group: g.ID})
					}
					if err == nil {
						_, err = s.Import(b.Context(), "anna", id, g.Repository, choices)
					}
					return err
				})
				took[0], took[1] = max(took[0], time.Since(began)), max(took[1], wait)
				began = time.Now()
				wait = longestWait(b, s, func() error {
					_, err := s.UndoImport(b.Context(), "anna", g.Repository, id)
					return err
				})
				took[2], took[3] = max(took[2], time.Since(began)), max(took[3], wait)
			}
			for i, unit := range []string{"import-s", "import-wait-s", "undo-s", "undo-wait-s"} {
				b.ReportMetric(took[i].Seconds(), unit)
			}
		})
	}
}

// nobodys puts snapshots into a repository that no job of ours made.
func nobodys(t testing.TB, s *Store, repository topics.RepositoryID, n int, row func(int) (hostname, tags string)) (ids []string) {
	t.Helper()
	tx, err := s.w.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		sum := sha256.Sum256(fmt.Append(nil, i))
		ids = append(ids, hex.EncodeToString(sum[:]))
		hostname, tags := row(i)
		if _, err := tx.Exec(`INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, username, tree, seen_at, files,
				bytes)
			VALUES ($1, $2, '', '', $3, $4, '["/letters"]', $5, 'anna', $2, 1, 0, 0)`, repository, ids[i], 1_000_000+i*1000,
			hostname, tags); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// longestWait is the longest that one who writes all the time waited while something was done.
func longestWait(t testing.TB, s *Store, do func() error) (longest time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	over := make(chan struct{})
	wg.Go(func() {
		for {
			began := time.Now()
			if err := s.Try(t.Context()); err != nil {
				t.Error(err)
			}
			longest = max(longest, time.Since(began))
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	err := do()
	close(over)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return longest
}

// The first listing of a mirror of 20,000 snapshots that count, among a hundred repositories.
func BenchmarkMirrorListed(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s, g, second, list := manyCopies(b, 20_000, 100)
		var reports []topics.Report
		for i := 0; i < len(list); i += 200 {
			reports = append(reports, topics.Report{Snapshots: list[i : i+200]})
		}
		at := s.Now()
		b.StartTimer()
		ran(b, s, Job{Host: g.Host, Kind: topics.SnapshotsJob, Repository: second, QueuedAt: at}, at+500, whole(len(reports), len(list)),
			reports...)
	}
}

// manyCopies has so many snapshots of a group, the copies of them that a listing of a second
// repository has, and so many other repositories.
func manyCopies(t testing.TB, n, others int) (s *Store, g SourceGroup, second topics.RepositoryID, copies []topics.Snapshot) {
	t.Helper()
	s = open(t)
	h := enrolled(t, s, "attic")
	g, second = grouped(t, s, h), grouped(t, s, h).Repository
	for range others {
		grouped(t, s, h)
	}
	ids := nobodys(t, s, g.Repository, n, func(int) (string, string) { return "attic", `[]` })
	if _, err := s.w.Exec(`UPDATE snapshots SET job = 'job ' || id, host = $1, source_group = $2, state = 'succeeded', ended_at = time,
		begun_at = time, queued_at = time`, h.ID, g.ID); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		copies = append(copies, topics.Snapshot{ID: id[32:] + id[:32], Original: id, Time: int64(1_000_000 + i*1000), Host: "attic",
			Paths: []string{"/letters"}, Tree: id})
	}
	return s, g, second, copies
}
