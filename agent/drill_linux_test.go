package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/topics"
)

// drills is a world with a repository and two snapshots, the newest last. Its policy is
// the narrowest, and its restic does first what a script says.
func drills(t *testing.T, script string) (w *world, snapshots []string) {
	t.Helper()
	w = newWorld(t)
	return w, w.drills(script)
}

func (w *world) drills(script string) (snapshots []string) {
	t := w.t
	t.Helper()
	w.enroll()
	if script != "" {
		real, err := exec.LookPath("restic")
		if err != nil {
			t.Fatal(err)
		}
		w.write("bin/restic", "#!/bin/sh\nreal="+real+"\n"+script+"\nexec $real \"$@\"\n")
		if err := os.Chmod(filepath.Join(w.folder, "bin/restic"), 0o755); err != nil {
			t.Fatal(err)
		}
		w.program = filepath.Join(w.folder, "bin/restic")
	}
	w.run()
	for i := range 12 {
		w.write(fmt.Sprintf("home/folder/%d.txt", i), strings.Repeat(fmt.Sprint("letter ", i, "\n"), 50*(i+1)))
	}
	w.write("home/empty", "")
	w.write("home/odd\nname", "odd")
	w.write("home/bad\xff", "not UTF-8")
	w.write("home/-rf", "an option")
	for _, err := range []error{os.MkdirAll(filepath.Join(w.home, "bare"), 0o500), os.Symlink("empty", filepath.Join(w.home, "link")),
		os.Link(filepath.Join(w.home, "folder/1.txt"), filepath.Join(w.home, "hard")), os.Truncate(filepath.Join(w.home, "empty"), 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	run := w.backup()
	run.Repository.Initialise = true
	init := run
	init.Kind = topics.InitJob
	if end := w.awaitEnd(w.order(init)); end.State != topics.Succeeded {
		t.Fatalf("init: %+v", end)
	}
	if err := resticrepo.Cheapen(filepath.Join(w.folder, "repository"), vaultPassword); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		w.write("home/newest", strings.Repeat(fmt.Sprint(i), 70_000))
		end := w.awaitEnd(w.order(w.backup()))
		if end.Snapshot == nil {
			t.Fatalf("backup: %+v", end)
		}
		snapshots = append(snapshots, end.Snapshot.ID)
	}
	return snapshots
}

func (w *world) drill(d topics.Drill) (topics.Finished, []topics.Proof) {
	w.t.Helper()
	run := w.backup()
	run.Kind, run.Group, run.Operation = topics.DrillJob, topics.SourceGroup{}, topics.Operation{Drill: &d}
	id := w.order(run)
	end := w.awaitEnd(id)
	if info, err := os.Lstat(filepath.Join(w.state, scratch)); err == nil && info.IsDir() {
		left, _ := filepath.Glob(filepath.Join(w.state, scratch, "*"))
		w.t.Errorf("a drill left %v", left)
	}
	var proofs []topics.Proof
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range len(w.plane.Parts[id]) {
		proofs = append(proofs, w.plane.Parts[id][i+1].Proofs...)
	}
	return end, proofs
}

func TestADrillProvesASampleUnderTheNarrowestPolicy(t *testing.T) {
	w, snapshots := drills(t, "")
	groups := []topics.DrillGroup{{Group: "letters-01", Name: "letters", Snapshots: []string{snapshots[1], snapshots[0]}}}
	end, proofs := w.drill(topics.Drill{Groups: groups, Files: 8, Seed: 7})
	if end.State != topics.Succeeded || end.Result == nil || end.Result.Drill == nil {
		t.Fatalf("the drill ended %+v", end)
	}
	d := *end.Result.Drill
	if d.Files != 8 || d.Failed != 0 || d.Proven != d.Files+d.Folders || d.Seed != 7 || len(d.Snapshots) != 2 || d.Skipped != 2 ||
		!d.Proves("letters-01") || d.Compared == 0 || !d.Complete {
		t.Errorf("it proved %+v", d)
	}
	has := func(name string, verdict topics.Verdict) {
		if !slices.ContainsFunc(proofs, func(p topics.Proof) bool {
			return p.Path == filepath.Join(w.home, name) && p.Snapshot == snapshots[1] && p.Verdict == verdict &&
				(p.Type == "dir" || len(p.Hash) == 64)
		}) {
			t.Errorf("%s is not among what is %s: %+v", name, verdict, proofs)
		}
	}
	has("newest", topics.SameAsSource) // the largest
	has("empty", topics.SameAsSource)
	has("bare", topics.ThereAsSaved)
	again, more := w.drill(topics.Drill{Groups: groups, Files: 8, Seed: 7})
	if again.State != topics.Succeeded || !slices.Equal(more, proofs) {
		t.Error("the same seed chooses others")
	}

	// What has changed since is proven by what the repository holds.
	for _, name := range []string{"newest", "folder/1.txt", "empty"} {
		w.write("home/"+name, "changed")
	}
	end, proofs = w.drill(topics.Drill{Groups: groups, Files: 8, Seed: 8})
	if end.State != topics.Succeeded || end.Result.Drill.Verified == 0 {
		t.Errorf("after a change: %+v", end)
	}
	has("newest", topics.SameAsSaved)
	has("empty", topics.SameAsSaved)

	end, _ = w.drill(topics.Drill{Groups: groups, Full: true})
	if end.State != topics.Succeeded || end.Result.Drill.Failed != 0 || end.Result.Drill.Files < 18 {
		t.Errorf("a full drill: %+v, %+v", end, end.Result)
	}
	none := append(slices.Clone(groups), topics.DrillGroup{Group: "music-0001", Name: "music"})
	end, proofs = w.drill(topics.Drill{Groups: none, Files: 2, Seed: 1})
	if end.State != topics.Failed || end.Cause != topics.CauseNothing || !strings.Contains(end.Message, "music") || len(proofs) == 0 ||
		end.Result.Drill.Proves("music-0001") || !end.Result.Drill.Proves("letters-01") {
		t.Errorf("a group without a snapshot: %+v", end)
	}
}

func TestADrillCatchesAFlippedByte(t *testing.T) {
	for _, c := range []struct {
		what   string
		change bool // the source, so that it says nothing
	}{{"the source is as it was", false}, {"the source has changed", true}} {
		t.Run(c.what, func(t *testing.T) {
			w, snapshots := drills(t, `case "$*" in *-again*) ;; *"restore --json --verify"*)
$real "$@" || exit
find "$(dirname "$0")/.." -path '*drill-*' -name newest -exec sh -c 'printf X | dd of="$1" bs=1 seek=100 conv=notrunc 2>/dev/null' - {} \;
exit;; esac`)
			if c.change {
				w.write("home/newest", "changed")
			}
			end, proofs := w.drill(topics.Drill{Groups: []topics.DrillGroup{{Group: "letters-01", Snapshots: snapshots[1:]}}, Files: 5, Seed: 1})
			if end.State != topics.Failed || end.Cause != topics.CauseProof || end.Result.Drill.Failed != 1 || len(proofs) == 0 ||
				proofs[0].Verdict != topics.Differs || filepath.Base(proofs[0].Path) != "newest" {
				t.Errorf("a flipped byte: %+v, %+v", end, proofs)
			}
		})
	}
}

func TestADrillCatchesADamagedPack(t *testing.T) {
	w, snapshots := drills(t, "")
	packs, err := filepath.Glob(filepath.Join(w.folder, "repository/data/*/*"))
	if err != nil || len(packs) == 0 {
		t.Fatal(packs, err)
	}
	for _, pack := range packs {
		b, err := os.ReadFile(pack)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) < 400 {
			continue
		}
		b[len(b)/4] ^= 1
		for _, err := range []error{os.Chmod(pack, 0o600), os.WriteFile(pack, b, 0o600)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	end, _ := w.drill(topics.Drill{Groups: []topics.DrillGroup{{Group: "letters-01", Snapshots: snapshots[1:]}}, Files: 20, Seed: 1})
	if end.State != topics.Failed || end.Cause != topics.CauseDamaged && end.Cause != topics.CauseProof {
		t.Errorf("a damaged pack: %+v", end)
	}
}

// A drill that was killed leaves nothing once the agent is back, and one that is
// cancelled leaves nothing at all.
func TestADrillLeavesNothingBehind(t *testing.T) {
	state := t.TempDir()
	left := filepath.Join(state, scratch, "drill-1", "deep")
	for _, err := range []error{os.MkdirAll(left, 0o700), os.WriteFile(filepath.Join(left, "file"), []byte("x"), 0o400), os.Chmod(left, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := clearDrills(state); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(state, scratch)); !os.IsNotExist(err) {
		t.Errorf("the folder of drills: %v", err)
	}

	w, snapshots := drills(t, `case "$*" in *"restore --json --verify"*) $real "$@"; sleep 60;; esac`)
	run := w.backup()
	run.Kind, run.Group = topics.DrillJob, topics.SourceGroup{}
	run.Operation = topics.Operation{Drill: &topics.Drill{Groups: []topics.DrillGroup{{Group: "letters-01", Snapshots: snapshots[1:]}}}}
	id := w.order(run)
	w.seen("something is restored", func() bool {
		found, _ := filepath.Glob(filepath.Join(w.state, scratch, "drill-"+string(id), "*", "*"))
		return len(found) > 0
	})
	w.cancel(id)
	if end := w.awaitEnd(id); end.State != topics.Cancelled {
		t.Errorf("the drill ended %+v", end)
	}
	if _, err := os.Lstat(filepath.Join(w.state, scratch)); !os.IsNotExist(err) {
		t.Errorf("after a cancellation: %v", err)
	}
}

func TestASampleIsAFunctionOfListingAndSeed(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	list := func(s *sampler, n int) (names []string, all []restic.Node) {
		s.see(restic.Node{Path: "/h", Type: "dir"})
		for i := range n {
			s.see(restic.Node{Path: fmt.Sprintf("/h/%06d", i), Type: "file", Size: uint64(i % 1000), ModTime: at})
		}
		s.see(restic.Node{Path: "/h/large", Type: "file", Size: 5000})
		s.see(restic.Node{Path: "/h/too-large", Type: "file", Size: 1 << 30})
		s.see(restic.Node{Path: "/h/zz", Type: "dir"})
		s.see(restic.Node{Path: "/h/zz\ufffd", Type: "file"})
		files, folders := s.chosen()
		for _, f := range slices.Concat(files, folders) {
			names = append(names, f.Path)
		}
		return names, files
	}
	first := &sampler{seed: 1, snapshot: "a", files: 20, bytes: 20_000}
	names, files := list(first, 200_000)
	if len(files) != 20 || bytesOf(files) > 20_000 || first.skipped != 1 || len(first.few) > 200 {
		t.Errorf("%d files with %d bytes, %d skipped", len(files), bytesOf(files), first.skipped)
	}
	for _, want := range []string{"/h/large", "/h/zz", "/h"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %v", want, names)
		}
	}
	if slices.Contains(names, "/h/too-large") || !slices.ContainsFunc(files, func(n restic.Node) bool { return n.Size == 0 }) {
		t.Errorf("the sample is %v", names)
	}
	if again, _ := list(&sampler{seed: 1, snapshot: "a", files: 20, bytes: 20_000}, 200_000); !slices.Equal(again, names) {
		t.Error("the same seed chooses others")
	}
	if other, _ := list(&sampler{seed: 2, snapshot: "a", files: 20, bytes: 20_000}, 200_000); slices.Equal(other, names) {
		t.Error("another seed chooses the same")
	}
}

// What is not proven is named even if it is found after as many as a report holds.
func TestWhatIsNotProvenHasAPlaceInTheReport(t *testing.T) {
	d := &drill{work: work{out: &sink{items: make(chan item, 3)}}}
	s := &topics.DrilledSnapshot{Snapshot: "a"}
	for range topics.MaxProofs + 1 {
		d.says(s, topics.Proof{Path: "/well", Type: "file", Verdict: topics.SameAsSource})
	}
	for _, path := range []string{"/rotten-1", "/rotten-2"} {
		d.says(s, topics.Proof{Path: path, Type: "file", Verdict: topics.Differs, Why: "it differs"})
	}
	d.says(s, topics.Proof{Path: "/well", Type: "file", Verdict: topics.SameAsSource})
	e := d.ending(t.Context())
	p := e.Report.Proofs
	if len(p) != topics.MaxProofs || p[0].Path != "/rotten-1" || p[1].Path != "/rotten-2" || p[2].Path != "/well" || !e.Result.Truncated ||
		e.Result.Count != topics.MaxProofs+4 {
		t.Errorf("%d are named, first %+v, %+v; %+v", len(p), p[0], p[1], e.Result)
	}
}
