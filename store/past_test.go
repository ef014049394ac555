package store

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatIsLeftOfAPastIsListed: nothing that the past left in a repository is missing
// there, however long it takes to write.
func TestWhatIsLeftOfAPastIsListed(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	clock := time.Now()
	s.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	ended := clock.AddDate(0, 0, -2)
	var past []Past
	for n, gone := range []int64{ended.UnixMilli() + 1, 0, 0} {
		id := topics.JobID(topics.NewID(ended) + "x"[:n%2])
		past = append(past, Past{
			Job: Job{ID: id, Host: g.Host, Kind: topics.BackupJob, SourceGroup: g.ID, Repository: g.Repository, State: topics.Succeeded,
				QueuedAt: ended.UnixMilli() - 10, StartedAt: ended.UnixMilli() - 10, FinishedAt: ended.UnixMilli(), Schedule: "nightly",
				Slot: ended.UnixMilli(), Summary: column.JSON[topics.Summary]{V: &topics.Summary{TotalFiles: 3, TotalBytes: 7}}},
			Snapshot: &topics.Snapshot{ID: strings.Repeat(string(rune('a'+n)), 64), Time: ended.UnixMilli() - 5,
				Tags: []string{"plan=" + string(g.ID)}},
			GoneAt: gone,
			Slots:  []slotlog.Row{{Schedule: "nightly", Group: g.ID, Slot: ended.UnixMilli(), Host: g.Host, Outcome: slotlog.Ran, Job: id, At: 1}},
		})
		ended = ended.Add(time.Hour)
	}
	days := []Day{{Repository: g.Repository, Day: ended.UnixMilli() / dayMillis, Snapshots: 2, RestoreBytes: 14}}
	if err := s.AddPast(ctx, past, days); err != nil {
		t.Fatal(err)
	}
	list := must(s.PlannedSnapshots(ctx, g.Repository))
	if len(list) != 2 {
		t.Errorf("%d snapshots are left, want 2", len(list))
	}
	for _, p := range list {
		if !p.Seen || p.Missing {
			t.Errorf("snapshot %.8s was seen %t, is missing %t", p.ID, p.Seen, p.Missing)
		}
	}
	for _, f := range must(s.Facts(ctx, g.Host)) {
		if f.Group == g.ID && (f.Snapshots != 2 || f.Lost != 0 || f.Good.ID != past[2].Snapshot.ID) {
			t.Errorf("of its group is known %+v", f)
		}
	}
}
