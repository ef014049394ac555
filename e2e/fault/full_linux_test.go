package fault

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/topics"
)

// A full disk of the control plane, step by step: it holds new jobs, then takes no logs,
// then gives up its reserve, with which jobs are still cancelled; everything can be
// looked at all the time. With room again everything goes on by itself: no line of a log
// is lost and none is there twice, and what was held begins.
func TestAFullDiskOfTheControlPlaneIsAModeAndNothingIsLost(t *testing.T) {
	disk := must(os.MkdirTemp("", "disk"))
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=96m"); err != nil {
		t.Fatalf("this test mounts a disk, for which it has to be root: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(disk, unix.MNT_DETACH), os.Remove(disk)); err != nil {
			t.Error(err)
		}
	})
	here := os.TempDir()
	t.Setenv("TMPDIR", disk)
	t.Setenv(spaceVariable, "small")
	w := newWorld(t, 1)
	t.Setenv("TMPDIR", here)
	w.dir = must(os.MkdirTemp("", "hosts"))
	t.Cleanup(func() { _ = os.RemoveAll(w.dir) })
	attic, nas := w.enrol("attic"), w.enrol("nas")
	for _, h := range []*host{attic, nas} {
		h.standIn(`ledger backup; words 1 50; while [ ! -e "$0.go" ]; do sleep 0.05; done; words 51 2000; touch "$0.ended"; summary`)
		h.start("")
	}
	runs := attic.ask()
	await(t, "a backup to run", func() error {
		if j := w.job(runs); j.Lines < 50 {
			return fmt.Errorf("it has %d lines", j.Lines)
		}
		return nil
	})
	fill := filepath.Join(disk, "fill")
	// leave fills the disk but for so many bytes.
	leave := func(bytes int64) {
		t.Helper()
		var s unix.Statfs_t
		if err := unix.Statfs(disk, &s); err != nil {
			t.Fatal(err)
		}
		f := must(os.OpenFile(fill, os.O_CREATE|os.O_WRONLY, 0o600))
		size := must(f.Stat()).Size()
		more := int64(s.Bfree)*int64(s.Bsize) - bytes
		err := f.Truncate(max(size+min(more, 0), 0))
		if more > 0 {
			err = unix.Fallocate(int(f.Fd()), 0, 0, size+more)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	level := func(want string) {
		t.Helper()
		await(t, "the level "+want, func() error {
			var said []struct{ ID, Severity string }
			if err := w.api("GET", "/api/notices", nil, &said); err != nil {
				return err
			}
			got := ""
			for _, n := range said {
				if n.ID == "low-space" {
					got = n.Severity
				}
			}
			if got != want {
				return fmt.Errorf("it is %q", got)
			}
			return nil
		})
	}
	look := func() {
		t.Helper()
		for _, path := range []string{"/api/hosts", "/api/jobs", "/api/repositories", "/api/notices", "/api/audit", "/api/users", "/api/removed",
			"/api/jobs/" + string(runs), "/api/hosts/" + string(attic.id) + "/snapshots"} {
			if err := w.api("GET", path, nil, nil); err != nil {
				t.Error(err)
			}
		}
	}
	level("")
	reserve := filepath.Join(w.data, space.ReserveName)
	if _, err := os.Stat(reserve); err != nil {
		t.Fatal(err)
	}

	leave(24 << 20)
	level("warning")
	held, gone := nas.ask(), nas.ask()
	if held != gone { // the one that waits is the answer
		t.Errorf("two jobs wait: %s, %s", held, gone)
	}
	var j struct {
		State   topics.JobState
		Waiting struct{ Reason string }
	}
	await(t, "the job to be held", func() error {
		if err := w.api("GET", "/api/jobs/"+string(held), nil, &j); err != nil {
			return err
		}
		if j.State != topics.Queued || j.Waiting.Reason != "plane-disk" {
			return fmt.Errorf("it is %s, waiting for %q", j.State, j.Waiting.Reason)
		}
		return nil
	})
	look()

	leave(12 << 20)
	level("failure")
	for _, h := range []*host{attic, nas} {
		if err := os.WriteFile(h.restic+".go", nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "restic to end", func() error { _, err := os.Stat(attic.restic + ".ended"); return err })
	look()
	leave(64 << 10) // all but full: the reserve goes
	await(t, "the reserve to be given up", func() error {
		if _, err := os.Stat(reserve); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
	look()
	if j := w.job(runs); j.State.Ended() || j.Lines > 100 {
		t.Errorf("what runs is %s with %d lines, although none were to be taken", j.State, j.Lines)
	}
	// The reserve is for this: what waits is cancelled, and something else asked for.
	if err := w.api("POST", "/api/jobs/"+string(held)+"/cancel", map[string]any{}, nil); err != nil {
		t.Error(err)
	}
	if end := w.awaitEnd(held); end.State != topics.Cancelled {
		t.Errorf("the cancelled job is %s", end.State)
	}
	if starts := nas.ledger()[held]; starts.all > 0 {
		t.Errorf("what was held was begun %d times", starts.all)
	}
	held = nas.ask()

	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	for _, id := range []topics.JobID{runs, held} {
		if end := w.awaitEnd(id); end.State != topics.Succeeded {
			t.Errorf("job %s is %s: %s", id, end.State, end.Message)
		}
		w.mustCount(id, 2000)
	}
	level("")
	if info, err := os.Stat(reserve); err != nil || info.Size() == 0 {
		t.Errorf("the reserve is not there again: %v", err)
	}
	r, err := http.Get("http://" + w.http + "/readyz")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("readyz: %v %v", r, err)
	}
	_ = r.Body.Close()
	if log := w.plane.Errs.String(); strings.Contains(log, "panic") {
		t.Error(log)
	}
}

// must is for what cannot fail unless the test is over anyway.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
