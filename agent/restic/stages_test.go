package restic

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatACheckFindsIsReadFromItsTextAsFromItsJSON: 0.18 and newer tell no progress with
// --json, and the summary that they end with then is all in the words of the text, too.
func TestWhatACheckFindsIsReadFromItsTextAsFromItsJSON(t *testing.T) {
	for _, v := range []string{"0.18.1", "0.19.1"} {
		for _, stem := range []string{"check", "check-bitflip", "check-bitflip-read-data", "check-corrupt-index", "check-corrupt-snapshot",
			"check-missing-pack", "check-missing-tree-pack", "check-no-index", "check-orphan-pack", "check-read-data", "check-subset-nt",
			"check-subset-percent", "check-subset-size", "check-truncated-pack"} {
			var want struct {
				Errors uint64   `json:"num_errors"`
				Broken []string `json:"broken_packs"`
				Index  bool     `json:"suggest_repair_index"`
				Prune  bool     `json:"suggest_prune"`
			}
			if err := json.Unmarshal(recorded(t, v, stem+"-json", "stdout"), &want); err != nil {
				t.Fatalf("%s %s: %v", v, stem, err)
			}
			e, sink := replay(t, v, stem)
			if e.Result == nil || e.Result.Check == nil {
				t.Errorf("%s %s: no result, %+v\n%s", v, stem, e, sink.text())
				continue
			}
			got := *e.Result.Check
			if strings.Contains(stem, "-missing-") { // restic's list leaves out those that are gone
				want.Broken = got.Broken
			}
			if got.Errors != want.Errors || !slices.Equal(got.Broken, want.Broken) || slices.Contains(got.Suggest, "repair index") != want.Index ||
				slices.Contains(got.Suggest, "prune") != want.Prune {
				t.Errorf("%s %s: %+v, with --json it is %+v", v, stem, got, want)
			}
		}
	}
}

// TestAStageNeverFalls replays every recording of a text with a progress, a status for each
// line of it: within a stage the percentage only rises, and stages only go on.
func TestAStageNeverFalls(t *testing.T) {
	for _, c := range []struct {
		stem, args string
		stages     int // in all; 0 is that nobody can tell
		last       string
	}{
		{"check", "check", 3, "checking snapshots, trees and blobs"},
		{"check-read-data", "check --read-data", 4, "reading the data"},
		{"check-subset-nt", "check --read-data-subset=1/5", 4, "reading the data"},
		{"check-sigint", "check --read-data", 4, "reading the data"},
		{"check-corrupt-index", "check", 3, "loading the index"},
		{"prune-verbose", "prune", 10, "deleting packs that nothing needs"},
		{"prune-sigint", "prune", 10, "rewriting packs"},
		{"prune-sigkill", "prune", 10, "rewriting packs"},
		{"prune-dry-run", "prune --dry-run", 5, "deciding which packs to remove or rewrite"},
		{"prune-orphan-pack", "prune", 10, ""},
		{"forget-id", "forget", 1, "removing snapshots"},
		{"copy-text", "copy", 0, "copying a snapshot"},
		{"repair-index", "repair index", 5, ""},
	} {
		for _, v := range versions {
			t.Run(v+" "+c.stem, func(t *testing.T) {
				sink := &recorder{}
				o := newOutput(&prune{}, newRedactor(nil), sink, DefaultTiming)
				o.pause = 0
				o.track = newTrack(stagesOf(strings.Fields(c.args)))
				stdout, _, end := o.streams()
				stdout.Write(recorded(t, v, c.stem, "stdout"))
				end()
				if len(sink.statuses) == 0 {
					t.Fatal("there is no progress")
				}
				before := Status{}
				for _, s := range sink.statuses {
					if s.Stage < before.Stage || s.Stage == before.Stage && s.Percent < before.Percent || s.Stages != c.stages ||
						s.Stages > 0 && s.Stage > s.Stages || s.Doing == "" || s.Percent > 100 {
						t.Errorf("%+v comes after %+v", s, before)
					}
					before = s
				}
				if c.last != "" && before.Doing != c.last {
					t.Errorf("it ends with %q, stage %d", before.Doing, before.Stage)
				}
			})
		}
	}
}

func part(n, of float64) float64 { return n / of * 100 }

// TestWhatBeginsAStage: each of these follows one that is half way through.
func TestWhatBeginsAStage(t *testing.T) {
	const half = "[0:04] 50.00%  7 / 14 snapshots"
	for _, c := range []struct {
		what, args, line string
		stage, stages    int
		percent          float64
		doing, unit      string
	}{
		{"further on", "check", "[0:05] 57.14%  8 / 14 snapshots", 3, 3, part(8, 14), "checking snapshots, trees and blobs", "snapshots"},
		{"more of the same", "check", "[0:05] 40.00%  8 / 20 snapshots", 3, 3, 50, "checking snapshots, trees and blobs", "snapshots"},
		{"0.19 says more", "check", "[1:02:05] 57.14%  8 / 14 snapshots, 51 files, 6.015 MiB", 3, 3, part(8, 14),
			"checking snapshots, trees and blobs", "snapshots"},
		{"a heading", "check --read-data", "read all data", 4, 4, 0, "reading the data", ""},
		{"the count of a later stage", "check --read-data", "[0:06] 10.00%  1 / 10 packs", 4, 4, 10, "reading the data", "packs"},
		{"a count of something unheard of", "check", "[0:06] 10.00%  1 / 10 hats", 4, 0, 10, "hats", "hats"},
		{"the same from the beginning", "check", "[0:06] 7.14%  1 / 14 snapshots", 4, 0, part(1, 14), "snapshots", "snapshots"},
		{"a command without a table", "migrate", "[0:06] 10.00%  1 / 10 hats", 2, 0, 10, "hats", "hats"},
		{"no total", "copy", "[0:06]          8 snapshots", 1, 0, 50, "snapshots", "snapshots"},
		{"no progress", "check", "7 / 14 snapshots are there", 3, 3, 50, "checking snapshots, trees and blobs", "snapshots"},
	} {
		t.Run(c.what, func(t *testing.T) {
			tr := newTrack(stagesOf(strings.Fields(c.args)))
			for _, line := range []string{half, c.line} {
				if !tr.heard(line) {
					tr.counted(line)
				}
			}
			if s := tr.status(); s.Stage != c.stage || s.Stages != c.stages || s.Percent != c.percent || s.Doing != c.doing || s.Unit != c.unit {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestHowACommandLocksIsHowItsJobDoes: the jobs' table is the command lines'.
func TestHowACommandLocksIsHowItsJobDoes(t *testing.T) {
	id := strings.Repeat("a", 64)
	for _, v := range []Version{{Minor: 14}, {Minor: 16, Patch: 5}, {Minor: 19, Patch: 1}} {
		for kind, op := range map[topics.JobKind]operation{
			topics.BackupJob: Backup{Host: "attic", Paths: []string{"/d"}, RetryLock: time.Minute}, topics.InitJob: initialisation{},
			topics.ForgetJob: &forget{Forget: Forget{IDs: []string{id}}}, topics.PruneJob: &prune{}, topics.CheckJob: &check{},
			topics.UnlockJob: &unlock{}, topics.SnapshotsJob: &snapshots{}, topics.StatsJob: &stats{mode: "raw-data"},
			topics.DiffJob: &diff{Diff: Diff{From: id, To: id}}, topics.RestoreJob: &restore{Restore: Restore{Snapshot: id, Target: "/t"}},
			topics.FindJob: &find{Find: Find{Pattern: "a"}}, topics.KeyJob: &keys{}, topics.LocksJob: &lockIDs{},
			topics.DrillJob: &restore{Restore: Restore{Snapshot: id, Target: "/t"}},
		} {
			args, err := op.args(v, t.TempDir())
			if got := lockOf(args); err != nil || got != kind.Lock() {
				t.Errorf("%s: %s locks %d, its job %d (%v)", v, fmt.Sprint(args), got, kind.Lock(), err)
			}
		}
	}
	for line, want := range map[string]topics.LockMode{
		"check --no-lock": topics.NoLock, "prune --dry-run --no-lock": topics.NoLock, "rewrite --forget": topics.ExclusiveLock,
		"rewrite --exclude a": topics.SharedLock, "key remove": topics.ExclusiveLock, "key add": topics.SharedLock, "copy": topics.SharedLock,
		"list locks --no-lock": topics.NoLock, "unlock --remove-all": topics.NoLock, "repair index": topics.ExclusiveLock,
	} {
		if got := lockOf(strings.Fields(line)); got != want {
			t.Errorf("%s locks %d", line, got)
		}
	}
}

// TestACountWithoutATotalHasNoEnd: a copy counts packs each second, and the log does not.
func TestACountWithoutATotalHasNoEnd(t *testing.T) {
	x := newTrack(copyStages)
	if !x.heard("snapshot 0a1b2c3d of [/srv] at 2026-01-02 03:04:05 by root@attic") {
		t.Fatal("no stage begins")
	}
	for _, line := range []string{"[0:12]          344 packs copied", "[0:13]          345 packs copied"} {
		if is, whole := x.counted(line); !is || whole {
			t.Errorf("%q counts %v, and is the end %v", line, is, whole)
		}
	}
	if is, whole := x.counted("[0:14] 100.00%  345 / 345 packs copied"); !is || !whole {
		t.Errorf("the last counts %v, and is the end %v", is, whole)
	}
}
