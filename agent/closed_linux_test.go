package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/topics"
)

// TestADiskThatTakesNoFolderIsNoMatterOfThePolicy: what keeps the target of a restore from
// being made is told by its cause. A link is the policy's matter.
func TestADiskThatTakesNoFolderIsNoMatterOfThePolicy(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	disk := filepath.Join(w.folder, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m,nr_inodes=3"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(disk, unix.MNT_DETACH) }()
	p, err := LoadPolicy(w.state)
	p.RestoreRoots = []string{disk}
	if err = errors.Join(err, p.Save(w.state), os.Mkdir(filepath.Join(disk, "d"), 0o700)); err == nil {
		err = os.Symlink("/", filepath.Join(disk, "link"))
	}
	if err != nil {
		t.Fatal(err)
	}
	w.run()
	run := w.backup()
	made := w.awaitEnd(w.order(run))
	if made.Snapshot == nil {
		t.Fatalf("%+v", made)
	}
	restore := func(to string) topics.Finished {
		q := run
		q.Kind, q.Group = topics.RestoreJob, topics.SourceGroup{}
		q.Operation = topics.Operation{Snapshot: made.Snapshot.ID, Target: filepath.Join(disk, to)}
		return w.awaitEnd(w.order(q))
	}
	must := func(end topics.Finished, cause topics.Cause, says string) {
		t.Helper()
		if end.State != topics.Failed || end.Cause != cause || !strings.Contains(end.Message, says) {
			t.Errorf("%s %s: %s, want %s: %s", end.State, end.Cause, end.Message, cause, says)
		}
	}
	must(restore("d/new"), topics.CauseHostDisk, "the target cannot be written: ")
	must(restore("link/new"), topics.CausePolicy, "is a link")
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=1m,nr_inodes=3"); err != nil {
		t.Fatal(err)
	}
	must(restore("d/new"), topics.CausePermission, "the target cannot be written: ")
	must(restore("link/new"), topics.CausePolicy, "is a link")
}
