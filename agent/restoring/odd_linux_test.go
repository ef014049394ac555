package restoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// TestNothingIsWrittenThroughAnotherName has at the place of a file what restic before 0.17
// opens and writes to: a file elsewhere would be overwritten, or it would wait for ever.
func TestNothingIsWrittenThroughAnotherName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("d/a", "new content")
	id := w.backup()
	outside, to := filepath.Join(w.dir, "outside"), filepath.Join(w.dir, "to")
	a := filepath.Join(to, w.source, "d/a")
	put(t, outside, "mine")
	if err := os.MkdirAll(filepath.Dir(a), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() error{
		"link":      func() error { return os.Symlink(outside, a) },
		"hard link": func() error { return os.Link(outside, a) },
		"fifo":      func() error { return syscall.Mkfifo(a, 0o600) },
		"device":    func() error { return syscall.Mknod(a, syscall.S_IFCHR|0o600, 1<<8|3) },
	} {
		if err := make(); err != nil {
			t.Fatal(name, err)
		}
		for _, dry := range []bool{true, false} {
			o := topics.Operation{Snapshot: id, Target: to, Overwrite: "always", DryRun: dry}
			if e := w.do(o); !w.binary.Version.AtLeast(0, 17, 0) {
				w.want(e, topics.Failed, topics.CauseUsage, "1 item would be overwritten", a)
			}
		}
		if read(t, outside) != "mine" {
			t.Errorf("a %s was written through", name)
		}
		if err := os.Remove(a); err != nil {
			t.Fatal(err)
		}
	}
	put(t, a, "mine") // a plain file is written over
	w.want(w.do(topics.Operation{Snapshot: id, Target: to, Overwrite: "always"}), topics.Succeeded, "")
	if read(t, a) != "new content" {
		t.Error("it was not")
	}
}

// TestATimeThatIsSetBackHidesNoChange between a dry run and the run.
func TestATimeThatIsSetBackHidesNoChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("a", "what was saved")
	id := w.backup()
	a := filepath.Join(w.source, "a")
	then := time.Now().Add(-time.Hour)
	put(t, a, "work of a day")
	if err := os.Chtimes(a, then, then); err != nil {
		t.Fatal(err)
	}
	o := topics.Operation{Snapshot: id, InPlace: true, Paths: []string{a}, Overwrite: "always", DryRun: true}
	saw := w.want(w.do(o), topics.Succeeded, "")
	put(t, a, "a day's work.")
	if err := os.Chtimes(a, then, then); err != nil {
		t.Fatal(err)
	}
	o.DryRun, o.Preview = false, &topics.Preview{Job: topics.JobID(topics.NewID(time.Now())), Digest: saw.Digest}
	w.want(w.do(o), topics.Failed, topics.CausePreview, a)
	if read(t, a) != "a day's work." {
		t.Error("it was written over")
	}
}

// TestTheAgentsOwnFilesStay also where the policy allows everything; its folder for restores
// is for them.
func TestTheAgentsOwnFilesStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own, back := filepath.Join(w.state, "identity.json"), filepath.Join(w.state, "restored", "a")
	for _, p := range []string{own, back} {
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, p, "of before")
	}
	w.source = w.dir
	w.bare("backup", "--host", "attic", "--exclude", filepath.Join(w.dir, "repo"), "--exclude", filepath.Join(w.state, "cache"), w.dir)
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(w.bare("snapshots", "--json")), &list); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	id := list[0].ID
	link := filepath.Join(w.dir, "link")
	if err := os.Symlink("/", link); err != nil {
		t.Fatal(err)
	}
	put(t, own, "of now")
	do := func(o topics.Operation) (topics.JobState, topics.Cause, string) {
		j := w.job(o)
		j.Allowed = filepath.Join(w.state, "restored")
		e := j.Do(t.Context())
		return e.State, e.Cause, e.Message
	}
	for _, o := range []topics.Operation{
		{InPlace: true},
		{InPlace: true, Paths: []string{own}},
		{Target: "/"},
		{Target: w.state},
	} {
		o.Snapshot, o.Overwrite = id, "always"
		if state, cause, said := do(o); state != topics.Failed || cause != topics.CausePolicy || !strings.Contains(said, "agent's own files") {
			t.Errorf("%+v ended %s %s: %s", o, state, cause, said)
		}
	}
	if read(t, own) != "of now" {
		t.Error("the agent's own file was written over")
	}
	o := topics.Operation{Snapshot: id, InPlace: true, Paths: []string{back}, Overwrite: "always"}
	if state, _, said := do(o); state != topics.Succeeded {
		t.Errorf("into the folder for restores: %s", said)
	}
	for _, target := range []string{link, "/proc/self/root"} {
		o.InPlace, o.Target = false, target
		if state, _, said := do(o); state != topics.Failed || !strings.Contains(said, "leads to the root") {
			t.Errorf("to %s: %s", target, said)
		}
	}
}

// TestWhatCouldNotBeFinishedIsTriedAgain when the disk is there again, until it is too late.
func TestWhatCouldNotBeFinishedIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		w := newWorld(t)
		w.write("a", "a")
		if err := os.Chown(filepath.Join(w.source, "a"), 1003, 1003); err != nil {
			t.Fatal(err)
		}
		id := w.backup()
		to, away := filepath.Join(w.dir, "to"), filepath.Join(w.dir, "away")
		j := w.job(topics.Operation{Snapshot: id, Target: to, NoOwners: true})
		r, err := j.begin()
		if err != nil {
			t.Fatal(err)
		}
		r.survey(t.Context(), &Sweeper{Dir: filepath.Join(w.state, listings)})
		at, err := r.open()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.record.begin(at.header()); err != nil {
			t.Fatal(err)
		}
		w.bare("restore", id, "--target", filepath.Join(to, at.name, contents))
		at.close()
		r.record.file.Close() // and nothing more: it was killed
		if err := os.Rename(to, away); err != nil {
			t.Fatal(err)
		}
		if did, err := Finish(w.state, j.Place.Job); err == nil {
			t.Errorf("without its target it says %q", did)
		}
		now := time.Now()
		if said := FinishLeft(w.state, now); len(said) > 0 {
			t.Errorf("still without, it says %q", said)
		}
		if late {
			if said := FinishLeft(w.state, now.Add(keepTrying+time.Minute)); len(said) != 1 || !strings.Contains(said[0], "not tried any more") {
				t.Errorf("at last it says %q", said)
			}
		}
		if err := os.Rename(away, to); err != nil {
			t.Fatal(err)
		}
		said := FinishLeft(w.state, now)
		if info, err := os.Stat(filepath.Join(to, w.source, "a")); late != (err != nil) || late != (len(said) == 0) ||
			err == nil && info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Errorf("late %t: it says %q, and there is %v, %v", late, said, info, err)
		}
	}
}

// TestFilesThatAreListedAlikeAreAllGivenAway: restic lists names that differ only in what is
// not UTF-8 by one name.
func TestFilesThatAreListedAlikeAreAllGivenAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := []string{"a\xfe", "a\xff", "d\xfe/a\xfe", "d\xff/a\xfe", "d\xff/a\xff", "d\xff/\uFFFD"}
	for _, name := range names {
		w.write(name, name)
		if at := filepath.Join(w.source, name); os.Chown(at, 1003, 1003) != nil || os.Chmod(at, 0o4755) != nil {
			t.Fatal(at)
		}
		if err := os.Chown(filepath.Dir(filepath.Join(w.source, name)), 1003, 1003); err != nil {
			t.Fatal(err)
		}
	}
	id := w.backup()
	to := filepath.Join(w.dir, "to")
	w.want(w.do(topics.Operation{Snapshot: id, Target: to, NoOwners: true}), topics.Succeeded, "")
	for _, name := range names {
		for at := filepath.Join(to, w.source, name); at != to; at = filepath.Dir(at) {
			info, err := os.Lstat(at)
			if err != nil || info.Mode()&os.ModeSetuid != 0 || info.Sys().(*syscall.Stat_t).Uid != 0 {
				t.Errorf("%q: %v, %v", at, info.Mode(), err)
			}
		}
	}
}
