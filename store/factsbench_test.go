package store

import (
	"fmt"
	"testing"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// filled has a group with so many snapshots of its own, all listed.
func filled(b *testing.B, n int) (s *Store, g SourceGroup, listed []topics.Snapshot) {
	s = open(b)
	g = grouped(b, s, enrolled(b, s, "attic"))
	for i := range n {
		x := of(g, i)[0]
		x.Time = int64(1_000_000 + i*1000)
		listed = append(listed, x)
	}
	for i, x := range listed {
		tags, _ := List(x.Tags).Value()
		if _, err := s.w.Exec(`INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, files, bytes, source_group,
				username, tree, seen_at) VALUES ($1, $2, $3, $4, $5, 'attic', '["/letters"]', $6, 100, 1000, $7, 'anna', $8, 1)`,
			g.Repository, x.ID, g.Host, fmt.Sprintf("job-%08d", i), x.Time, tags, g.ID, x.Tree); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := s.w.Exec(`UPDATE snapshots SET begun_at = time, ended_at = time + 500, state = 'succeeded'`); err != nil {
		b.Log(err)
	}
	finish(b, s, asked(b, s, g), s.Now(), topics.Finished{}) // sizes are judged once
	return s, g, listed
}

// A listing of 10,000 snapshots that are all known.
func BenchmarkListing(b *testing.B) {
	s, g, listed := filled(b, 10_000)
	var reports []topics.Report
	for i := 0; i < len(listed); i += 200 {
		reports = append(reports, topics.Report{Snapshots: listed[i : i+200]})
	}
	at := s.Now()
	for b.Loop() {
		at += 1000
		ran(b, s, Job{Host: g.Host, Kind: topics.SnapshotsJob, Repository: g.Repository, QueuedAt: at}, at+500,
			whole(len(reports), len(listed)), reports...)
	}
}

// The end of a backup of a group that has 10,000 snapshots.
func BenchmarkFinished(b *testing.B) {
	s, g, _ := filled(b, 10_000)
	at, n := s.Now(), 20_000
	for b.Loop() {
		b.StopTimer()
		j := asked(b, s, g)
		n++
		at += 1000
		b.StartTimer()
		if err := s.Steps(b.Context(), func(tx protocol.PlaneTx) error {
			p := protocol.PlaneJob{ID: j.ID, Host: j.Host, Kind: j.Kind, Repository: j.Repository, State: topics.Succeeded}
			if err := tx.PutJob(protocol.PlaneJob{ID: j.ID, State: topics.Dispatched}); err != nil {
				return err
			}
			if err := tx.PutJob(p); err != nil {
				return err
			}
			return tx.Finished(p, topics.Finished{Job: j.ID, State: topics.Succeeded, Snapshot: &of(g, n)[0],
				Summary: &topics.Summary{TotalFiles: 100, TotalBytes: 1000}}, at)
		}); err != nil {
			b.Fatal(err)
		}
	}
}
