package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/topics"
)

// small has the agent's state on a disk of its own of so many bytes.
func (w *world) small(size int) {
	w.t.Helper()
	w.state = filepath.Join(w.folder, "disk", "state")
	disk := filepath.Dir(w.state)
	if err := os.MkdirAll(disk, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		w.t.Fatalf("this test mounts a disk, for which it has to be root: %v", err)
	}
	w.t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			w.t.Error(err)
		}
	})
}

// fill takes all there is left on that disk; free gives it back.
func (w *world) fill() (free func()) {
	w.t.Helper()
	path := filepath.Join(w.folder, "disk", "fill")
	f, err := os.Create(path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1024); err == nil; {
		_, err = f.Write(block)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestAFullDiskIsToldAndNothingIsLost: while it lasts no command is taken, heartbeats say
// why, and what ran ends in the journal; with room again it goes on by itself.
func TestAFullDiskIsToldAndNothingIsLost(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.small(8 << 20)
	w.enroll()
	stop := w.run()
	w.seen("a heartbeat that tells of the disk", func() bool {
		return slices.ContainsFunc(w.disks, func(d topics.Disk) bool { return d.Total == 8<<20 && d.Free > 0 && !d.Full() && d.Low() })
	})

	w.write("restic.sh.wait", "")
	runs := w.order(w.backup())
	await(t, "a backup to run", func() error { _, err := os.Stat(w.program + ".waiting"); return err })
	free := w.fill()
	w.seen("a heartbeat that tells of a full disk", func() bool {
		return slices.ContainsFunc(w.disks, func(d topics.Disk) bool {
			return d.Full() && d.Free < spool.Reserve && strings.Contains(d.Error, "no space left")
		})
	})
	waits := w.order(w.backup())
	w.write("restic.sh.chatty", "200")
	if err := os.Remove(w.program + ".wait"); err != nil {
		t.Fatal(err)
	}
	var end topics.Finished
	var lines []string
	await(t, "the end of what ran", func() error {
		_, said, f := w.job(runs)
		if lines = said; f == nil {
			return fmt.Errorf("there is none, after %d lines", len(said))
		}
		end = *f
		return nil
	})
	if end.State == topics.Interrupted || end.Cause != topics.CauseHostDisk && end.State != topics.Succeeded {
		t.Errorf("what ran ended %s, %s: %s", end.State, end.Cause, end.Message)
	}
	if last := lines[len(lines)-1]; end.Lines < 200 || !strings.HasSuffix(last, fmt.Sprintf("-%d gap", end.Lines)) {
		t.Errorf("of %d lines it is said which were not kept: the last is %q", end.Lines, last)
	}
	if j, _, _ := w.job(waits); j.Accepted {
		t.Error("a job was accepted while the disk was full")
	}

	stop() // an agent that is started again on the full disk is there, too
	w.mu.Lock()
	w.disks = nil
	w.mu.Unlock()
	w.run()
	w.seen("the next agent to tell of a full disk", func() bool { return len(w.disks) > 0 && w.disks[len(w.disks)-1].Full() })
	free()
	if end = w.awaitEnd(waits); end.State != topics.Succeeded {
		t.Errorf("what waited ended %s, %s: %s", end.State, end.Cause, end.Message)
	}
	w.seen("a heartbeat that says it is well again", func() bool { return !w.disks[len(w.disks)-1].Full() })
}
