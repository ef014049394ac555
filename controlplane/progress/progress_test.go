package progress

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestHowFarAJobIs(t *testing.T) {
	now := time.UnixMilli(100_000_000)
	j := store.Job{Kind: topics.CheckJob, State: topics.Running, ResticVersion: "0.19.1", StartedAt: now.Add(-41 * time.Minute).UnixMilli(),
		LastTook: (52 * time.Minute).Milliseconds()}
	fresh := store.Job{Kind: topics.CheckJob, State: topics.Running, StartedAt: now.UnixMilli()}
	lock := topics.Lock{Host: "node01", User: "root", PID: 1903, Exclusive: true}
	for _, c := range []struct {
		what    string
		job     store.Job
		p       topics.Progress
		unknown bool
		percent float64
		line    string
	}{
		{"nothing was told", j, topics.Progress{}, true, -1, "Starting"},
		{"it has just begun", j, topics.Progress{}, false, -1, "Starting"},
		{"a stage with a count", j, topics.Progress{Scanned: true, Stage: 3, Stages: 4, Doing: "checking snapshots", Done: 7, Total: 14,
			Unit: "snapshots", Percent: 50}, false, 50, "Stage 3 of 4: checking snapshots, 7 of 14 snapshots"},
		{"a stage whose number alone is known", j, topics.Progress{Scanned: true, Stage: 12, Doing: "copying a snapshot", Done: 1, Total: 4,
			Unit: "packs copied"}, false, 25, "Stage 12: copying a snapshot, 1 of 4 packs copied"},
		{"a stage without a count", j, topics.Progress{Scanned: true, Stage: 2, Stages: 4, Doing: "looking whether all packs are there"},
			false, -1, "Looking whether all packs are there, Stage 2 of 4, running 41 min, last time 52 min"},
		{"a stage without a count, just begun, the first time", fresh, topics.Progress{Scanned: true, Stage: 2, Stages: 4, Doing: "loading"},
			false, -1, "Loading, Stage 2 of 4"},
		{"restic that tells nothing", j, topics.Progress{Mute: true, Stage: 1, Stages: 2, Doing: "counting"}, false, -1,
			"Restic 0.19.1 does not report progress here, Stage 1 of 2: counting, running 41 min, last time 52 min"},
		{"the same the first time", fresh, topics.Progress{Mute: true}, false, -1, "Restic does not report progress here"},
		{"an older agent in a stage", j, topics.Progress{Scanned: true, Percent: 90}, false, 90, "of the stage that it is in"},
		{"an older agent whose stage has nothing yet", j, topics.Progress{Scanned: true}, false, -1, "At work, running 41 min, last time 52 min"},
		{"a backup", fresh, topics.Progress{Scanned: true, BytesDone: 1 << 30, TotalBytes: 4 << 30}, false, 25, "1.00 of 4.00 GiB"},
		{"of empty files", fresh, topics.Progress{Scanned: true, FilesDone: 1, TotalFiles: 2}, false, 50, "1 of 2 files"},
		{"one that scans", fresh, topics.Progress{TotalFiles: 120_000}, false, -1, "Scanning, 120,000 files"},
		{"it waits", j, topics.Progress{Waits: &topics.LockWait{Locks: []topics.Lock{lock}}}, false, -1,
			"Waiting for process 1903 of root on node01"},
		{"for several", j, topics.Progress{Waits: &topics.LockWait{Locks: []topics.Lock{lock, lock}, More: 3}}, false, -1,
			"Waiting for process 1903 of root on node01 and 4 others"},
		{"nobody can see for whom", j, topics.Progress{Waits: &topics.LockWait{}}, false, -1, "Waiting for another's lock"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if s := Of(c.job, c.p, !c.unknown, now); s.Percent != c.percent || s.Line() != c.line {
				t.Errorf("%g %%, %q", s.Percent, s.Line())
			}
		})
	}
}
