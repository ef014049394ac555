package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// many adds ended backups of a group, as a year of them does.
func many(tb testing.TB, s *Store, g SourceGroup, n int) {
	tb.Helper()
	if _, err := s.w.Exec(`WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $4)
		INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, not_after, finished_at, lines)
		SELECT printf('old-%012d', n), $1, 'backup', $2, $3, 'failed', 'test', n * 1000, 0, n * 1000 + 500, 0 FROM n`,
		g.Host, g.ID, g.Repository, n); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkEnd is the end of a backup of a host that has ended 35,000 of them, beside one
// of a host that has ended none.
func BenchmarkEnd(b *testing.B) {
	for _, n := range []int{0, 35_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := open(b)
			g := grouped(b, s, enrolled(b, s, "attic"))
			if n > 0 {
				many(b, s, g, n)
			}
			for b.Loop() {
				b.StopTimer()
				j := asked(b, s, g)
				if _, err := s.w.Exec(`UPDATE jobs SET state = 'running', accepted = 1 WHERE id = $1`, j.ID); err != nil {
					b.Fatal(err)
				}
				seq := must(s.Host(b.Context(), g.Host)).ReceivedSeq
				b.StartTimer()
				if err := s.Steps(b.Context(), func(tx protocol.PlaneTx) error {
					_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Arrived{Host: g.Host, Now: s.Now(), Events: topics.Events{
						Epoch: 1, First: seq + 1, Events: []topics.Event{{Finished: &topics.Finished{Job: j.ID, State: topics.Failed}}}}})
					return err
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStrangers is the end of a listing of so many snapshots that nobody knew, in
// steps of a host's turn; the longest and the last of them are what others wait for.
func BenchmarkStrangers(b *testing.B) {
	for _, n := range []int{1000, 10_000, 50_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := open(b)
			g := grouped(b, s, enrolled(b, s, "attic"))
			for b.Loop() {
				b.StopTimer()
				j, _, err := s.Ask(b.Context(), "test", Job{ID: topics.JobID(topics.NewID(time.Now())), Host: g.Host, Kind: topics.SnapshotsJob,
					Repository: g.Repository, NotAfter: 1 << 50})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.w.Exec(`UPDATE jobs SET state = 'running', accepted = 1 WHERE id = $1`, j.ID); err != nil {
					b.Fatal(err)
				}
				seq := must(s.Host(b.Context(), g.Host)).ReceivedSeq
				var longest, last time.Duration
				say := func(e topics.Event) {
					for left := true; left; {
						began := time.Now()
						if err := s.Steps(b.Context(), func(tx protocol.PlaneTx) error {
							effects, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Arrived{Host: g.Host, Now: s.Now(),
								Enough: func() bool { return time.Since(began) > 5*time.Millisecond },
								Events: topics.Events{Epoch: 1, First: seq + 1, Events: []topics.Event{e}}})
							left = slices.ContainsFunc(effects, func(e protocol.PlaneEffect) bool { _, is := e.(protocol.Left); return is })
							return err
						}); err != nil {
							b.Fatal(err)
						}
						last = time.Since(began)
						longest = max(longest, last)
					}
					seq++
				}
				parts := 0
				for from := 0; from < n; from += 1000 {
					parts++
					r := topics.Report{Job: j.ID, Part: parts}
					for i := range 1000 {
						r.Snapshots = append(r.Snapshots, topics.Snapshot{ID: fmt.Sprintf("%032x%032x", seq, from+i), Time: int64(from + i + 1),
							Host: "attic", Paths: []string{"/letters"}, Username: "root"})
					}
					say(topics.Event{Report: &r})
				}
				longest = 0
				b.StartTimer()
				say(topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Succeeded, Result: &topics.Result{Parts: parts, Count: n}}})
				b.ReportMetric(longest.Seconds()*1000, "longest-ms")
				b.ReportMetric(last.Seconds()*1000, "last-ms")
			}
		})
	}
}
