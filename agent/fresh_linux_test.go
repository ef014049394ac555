package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// TestEveryRestoreIntoADirectoryOfItsOwnSucceeds restores twice below the folder that
// the narrowest policy names, where a second restore to the same target is refused.
func TestEveryRestoreIntoADirectoryOfItsOwnSucceeds(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.run()
	root := filepath.Join(w.state, quarantine)
	to := ""
	w.seen("a hello", func() bool {
		if len(w.hellos) > 0 && w.hellos[0].Facts.Permits != nil {
			to = w.hellos[0].Facts.Permits.RestoreTo
		}
		return to != ""
	})
	if to != root {
		t.Errorf("the hello says that restores go to %q, want %q", to, root)
	}
	run := w.backup()
	made := w.awaitEnd(w.order(run))
	if made.Snapshot == nil {
		t.Fatalf("%+v", made)
	}
	restore := func(target string, fresh, dry bool) topics.Finished {
		t.Helper()
		q := run
		q.Kind, q.Group = topics.RestoreJob, topics.SourceGroup{}
		q.Operation = topics.Operation{Snapshot: made.Snapshot.ID, Target: target, Fresh: fresh, DryRun: dry}
		return w.awaitEnd(w.order(q))
	}
	for _, name := range []string{"one", "two"} {
		end := restore(filepath.Join(root, name), true, false)
		if end.State != topics.Succeeded || end.Result == nil || end.Result.Restore == nil {
			t.Fatalf("%s: %+v", name, end)
		}
		b, err := os.ReadFile(filepath.Join(end.Result.Restore.Target, w.home, "letter.txt"))
		if err != nil || string(b) != "dear reader" {
			t.Errorf("%s: in %q there is %q, %v", name, end.Result.Restore.Target, b, err)
		}
	}
	if end := restore(filepath.Join(root, "one"), false, false); end.Cause != topics.CausePolicy ||
		!strings.Contains(end.Message, "is not empty, and this host's policy") {
		t.Errorf("a second time to the same: %+v", end)
	}
	end := restore(filepath.Join(root, "dry"), true, true)
	if end.State != topics.Succeeded || end.Result.Restore.Target != "" {
		t.Errorf("dry: %+v", end)
	}
	if _, err := os.Lstat(filepath.Join(root, "dry")); err == nil {
		t.Error("a dry run left the directory that was named for it")
	}
	// Through a link of the administrator's, it is said where the files really are.
	outside, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.manage()
	if err := os.Symlink(outside, filepath.Join(w.folder, "lead")); err != nil {
		t.Fatal(err)
	}
	if end := restore(filepath.Join(w.folder, "lead", "x"), true, false); end.State != topics.Succeeded ||
		end.Result.Restore.Target != filepath.Join(outside, "x") {
		t.Errorf("through a link: %+v %+v", end, end.Result)
	}
}

// TestARestoreThatWritesNothingLeavesNoFolder: neither the one that was named for it, nor
// those above it that were made for that. What was there stays.
func TestARestoreThatWritesNothingLeavesNoFolder(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.run()
	run := w.backup()
	made := w.awaitEnd(w.order(run))
	if made.Snapshot == nil {
		t.Fatalf("%+v", made)
	}
	here := filepath.Join(w.state, quarantine)
	restore := func(o topics.Operation) topics.Finished {
		t.Helper()
		q := run
		q.Kind, q.Group, q.Operation = topics.RestoreJob, topics.SourceGroup{}, o
		return w.awaitEnd(w.order(q))
	}
	for _, policy := range []string{"narrow", "managed"} {
		if policy == "managed" {
			w.manage()
			here = filepath.Join(w.folder, "managed")
		}
		if err := os.MkdirAll(filepath.Join(here, "empty"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			o     topics.Operation
			cause topics.Cause
		}{
			"not as the dry run saw it": {topics.Operation{Snapshot: made.Snapshot.ID,
				Preview: &topics.Preview{Job: "01890a5d-ac96-774b-bcce-b302099a8057", Digest: strings.Repeat("ab", 32)}}, topics.CausePreview},
			"nothing of it is there": {topics.Operation{Snapshot: made.Snapshot.ID, Paths: []string{"/nosuch"}}, topics.CauseNoMatch},
			"no such snapshot":       {topics.Operation{Snapshot: strings.Repeat("ab", 32)}, topics.CauseNoSnapshot},
		} {
			for _, to := range []string{"new", "new/deep/er", "empty", "empty/new"} {
				o := c.o
				o.Target = filepath.Join(here, to)
				if end := restore(o); end.State != topics.Failed || end.Cause != c.cause {
					t.Errorf("%s, %s: %+v", policy, name, end)
				}
				if left := entriesOf(t, here); len(left) != 1 || left[0] != "empty" {
					t.Errorf("%s, %s, to %s: %v is left", policy, name, to, left)
				}
				if left := entriesOf(t, filepath.Join(here, "empty")); len(left) != 0 {
					t.Errorf("%s, %s, to %s: %v is left in a folder that was there", policy, name, to, left)
				}
			}
		}
		if end := restore(topics.Operation{Snapshot: made.Snapshot.ID, Target: filepath.Join(here, "good")}); end.State != topics.Succeeded {
			t.Errorf("%s: %+v", policy, end)
		}
	}
}

func entriesOf(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
