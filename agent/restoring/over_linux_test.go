package restoring

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/topics"
)

// as has the real restic pass for another version, which removes these places first and
// tells what it did.
func (w *world) as(v restic.Version, gone ...string) {
	w.t.Helper()
	if w.binary.Version.AtLeast(0, 15, 0) {
		w.t.Fatalf("it takes restic 0.14 to pass for %s", v)
	}
	remove := ""
	for _, p := range gone {
		remove += "rm -df '" + p + "'\n"
	}
	w.binary.Version = v
	w.through(`case " $* " in *" restore "*) ;; *) exec $REAL "$@";; esac
n=$#
while [ $n -gt 0 ]; do
	case $1 in
	--overwrite) shift 2; n=$((n-2)); continue;;
	--sparse|--verbose=2|--retry-lock*) ;;
	*) set -- "$@" "$1";;
	esac
	shift; n=$((n-1))
done
` + remove + `$REAL "$@"; e=$?
echo '{"message_type":"summary","total_files":1,"files_restored":1,"total_bytes":0,"bytes_restored":0}'
exit $e`)
}

// TestWhatIsNoFileGoesOverNothing before restic can remove what is there: it stays, the dry
// run says so, and the run fails for none of it.
func TestWhatIsNoFileGoesOverNothing(t *testing.T) {
	t.Parallel()
	for _, v := range []restic.Version{{Minor: 14}, {Minor: 16, Patch: 5}} {
		w := newWorld(t)
		if w.binary.Version.AtLeast(0, 15, 0) {
			return // it takes the oldest to pass for others
		}
		w.write("plain", "of the snapshot")
		at := func(name string) string { return filepath.Join(w.source, name) }
		for _, err := range []error{
			os.Symlink("plain", at("link")), os.Symlink("plain", at("link-on-file")), os.Symlink("plain", at("link-on-folder")),
			syscall.Mkfifo(at("fifo"), 0o600), syscall.Mkfifo(at("fifo-on-file"), 0o600),
			syscall.Mknod(at("device"), syscall.S_IFCHR|0o600, 1<<8|3),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		id := w.backup()
		to := filepath.Join(w.dir, "to")
		w.want(w.do(topics.Operation{Snapshot: id, Target: to}), topics.Succeeded, "")
		at = func(name string) string { return filepath.Join(to, w.source, name) }
		for _, name := range []string{"link-on-file", "link-on-folder", "fifo-on-file"} {
			if err := os.Remove(at(name)); err != nil {
				t.Fatal(err)
			}
		}
		put(t, at("link-on-file"), "mine")
		put(t, at("fifo-on-file"), "mine")
		if err := os.Mkdir(at("link-on-folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		o := topics.Operation{Snapshot: id, Target: to, Overwrite: "always"}
		want := topics.Restored{Overwritten: 1, Unchanged: 2, Skipped: 4} // plain; link and fifo; what is another
		if v.Minor == 16 {
			w.as(v, at("link"), at("link-on-file"), at("link-on-folder"))
			want = topics.Restored{Overwritten: 4, Unchanged: 1, Skipped: 2}
		} else {
			put(t, filepath.Join(at("link-on-folder"), "mine"), "mine")
		}
		o.DryRun = true
		dry := w.do(o)
		saw := w.want(dry, topics.Succeeded, "")
		o.DryRun, o.Preview = false, &topics.Preview{Job: "dry-run-1", Digest: saw.Digest}
		e := w.do(o)
		got := w.want(e, topics.Succeeded, "")
		for _, n := range []topics.Restored{saw, got} {
			if n.Matched != 7 || n.Overwritten != want.Overwritten || n.Unchanged != want.Unchanged || n.Skipped != want.Skipped || n.Restored > 0 {
				t.Errorf("%v: %+v, want %+v", v, n, want)
			}
		}
		if got.Failed+got.Errors > 0 || len(e.Report.Failures) > 0 || !strings.Contains(w.text(), "puts no link, FIFO or device over") {
			t.Errorf("%v: it failed: %+v\n%s", v, e.Report.Failures, w.text())
		}
		for _, p := range dry.Report.Planned {
			info, err := os.Lstat(p.Path)
			if err != nil {
				t.Fatal(err)
			}
			link := info.Mode()&fs.ModeSymlink != 0
			if strings.HasPrefix(filepath.Base(p.Path), "link-") && link != (p.Action == topics.PlanOverwrite) {
				t.Errorf("%v: the plan says %s of %s, which is %v", v, p.Action, p.Path, info.Mode())
			}
		}
		if read(t, at("fifo-on-file")) != "mine" || v.Minor == 14 && read(t, at("link-on-file")) != "mine" {
			t.Errorf("%v: a file is gone", v)
		}
		// A link that cannot be made where nothing is has failed.
		if v.Minor == 14 {
			w.through(`echo "ignoring error for ` + w.source + `/link: Symlink: symlink plain x: file exists" >&2
case " $* " in *" restore "*) $REAL "$@"; rm -rf '` + w.dir + `/other` + w.source + `/link'; exit 1;; esac; exec $REAL "$@"`)
			o = topics.Operation{Snapshot: id, Target: filepath.Join(w.dir, "other"), Overwrite: "always"}
			if n := w.want(w.do(o), topics.Warnings, topics.CauseUnreadable, "1 item", w.source+"/link"); n.Failed != 1 {
				t.Errorf("%+v", n)
			}
		}
	}
}

// TestFilesAndFoldersOverEachOther are refused where restic would fail, and planned where it
// removes what is in the way.
func TestFilesAndFoldersOverEachOther(t *testing.T) {
	t.Parallel()
	now := restic.Version{Minor: 17, Patch: 3}
	for name, c := range map[string]struct {
		as      restic.Version
		mode    string
		folder  string // at the place of a file: "", "empty" or "full"
		file    bool   // at the place of a folder
		refused string
		over    uint64
		kept    uint64
	}{
		"a file over an empty folder, 0.14":       {restic.Version{}, "always", "empty", false, "cannot put it there", 0, 0},
		"a file over a folder, 0.14":              {restic.Version{}, "always", "full", false, "cannot put it there", 0, 0},
		"a file over an empty folder":             {now, "always", "empty", false, "", 2, 0},
		"a file over a folder":                    {now, "always", "full", false, "with something in it", 0, 0},
		"a file over a folder, if it has changed": {now, "if-changed", "full", false, "with something in it", 0, 0},
		"a file beside a folder that stays":       {now, "never", "full", false, "", 0, 2},
		"a folder over a file":                    {now, "always", "", true, "", 3, 0},
		"a folder over a file, never":             {now, "never", "", true, "allow to overwrite always", 0, 0},
		"a folder over a file, 0.14":              {restic.Version{}, "always", "", true, "would follow it or fail", 0, 0},
	} {
		w := newWorld(t)
		if w.binary.Version.AtLeast(0, 15, 0) {
			return
		}
		w.write("f/file", "of the snapshot")
		w.write("f/other", "of the snapshot")
		if c.file {
			if err := os.Mkdir(filepath.Join(w.source, "f/folder"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		id := w.backup()
		to := filepath.Join(w.dir, "to")
		at := func(name string) string { return filepath.Join(to, w.source, "f", name) }
		if err := os.MkdirAll(filepath.Dir(at("x")), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, at("other"), "mine")
		if c.file {
			put(t, at("folder"), "mine")
			put(t, at("file"), "mine")
		} else if err := os.Mkdir(at("file"), 0o700); err != nil {
			t.Fatal(err)
		}
		if c.folder == "full" {
			put(t, filepath.Join(at("file"), "mine"), "mine")
		}
		before := time.Now().Add(-time.Hour)
		if err := errors.Join(os.Chtimes(at("file"), before, before), os.Chtimes(at("other"), before, before)); err != nil {
			t.Fatal(err)
		}
		if c.as.Minor > 0 {
			gone := []string{at("file"), at("folder")}
			if c.mode == "never" {
				gone = nil
			}
			w.as(c.as, gone...)
		}
		o := topics.Operation{Snapshot: id, Target: to, Overwrite: c.mode, DryRun: true}
		dry := w.do(o)
		if c.refused != "" {
			w.want(dry, topics.Failed, topics.CauseUsage, "1 item would be overwritten at the target", c.refused)
			o.DryRun, w.lines = false, nil
			w.want(w.do(o), topics.Failed, topics.CauseUsage, c.refused)
			if strings.Contains(w.text(), " restore ") || read(t, at("other")) != "mine" {
				t.Errorf("%s: restic was started:\n%s", name, w.text())
			}
			continue
		}
		saw := w.want(dry, topics.Succeeded, "")
		o.DryRun, o.Preview = false, &topics.Preview{Job: "dry-run-1", Digest: saw.Digest}
		got := w.want(w.do(o), topics.Succeeded, "")
		for _, n := range []topics.Restored{saw, got} {
			if n.Matched != 2 || n.Overwritten != c.over || n.Skipped != c.kept || n.Files != c.over {
				t.Errorf("%s: %+v", name, n)
			}
		}
		planned := map[string]string{}
		for _, p := range dry.Report.Planned {
			planned[p.Path] = p.Action
		}
		for _, n := range []string{"file", "folder"} {
			if info, err := os.Lstat(at(n)); err == nil && (planned[at(n)] == topics.PlanOverwrite) != (info.IsDir() == (n == "folder")) {
				t.Errorf("%s: the plan says %q of %s, which is %v", name, planned[at(n)], n, info.Mode())
			}
		}
	}
}
