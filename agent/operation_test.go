package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/topics"
)

// manage has the host do whatever it is asked.
func (w *world) manage() {
	w.t.Helper()
	if err := preset(w.t, PolicyManaged, w.state).Save(w.state); err != nil {
		w.t.Fatal(err)
	}
}

// ask orders an operation on the world's repository and awaits its end.
func (w *world) ask(kind topics.JobKind, o topics.Operation) topics.Finished {
	w.t.Helper()
	run := w.backup()
	run.Kind, run.Group, run.Operation = kind, topics.SourceGroup{}, o
	run.Repository.Initialise = kind == topics.InitJob
	id := w.order(run)
	end := w.awaitEnd(id)
	if end.State != topics.Succeeded {
		_, log, _ := w.job(id)
		w.t.Errorf("%s ended %+v\n%s", kind, end, strings.Join(log, "\n"))
	}
	return end
}

// found joins the parts of the last report there is of a job.
func (w *world) found(id topics.JobID) (all topics.Report) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range len(w.plane.Parts[id]) {
		r, there := w.plane.Parts[id][i+1]
		if !there {
			w.t.Errorf("part %d of %d is missing", i+1, len(w.plane.Parts[id]))
		}
		all.Snapshots = append(all.Snapshots, r.Snapshots...)
		all.Keys = append(all.Keys, r.Keys...)
		all.Locks = append(all.Locks, r.Locks...)
		all.Matches = append(all.Matches, r.Matches...)
		all.Changes = append(all.Changes, r.Changes...)
		all.Planned = append(all.Planned, r.Planned...)
		all.Failures = append(all.Failures, r.Failures...)
	}
	return all
}

// bare runs restic without the agent.
func (w *world) bare(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("restic", args...)
	cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+filepath.Join(w.folder, "repository"), "RESTIC_PASSWORD="+vaultPassword,
		"RESTIC_CACHE_DIR="+filepath.Join(w.folder, "bare-cache"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Errorf("restic %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestEveryOperationThroughTheAgent(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	w.manage()
	w.run()
	if end := w.ask(topics.InitJob, topics.Operation{}); !end.RepositoryReady {
		t.Errorf("init: %+v", end)
	}
	if err := resticrepo.Cheapen(filepath.Join(w.folder, "repository"), vaultPassword); err != nil {
		t.Fatal(err)
	}
	var snapshots []string
	for i := range 3 {
		w.write(fmt.Sprintf("home/letter-%d.txt", i), "another")
		end := w.awaitEnd(w.order(w.backup()))
		if end.State != topics.Succeeded || end.Snapshot == nil || end.Summary.DataAdded == 0 || end.Summary.FilesNew == 0 ||
			end.Summary.Seconds == 0 || end.Result != nil {
			t.Fatalf("backup: %+v", end)
		}
		snapshots = append(snapshots, end.Snapshot.ID)
	}
	if end := w.ask(topics.SnapshotsJob, topics.Operation{}); end.Result.Count != 3 || end.Result.Parts != 1 {
		t.Errorf("snapshots: %+v", end.Result)
	} else if r := w.found(end.Job); len(r.Snapshots) != 3 || r.Snapshots[0].Username == "" || len(r.Snapshots[0].Tree) != 64 ||
		!slices.Equal(r.Snapshots[0].Tags, []string{"plan=letters-01"}) {
		t.Errorf("snapshots: %+v", r)
	}
	if s := w.ask(topics.StatsJob, topics.Operation{}).Result.Stats; s == nil || s.Snapshots != 3 || s.RestoreBytes == 0 ||
		s.StoredBytes == 0 || s.Blobs == 0 {
		t.Errorf("stats: %+v", s)
	}
	end := w.ask(topics.DiffJob, topics.Operation{From: snapshots[0], To: snapshots[1]})
	if d := end.Result.Diff; d == nil || d.AddedFiles != 1 || !slices.ContainsFunc(w.found(end.Job).Changes, func(c topics.Change) bool {
		return c.Path == w.home+"/letter-1.txt" && c.Modifier == "+"
	}) {
		t.Errorf("diff: %+v, %+v", end.Result, w.found(end.Job))
	}
	end = w.ask(topics.FindJob, topics.Operation{Pattern: "letter-0*"})
	if m := w.found(end.Job).Matches; end.Result.Count != 3 || len(m) != 3 || m[0].Path != w.home+"/letter-0.txt" ||
		!slices.Contains(snapshots, m[0].Snapshot) {
		t.Errorf("find: %+v, %+v", end.Result, m)
	}
	for what, o := range map[string]topics.Operation{
		"of one snapshot":       {Pattern: "letter-0*", Snapshots: snapshots[:1]},
		"in capitals, of one":   {Pattern: "LETTER-0*", Snapshots: snapshots[1:2], IgnoreCase: true},
		"of its source group":   {Pattern: "letter-2*", Groups: []topics.SourceGroupID{"letters-01"}},
		"of nobody's":           {Pattern: "letter-0*", Groups: []topics.SourceGroupID{"letters-02"}},
		"in capitals, as it is": {Pattern: "LETTER-0*"},
	} {
		want := map[bool]int{true: 1}[strings.Contains(what, "of one") || strings.Contains(what, "its source")]
		if end = w.ask(topics.FindJob, o); end.State != topics.Succeeded || end.Result.Count != want || len(w.found(end.Job).Matches) != want {
			t.Errorf("find %s: %s, %+v; want %d", what, end.State, end.Result, want)
		}
	}
	if k := w.found(w.ask(topics.KeyJob, topics.Operation{}).Job).Keys; len(k) != 1 || !k[0].Current {
		t.Errorf("keys: %+v", k)
	}
	target := filepath.Join(w.folder, "back")
	if r := w.ask(topics.RestoreJob, topics.Operation{
		Snapshot: snapshots[2],
		Target:   target,
		Paths:    []string{w.home + "/letter-1.txt"},
		DryRun:   true,
	}).Result.Restore; r == nil || r.Files != 1 || r.Bytes != 7 {
		t.Errorf("restore, dry run: %+v", r)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("a dry run made its target")
	}
	if r := w.ask(topics.RestoreJob, topics.Operation{Snapshot: snapshots[2], Target: target}).Result.Restore; r == nil || r.Bytes != 3*7+11 {
		t.Errorf("restore: %+v", r)
	}
	if b, err := os.ReadFile(filepath.Join(target, w.home, "letter-1.txt")); err != nil || string(b) != "another" {
		t.Errorf("restored %q, %v", b, err)
	}
	if c := w.ask(topics.CheckJob, topics.Operation{Subset: "1/2"}).Result.Check; c == nil || c.Errors != 0 {
		t.Errorf("check: %+v", c)
	}
	end = w.ask(topics.ForgetJob, topics.Operation{Snapshots: snapshots[:2]})
	if !slices.Equal(end.Result.Removed, snapshots[:2]) {
		t.Errorf("forget: %+v", end.Result)
	}
	if left := w.bare("snapshots", "--json", "--no-lock"); strings.Contains(left, `"id":"`+snapshots[0]) ||
		strings.Contains(left, `"id":"`+snapshots[1]) || !strings.Contains(left, `"id":"`+snapshots[2]) {
		t.Errorf("after forget there is %s", left)
	}
	dry := w.ask(topics.PruneJob, topics.Operation{DryRun: true}).Result.Prune
	if p := w.ask(topics.PruneJob, topics.Operation{}).Result.Prune; p == nil || dry == nil || p.FreedBytes == 0 ||
		p.FreedBytes != dry.FreedBytes {
		t.Errorf("prune: %+v, dry run %+v", p, dry)
	}
	if end := w.ask(topics.LocksJob, topics.Operation{}); end.Result.Count != 0 {
		t.Errorf("locks: %+v", end.Result)
	}
	w.ask(topics.UnlockJob, topics.Operation{All: true})
	if text := w.bare("check", "--read-data"); !strings.Contains(text, "no errors were found") {
		t.Errorf("in the end check says %s", text)
	}
}

func TestAReportIsCutIntoPartsThatFit(t *testing.T) {
	var all topics.Report
	for i := range 3000 {
		all.Matches = append(all.Matches, topics.Match{Path: fmt.Sprintf("/%d/%s", i, strings.Repeat("\"", i%200)), Type: "file"})
		all.Snapshots = append(all.Snapshots, topics.Snapshot{ID: strings.Repeat("ab", 32), Paths: []string{"/home"}})
	}
	parts, whole := split(all)
	var matches []topics.Match
	snapshots := 0
	for i, p := range parts {
		p.Job, p.Part = "job-000001", i+1
		if n := len(topics.Encode(topics.Event{At: 1e15, Report: &p})); n > maxEvent {
			t.Errorf("part %d has %d bytes", i, n)
		}
		matches = append(matches, p.Matches...)
		snapshots += len(p.Snapshots)
	}
	if !whole || !slices.Equal(matches, all.Matches) || snapshots != 3000 || len(parts) < 10 || len(parts) > 100 {
		t.Errorf("%d parts hold %d matches and %d snapshots, whole %v", len(parts), len(matches), snapshots, whole)
	}
	all.Matches[7].Path = strings.Repeat("x", maxEvent)
	if _, whole = split(all); whole {
		t.Error("an item that fits nowhere is said to be there")
	}
	if parts, whole = split(topics.Report{}); len(parts) != 0 || !whole {
		t.Errorf("nothing becomes %v", parts)
	}
}
