package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// A disk that is low stops a drill: before it restores anything, and while it does, when
// others fill it. It leaves nothing there.
func TestADrillStopsWhenTheDiskIsLow(t *testing.T) {
	w := newWorld(t)
	w.small(512 << 20)
	disk := filepath.Dir(w.state)
	// leave takes all of the disk but for so many bytes.
	leave := func(bytes uint64) {
		t.Helper()
		free, _, err := process.Space(disk)
		if err != nil || free <= bytes {
			t.Fatal(free, err)
		}
		f, err := os.Create(filepath.Join(disk, "taken"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(free-bytes)); err != nil {
			t.Fatal(err)
		}
	}
	free := func() {
		t.Helper()
		if err := os.Remove(filepath.Join(disk, "taken")); err != nil {
			t.Fatal(err)
		}
	}
	snapshots := w.drills(`case "$*" in *"restore --json --verify"*) if [ -e "$0.slow" ]; then touch "$0.begun"; exec sleep 300; fi;; esac`)

	leave(drillMargin - 1<<20)
	end, proofs := w.drillOf(snapshots, topics.Drill{Files: 5, Seed: 1})
	if end.State != topics.Failed || end.Cause != topics.CauseHostDisk || len(proofs) > 0 || !strings.Contains(end.Message, "MiB free") ||
		end.Result.Drill.Complete || end.Result.Drill.Proves("letters-01") {
		t.Errorf("before: it ended %+v", end)
	}
	free()

	w.write("bin/restic.slow", "")
	go func() { // a restore is at it: others take the room
		await(t, "a restore to begin", func() error { _, err := os.Stat(filepath.Join(w.folder, "bin/restic.begun")); return err })
		leave(drillMargin/2 - 1<<20)
	}()
	end, proofs = w.drillOf(snapshots, topics.Drill{Files: 5, Seed: 1})
	if end.State != topics.Failed || end.Cause != topics.CauseHostDisk || len(proofs) > 0 || !strings.Contains(end.Message, "others write") ||
		end.Result.Drill.Complete {
		t.Errorf("meanwhile: it ended %+v", end)
	}
	free()
	if err := os.Remove(filepath.Join(w.folder, "bin/restic.slow")); err != nil {
		t.Fatal(err)
	}
	if end, _ = w.drillOf(snapshots, topics.Drill{Files: 5, Seed: 1}); end.State != topics.Succeeded {
		t.Errorf("with room again it ended %+v", end)
	}
}

// Where each file is larger than a sample, a drill says so and proves nothing; one file that
// takes as much as both snapshots together may is a sample by itself.
func TestADrillSaysThatNoFileIsSmallEnough(t *testing.T) {
	w := newWorld(t)
	w.drills("")
	for _, name := range []string{"folder", "empty", "odd\nname", "bad\xff", "-rf", "link", "hard", "letter.txt"} {
		if err := os.RemoveAll(filepath.Join(w.home, name)); err != nil {
			t.Fatal(err)
		}
	}
	var snapshots []string
	for range 2 {
		w.write("home/newest", strings.Repeat("x", 100_000))
		snapshots = append([]string{w.awaitEnd(w.order(w.backup())).Snapshot.ID}, snapshots...)
	}
	end, proofs := w.drillOf(snapshots, topics.Drill{Files: 5, Seed: 1, Bytes: 99_999})
	if end.State != topics.Failed || end.Cause != topics.CauseNothing || !strings.Contains(end.Message, "97.7 KiB") || len(proofs) > 0 ||
		end.Result.Drill.Proves("letters-01") {
		t.Errorf("one byte too large: it ended %+v, %+v", end, proofs)
	}
	end, proofs = w.drillOf(snapshots, topics.Drill{Files: 5, Seed: 1, Bytes: 100_000})
	if p := verdictOf(proofs, "newest"); end.State != topics.Succeeded || p.Verdict != topics.SameAsSource ||
		!end.Result.Drill.Proves("letters-01") {
		t.Errorf("as large as that: it ended %+v, %+v", end, proofs)
	}
}

// Names alone are no proof: a snapshot without one file with content that a drill can restore
// leaves its group unproven, whatever comes back of it. One byte is something.
func TestADrillOfNoContentProvesNothing(t *testing.T) {
	w := newWorld(t)
	w.drills("")
	clear := func() {
		t.Helper()
		names, _ := os.ReadDir(w.home)
		for _, n := range names {
			if err := os.RemoveAll(filepath.Join(w.home, n.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		what string
		make func()
		full bool
		why  string // "" if it proves
	}{
		{"folders alone", func() {
			w.write("home/a/b/c", "")
			_ = os.Remove(filepath.Join(w.home, "a/b/c"))
		}, false, "no file with content"},
		{"empty files and links", func() {
			w.write("home/a/empty", "")
			_ = os.Symlink("a", filepath.Join(w.home, "link"))
		}, false, "no file with content"},
		{"the same, all of it", func() { w.write("home/a/empty", "") }, true, "no file with content"},
		{"names that nobody can ask for", func() { w.write("home/a/bad\xff", "content") }, false, "whose name can be asked for"},
		{"an empty file beside a large one", func() { w.write("home/a/empty", ""); w.write("home/large", strings.Repeat("x", 5000)) }, false,
			"4.88 KiB"},
		{"one byte", func() { w.write("home/a/empty", ""); w.write("home/one", "x") }, false, ""},
		{"one byte, all of it", func() { w.write("home/one", "x") }, true, ""},
		{"a name that nobody can ask for, all of it", func() { w.write("home/a/bad\xff", "content") }, true, ""},
	} {
		clear()
		c.make()
		run := w.backup()
		run.Group.AllowEmpty = true
		made := w.awaitEnd(w.order(run))
		if made.Snapshot == nil {
			t.Fatalf("%s: the backup ended %+v", c.what, made)
		}
		ask := topics.Drill{Full: c.full}
		if !c.full {
			ask = topics.Drill{Files: 5, Seed: 1, Bytes: 1000}
		}
		end, _ := w.drillOf([]string{made.Snapshot.ID}, ask)
		proves := end.Result != nil && end.Result.Drill.Proves("letters-01")
		if c.why == "" && (end.State != topics.Succeeded || !proves) || c.why != "" && (proves || end.State != topics.Failed ||
			end.Cause != topics.CauseNothing || !strings.Contains(end.Message, c.why)) {
			t.Errorf("%s: it ended %+v, and proves is %t", c.what, end, proves)
		}
	}
}
