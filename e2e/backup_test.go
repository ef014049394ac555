package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// contents describes every entry below root: its kind, and what is in it.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			all[name] = "directory"
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			all[name] = "link to " + to
			return err
		default:
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			h := sha256.New()
			n, err := io.Copy(h, f)
			all[name] = fmt.Sprintf("%d bytes, %x", n, h.Sum(nil))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mustBeEqualTrees(t *testing.T, want, got string) {
	t.Helper()
	w, g := contents(t, want), contents(t, got)
	for name, is := range w {
		if g[name] != is {
			t.Errorf("%q is restored as %q, want %q", name, g[name], is)
		}
	}
	if len(w) != len(g) {
		t.Errorf("%d entries are restored, want %d", len(g), len(w))
	}
	if len(w) < 3 {
		t.Errorf("a tree of %d entries proves nothing", len(w))
	}
}

func TestABackupCanBeRestoredByPlainRestic(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/dear reader.txt", "dear reader")
	attic.Write("letters/Grüße aus Köln — 写信 ☂.txt", "你好")
	attic.Write("letters/a\nline break", "in its name")
	attic.Write("letters/-rf", "looks like a flag")
	attic.Write("empty", "")
	attic.Noise("photo.raw", 64)
	for to, link := range map[string]string{"letters/dear reader.txt": "a link", "nowhere": "a dangling link"} {
		if err := os.Symlink(to, filepath.Join(attic.Home, link)); err != nil {
			t.Fatal(err)
		}
	}
	whole := attic.GroupToBegin("whole")
	good := w.AwaitState(attic.Backup("whole"), "succeeded")
	if good.SnapshotID == "" || good.ExitCode == nil || *good.ExitCode != 0 || good.Cause != "" || good.Kind != "backup" ||
		good.Host != attic.ID {
		t.Errorf("the job is %+v", good)
	}
	for name, at := range map[string][]byte{"queued_at": good.QueuedAt, "started_at": good.StartedAt, "finished_at": good.FinishedAt} {
		if len(at) == 0 || bytes.Equal(at, []byte("null")) || bytes.Equal(at, []byte(`""`)) || bytes.Equal(at, []byte("0")) {
			t.Errorf("%s is %s", name, at)
		}
	}
	w.mustBeComplete(good.ID, 0)
	restored := t.TempDir()
	restic(t, whole, "check", "--read-data")
	restic(t, whole, "restore", good.SnapshotID, "--target", restored)
	mustBeEqualTrees(t, attic.Home, filepath.Join(restored, attic.Home))

	// Root reads everything but what the kernel itself refuses. /proc/self is a link, and
	// leads to the agent.
	partly := attic.Group("partly", attic.Home, "/proc/self/mem")
	warned := w.AwaitState(attic.Backup("partly"), "warnings")
	if warned.SnapshotID == "" || warned.ExitCode == nil || *warned.ExitCode != 3 || warned.Cause == "" ||
		!strings.Contains(warned.Message, "/mem: read") {
		t.Errorf("the job is %+v, want one that names what is missing", warned)
	}
	if !slices.ContainsFunc(w.Log(warned.ID, 0), func(l Line) bool {
		return l.Level != "info" && strings.Contains(l.Text, "/mem: read")
	}) {
		t.Errorf("the log does not warn of what is missing:\n%s", w.logText(warned.ID))
	}
	restored = t.TempDir()
	restic(t, partly, "restore", warned.SnapshotID, "--target", restored)
	mustBeEqualTrees(t, attic.Home, filepath.Join(restored, attic.Home))

	if ids := attic.Snapshots(); len(ids) != 2 || !slices.Contains(ids, good.SnapshotID) || !slices.Contains(ids, warned.SnapshotID) {
		t.Errorf("the control plane knows snapshots %v, want %s and %s", ids, good.SnapshotID, warned.SnapshotID)
	}
	w.MustStopCleanly()
}

func TestALogIsReadFromAnywhere(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	attic.Restic = NewStandIn(t, attic.Dir, "words 1 3000").Path
	attic.Write("a", "a")
	attic.Group("all")
	attic.Start()
	job := w.AwaitState(attic.Backup("all"), "succeeded")
	w.mustBeComplete(job.ID, 3000)
	whole := w.Log(job.ID, 0)
	for _, after := range []int{1, 1500, len(whole) - 1, len(whole), len(whole) + 10} {
		rest := w.Log(job.ID, after)
		if want := max(0, len(whole)-after); len(rest) != want || want > 0 && rest[0].N != after+1 {
			t.Errorf("after=%d gives %d lines, want %d from number %d on", after, len(rest), want, after+1)
		}
	}
	w.MustStopCleanly()
}

func TestAJobIsFollowedOverAWebSocket(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	standIn := NewStandIn(t, attic.Dir, "words 1 200; gate middle; words 201 400; gate end")
	attic.Restic = standIn.Path
	attic.Noise("photo.raw", 4)
	attic.Group("all")
	id := attic.Backup("all")
	whole := w.Follow(id, 0) // from before it starts
	attic.Start()
	whole.AwaitWord(200)
	late := w.Follow(id, 0)
	late.AwaitWord(200)
	resumed := w.Follow(id, late.LastLine())
	late.Drop()
	standIn.AwaitAt("middle")
	standIn.Open("middle")
	for _, f := range []*Follower{whole, resumed} {
		f.AwaitWord(400)
	}
	standIn.Open("end")
	job := w.AwaitState(id, "succeeded")
	for _, f := range []*Follower{whole, resumed} {
		f.AwaitClosed()
	}
	whole.MustTell([]string{"job.started", "log.stream", "job.finished"}, 1, job.Lines)
	resumed.MustTell([]string{"job.started", "log.stream", "job.finished"}, resumed.after+1, job.Lines)
	if !slices.Contains(whole.types(), "job.progress") {
		t.Errorf("no progress was told, only %v", whole.types())
	}
	after := w.Follow(id, job.Lines-1) // an ended job is told to its end, too
	after.AwaitClosed()
	after.MustTell([]string{"log.stream", "job.finished"}, job.Lines, job.Lines)
	w.MustStopCleanly()
}
