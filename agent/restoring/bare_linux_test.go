package restoring

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	treeof "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// TestARestoreWithoutProc runs this test once more where /proc is not mounted, as in a bare
// chroot.
func TestARestoreWithoutProc(t *testing.T) {
	if os.Getenv("RESTORE_WITHOUT_PROC") == "" {
		t.Parallel()
		cmd := exec.Command("sh", "-c", `mount --make-rprivate / && umount -l /proc && exec "$0" -test.run='^TestARestoreWithoutProc$' -test.v`,
			os.Args[0])
		cmd.Env = append(os.Environ(), "RESTORE_WITHOUT_PROC=yes")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "restored without /proc") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if hasProc() {
		t.Fatal("/proc is there")
	}
	w := newWorld(t)
	treeof.Tree{Files: 100, Root: true}.Plant(t, w.source)
	id := w.backup()
	to := filepath.Join(w.dir, "to")
	n := w.want(w.do(topics.Operation{Snapshot: id, Target: to}), topics.Succeeded, "")
	if n.Restored != n.Matched || n.Restored < 100 || n.Failed > 0 {
		t.Errorf("%+v", n)
	}
	for _, d := range treeof.Differences(w.source, filepath.Join(to, w.source), treeof.Leave{}) {
		t.Error(d)
	}
	for _, dry := range []bool{true, false} {
		w.want(w.do(topics.Operation{Snapshot: id, Target: to + "2", NoOwners: true, DryRun: dry}), topics.Failed, topics.CauseUsage,
			"/proc is not mounted", "with owners")
	}
	if _, err := os.Lstat(to + "2"); err == nil {
		t.Error("the target was made")
	}
	t.Log("restored without /proc")
}

// TestAFileSystemThatKeepsNoRights has no stage: a directory made there is another's, or
// open to all. What is known of such a target is the same.
func TestAFileSystemThatKeepsNoRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("d/a", "a")
	w.write("d/b", "b")
	d := filepath.Join(w.source, "d")
	if err := errors.Join(os.Chown(filepath.Join(d, "a"), 1003, 1003), os.Symlink("a", filepath.Join(d, "link"))); err != nil {
		t.Fatal(err)
	}
	id := w.backup()
	args := filepath.Join(w.dir, "args")
	w.through(`case " $* " in *" restore "*) echo "$*" >` + args + `;; esac; exec $REAL "$@"`)
	for kind, staged := range map[int64]bool{unix.MSDOS_SUPER_MAGIC: false, unix.FUSE_SUPER_MAGIC: false, unix.NFS_SUPER_MAGIC: false,
		unix.EXT4_SUPER_MAGIC: true, unix.TMPFS_MAGIC: true} {
		j := w.job(topics.Operation{Snapshot: id, Target: filepath.Join(w.dir, fmt.Sprintf("to-%x", kind))})
		j.fileSystem = func(*os.File) int64 { return kind }
		w.want(j.Do(t.Context()), topics.Succeeded, "")
		if said := read(t, args); strings.Contains(said, "--target /proc/self/fd/3/") != staged {
			t.Errorf("%x: it was %s", kind, said)
		}
		if left, _ := filepath.Glob(filepath.Join(j.Operation.Target, ".*")); len(left) > 0 {
			t.Errorf("%x: %v is left", kind, left)
		}
		if read(t, filepath.Join(j.Operation.Target, w.source, "d/a")) != "a" {
			t.Errorf("%x: it did not come", kind)
		}
	}
	// restic says of each file of another owner that it could not be given to him, in these words.
	w.through(`case " $* " in *" restore "*) $REAL "$@"; for f in d/a d/link d; do
		echo "ignoring error for ` + w.source + `/$f: Lchown: lchown ` + w.dir + `/lost` + w.source + `/$f: operation not permitted" >&2; done
		echo "Fatal: There were 3 errors" >&2; exit 1;; esac; exec $REAL "$@"`)
	to := filepath.Join(w.dir, "lost")
	e := w.do(topics.Operation{Snapshot: id, Target: to})
	n := w.want(e, topics.Warnings, topics.CausePermission, "3 items came without the owner they had", "d/a")
	if n.Restored != 3 || n.Failed+n.Errors != 0 || len(e.Report.Failures) != 3 {
		t.Errorf("%+v, %+v", n, e.Report.Failures)
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	e = w.do(topics.Operation{Snapshot: id, Target: to, NoOwners: true}) // nobody asked for them
	if n = w.want(e, topics.Succeeded, ""); n.Restored != 3 || n.Errors != 0 || len(e.Report.Failures) != 0 {
		t.Errorf("without owners %+v, %+v", n, e.Report.Failures)
	}
	// The same words of a file that is not there, and others of one that is, are failures.
	w.through(`case " $* " in *" restore "*) $REAL "$@"; find ` + w.dir + `/lost -name b -delete
		echo "ignoring error for ` + w.source + `/d/b: Lchown: lchown /x: operation not permitted" >&2
		echo "ignoring error for ` + w.source + `/d/a: open lchown : operation not permitted" >&2
		echo "Fatal: There were 2 errors" >&2; exit 1;; esac; exec $REAL "$@"`)
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	n = w.want(w.do(topics.Operation{Snapshot: id, Target: to}), topics.Warnings, topics.CausePermission, "could not be restored")
	if n.Failed == 0 || n.Restored > 2 {
		t.Errorf("%+v", n)
	}
}
