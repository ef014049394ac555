package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/gauges"
	"github.com/restic-manager/restic-manager/topics"
)

// TestCountsOfEndedJobsNeverFall: programs that watch take a count that fell for one that
// began anew, and would add all of it once more.
func TestCountsOfEndedJobsNeverFall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := must(Open(t.Context(), dir, ""))
	t.Cleanup(func() { _ = s.Close() })
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	now := time.Now().Add(-time.Hour).UnixMilli()
	for _, state := range []topics.JobState{topics.Succeeded, topics.Failed, topics.Succeeded} {
		finish(t, s, asked(t, s, g), now, topics.Finished{State: state}, topics.Report{})
	}
	check := func(when string) {
		t.Helper()
		want := []gauges.Ended{{Kind: topics.BackupJob, State: topics.Failed, Jobs: 1}, {Kind: topics.BackupJob,
			State: topics.Succeeded, Jobs: 2}}
		got := must(s.Gauges().Ended(t.Context()))
		for i := range got {
			got[i].Millis = 0
		}
		if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %+v, want %+v", when, got, want)
		}
	}
	check("at first")
	if _, err := s.w.Exec(`UPDATE jobs SET finished_at = finished_at + 1`); err != nil { // it is told once more
		t.Fatal(err)
	}
	check("when endings are told again")
	if _, err := s.w.Exec(`DELETE FROM jobs`); err != nil {
		t.Fatal(err)
	}
	check("when the jobs are removed")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = must(Open(t.Context(), dir, ""))
	check("after a start")
	if err := s.Recount(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("when all is counted anew")
}

func TestWritesAreMeasured(t *testing.T) {
	s := open(t)
	before := s.Gauges().Writes.Taken()
	enrolled(t, s, "attic")
	after := s.Gauges().Writes.Taken()
	if after.All <= before.All || after.Sum <= before.Sum || after.Failed != 0 {
		t.Errorf("before a write %+v, after it %+v", before, after)
	}
	database, log, err := s.Gauges().Sizes()
	if info := must(os.Stat(s.Gauges().File)); err != nil || database != info.Size() || log == 0 {
		t.Errorf("%d and %d bytes, %v; the file has %d", database, log, err, info.Size())
	}
	_ = s.w.Close()
	if err := s.RemoveMQTTUser(t.Context(), "test", "nobody"); err == nil || strings.Contains(err.Error(), "no such row") {
		t.Errorf("a write to a closed database: %v", err)
	}
	if got := s.Gauges().Writes.Taken(); got.Failed != 1 || got.All != after.All {
		t.Errorf("after a failure %+v", got)
	}
}

func TestNothingWaitsWhereNothingIsToBeTold(t *testing.T) {
	if w := must(open(t).Gauges().Waiting(t.Context())); w != (gauges.Waiting{}) {
		t.Errorf("%+v", w)
	}
}
