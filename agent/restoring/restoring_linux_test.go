package restoring

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/agent/restic"
	treeof "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAWholeTreeComesBack restores every kind of file, and what the dry run said is what
// came.
func TestAWholeTreeComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tree := treeof.Tree{Files: 400, Root: true}
	tree.Plant(t, w.source)
	id := w.backup()
	to := filepath.Join(w.dir, "new", "folder")
	dry := w.do(topics.Operation{Snapshot: id, Target: to, DryRun: true})
	saw := w.want(dry, topics.Succeeded, "")
	if _, err := os.Lstat(filepath.Dir(to)); err == nil {
		t.Error("a dry run made the target")
	}
	if saw.Matched < 400 || saw.Restored != saw.Matched || saw.Files != saw.Matched || saw.Folders < 100 || saw.NeedBytes < saw.Bytes ||
		saw.FreeBytes == 0 || len(saw.Digest) != 64 || uint64(len(dry.Report.Planned)) != saw.Matched || dry.Result.Truncated ||
		dry.Report.Planned[0].Action != topics.PlanNew || !strings.HasPrefix(dry.Report.Planned[0].Path, to) {
		t.Errorf("the dry run saw %+v, %d planned", saw, len(dry.Report.Planned))
	}
	e := w.do(topics.Operation{Snapshot: id, Target: to, Preview: &topics.Preview{Job: "dry-run-1", Digest: saw.Digest}})
	got := w.want(e, topics.Succeeded, "")
	if got.Matched != saw.Matched || got.Restored != saw.Restored || got.Bytes != saw.Bytes || got.Failed+got.Errors+got.Overwritten > 0 ||
		got.Target != to {
		t.Errorf("it restored %+v, the dry run said %+v", got, saw)
	}
	for _, d := range treeof.Differences(w.source, filepath.Join(to, w.source), treeof.Leave{}) {
		t.Error(d)
	}
	if left, _ := filepath.Glob(filepath.Join(to, stagePrefix+"*")); len(left) > 0 {
		t.Errorf("%v is left in the target", left)
	}
	if w.binary.Version.AtLeast(0, 15, 0) {
		if info, err := os.Stat(filepath.Join(to, w.source, "kinds/sparse")); err != nil || info.Sys().(*syscall.Stat_t).Blocks > 8000 {
			t.Errorf("the file with holes has none any more: %+v, %v", info, err)
		}
	}
	// Once more into the same: all of it is there.
	if w.binary.Version.AtLeast(0, 17, 0) {
		again := w.want(w.do(topics.Operation{Snapshot: id, Target: to}), topics.Succeeded, "")
		if again.Unchanged+again.Skipped != saw.Matched || again.Files > 0 {
			t.Errorf("once more: %+v", again)
		}
		for _, d := range treeof.Differences(w.source, filepath.Join(to, w.source), treeof.Leave{}) {
			t.Error("once more: ", d)
		}
	}
}

// TestABasketIsItemsOfSeveralSnapshots chooses from two snapshots, and one item that is
// in neither.
func TestABasketIsItemsOfSeveralSnapshots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("letters/1", "first")
	w.write("odd/star*[1]?", "one")
	w.write("odd/star-not-this", "two")
	w.write(`odd/back\slash`, "three")
	w.write("odd/--help", "options")
	w.write("odd/line\nbreak", "four")
	w.write("odd/$HOME", "five")
	one := w.backup()
	w.write("letters/1", "second")
	w.write("letters/2", "more")
	two := w.backup()
	at := func(name string) string { return filepath.Join(w.source, name) }
	to := filepath.Join(w.dir, "to")
	o := topics.Operation{Target: to, Items: []topics.Item{
		{Snapshot: one, Paths: []string{at("letters/1"), at("odd/star*[1]?"), at("odd/--help")}},
		{Snapshot: two, Paths: []string{at("letters/2")}},
		{Snapshot: one, Paths: []string{at("odd/line\nbreak"), at("odd/$HOME"), at(`odd/back\slash`)}},
	}}
	n := w.want(w.do(o), topics.Succeeded, "")
	if n.Matched != 7 || n.Restored != 7 || n.Bytes != 5+3+7+4+4+4+5 {
		t.Errorf("%+v", n)
	}
	var got []string
	_ = filepath.WalkDir(filepath.Join(to, w.source), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(filepath.Join(to, w.source), path)
			got = append(got, rel)
		}
		return err
	})
	if want := []string{"letters/1", "letters/2", "odd/$HOME", "odd/--help", `odd/back\slash`, "odd/line\nbreak",
		"odd/star*[1]?"}; !slices.Equal(got, want) {
		t.Errorf("restored %q, want %q", got, want)
	}
	if read(t, filepath.Join(to, at("letters/1"))) != "first" {
		t.Error("a file is of the wrong snapshot")
	}
	if n := strings.Count(w.text(), " restore "); n != 2 {
		t.Errorf("%d restics for two snapshots:\n%s", n, w.text())
	}

	o.Target = filepath.Join(w.dir, "some")
	o.Items[1].Paths = append(o.Items[1].Paths, at("nosuch"))
	n = w.want(w.do(o), topics.Warnings, topics.CauseNoMatch, "holds no "+at("nosuch"))
	if n.Restored != 7 || len(n.Unmatched) != 1 || n.Unmatched[0].Snapshot != two ||
		!slices.Equal(n.Unmatched[0].Paths, []string{at("nosuch")}) {
		t.Errorf("%+v", n)
	}
	o = topics.Operation{Target: filepath.Join(w.dir, "none"), Items: []topics.Item{
		{Snapshot: one, Paths: []string{at("letters/2"), "/nosuch"}}, {Snapshot: two, Paths: []string{"/neither"}},
	}}
	for _, o.DryRun = range []bool{true, false} {
		n = w.want(w.do(o), topics.Failed, topics.CauseNoMatch, "3 items", "/nosuch")
		if n.Matched+n.Files > 0 || len(n.Unmatched) != 2 {
			t.Errorf("%+v", n)
		}
	}
	if _, err := os.Lstat(o.Target); err == nil {
		t.Error("nothing matched, and the target was made")
	}
	w.want(w.do(topics.Operation{Target: to + "2", Snapshot: strings.Repeat("ab", 32)}), topics.Failed, topics.CauseNoSnapshot)
}

// TestWhatIsThereIsCompared looks at each way to overwrite, and that a dry run says what
// the run then does.
func TestWhatIsThereIsCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"same", "older", "newer", "longer", "missing"} {
		w.write("f/"+name, "content of "+name)
	}
	if err := os.Symlink("same", filepath.Join(w.source, "f", "link")); err != nil {
		t.Fatal(err)
	}
	id := w.backup()
	for _, c := range []struct {
		mode                    string
		fresh, over, same, kept uint64
		changed                 []string
		refused                 bool // before 0.17
	}{
		{"never", 1, 0, 2, 3, nil, true},
		{"if-changed", 1, 3, 2, 0, []string{"older", "newer", "longer"}, true},
		{"if-newer", 1, 2, 2, 1, []string{"older", "longer"}, true},
		{"always", 1, 3, 2, 0, []string{"older", "newer", "longer"}, false},
	} {
		to := filepath.Join(w.dir, "to-"+c.mode)
		w.want(w.do(topics.Operation{Snapshot: id, Target: to}), topics.Succeeded, "")
		at := func(name string) string { return filepath.Join(to, w.source, "f", name) }
		info, err := os.Stat(filepath.Join(w.source, "f", "same"))
		if err != nil {
			t.Fatal(err)
		}
		for name, when := range map[string]time.Time{"older": info.ModTime().Add(-time.Hour), "newer": info.ModTime().Add(time.Hour),
			"longer": info.ModTime().Add(-time.Minute)} {
			if err := os.WriteFile(at(name), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(at(name), when, when); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(at("missing")); err != nil {
			t.Fatal(err)
		}
		old := !w.binary.Version.AtLeast(0, 17, 0)
		o := topics.Operation{Snapshot: id, Target: to, Overwrite: c.mode, DryRun: true}
		if old && c.refused {
			for _, o.DryRun = range []bool{true, false} {
				w.want(w.do(o), topics.Failed, topics.CauseUsage, "5 files would be overwritten at the target", "install restic 0.17")
			}
			if read(t, at("older")) != "mine" {
				t.Errorf("%s: something was overwritten all the same", c.mode)
			}
			continue
		}
		if old { // always, and all of it; but a link before 0.16 goes over nothing
			c.over, c.same = 5, 0
			if !w.binary.Version.AtLeast(0, 16, 0) {
				c.over, c.same = 4, 1
			}
		}
		dry := w.do(o)
		saw := w.want(dry, topics.Succeeded, "")
		if saw.Restored != c.fresh || saw.Overwritten != c.over || saw.Unchanged != c.same || saw.Skipped != c.kept || saw.Matched != 6 {
			t.Errorf("%s: a dry run says %+v", c.mode, saw)
		}
		if c.over > 0 && dry.Report.Planned[0].Action != topics.PlanOverwrite {
			t.Errorf("%s: first in the plan is %+v", c.mode, dry.Report.Planned[0])
		}
		o.DryRun, o.Preview = false, &topics.Preview{Job: "dry-run-1", Digest: saw.Digest}
		e := w.do(o)
		if got := w.want(e, topics.Succeeded, ""); got.Restored != c.fresh || got.Overwritten != c.over || got.Unchanged != c.same ||
			got.Skipped != c.kept || got.Failed > 0 {
			t.Errorf("%s: a run says %+v, the dry run said %+v", c.mode, got, saw)
		}
		for _, name := range []string{"older", "newer", "longer"} {
			if is := read(t, at(name)); (is == "content of "+name) != slices.Contains(c.changed, name) {
				t.Errorf("%s: %s is %q", c.mode, name, is)
			}
		}
	}
}

// TestARunFindsWhatTheDryRunSaw changes what a dry run saw, in each way that counts.
func TestARunFindsWhatTheDryRunSaw(t *testing.T) {
	const selection = "the selection, the target or the way"
	t.Parallel()
	w := newWorld(t)
	if !w.binary.Version.AtLeast(0, 17, 0) {
		w.binary.Version = restic.Version{Minor: 17} // what 0.14 cannot is never reached here
		w.through(`case "$*" in *" restore "*|restore*) exit 0;; esac; exec $REAL "$@"`)
	}
	w.write("f/a", "a")
	w.write("f/b", "b")
	id := w.backup()
	for name, c := range map[string]struct {
		change func(t *testing.T, w *world, to string, o *topics.Operation)
		says   string
	}{
		"nothing": {func(*testing.T, *world, string, *topics.Operation) {}, ""},
		"a file that it would meet": {func(t *testing.T, w *world, to string, _ *topics.Operation) {
			put(t, filepath.Join(to, w.source, "f/a"), "another")
		}, "f/a is another"},
		"a file beside": {func(t *testing.T, w *world, to string, _ *topics.Operation) {
			put(t, filepath.Join(to, w.source, "f/beside"), "new")
		}, "f/beside has come"},
		"a file at the top": {func(t *testing.T, _ *world, to string, _ *topics.Operation) {
			put(t, filepath.Join(to, "top"), "")
		}, "top has come"},
		"one that is gone": {func(t *testing.T, w *world, to string, _ *topics.Operation) {
			if err := os.Remove(filepath.Join(to, w.source, "f/a")); err != nil {
				t.Fatal(err)
			}
		}, "f/a is gone"},
		"another selection": {func(_ *testing.T, w *world, _ string, o *topics.Operation) { o.Paths = []string{w.source + "/f/a"} }, selection},
		"another target":    {func(_ *testing.T, w *world, to string, o *topics.Operation) { o.Target = to + "2" }, selection},
		"owners":            {func(_ *testing.T, _ *world, _ string, o *topics.Operation) { o.NoOwners = true }, selection},
		"another way to overwrite": {func(_ *testing.T, _ *world, _ string, o *topics.Operation) { o.Overwrite = "if-changed" },
			selection},
	} {
		to := filepath.Join(w.dir, "to "+name)
		w.bare("restore", id, "--target", to)
		o := topics.Operation{Snapshot: id, Target: to, Overwrite: "always", DryRun: true}
		saw := w.want(w.do(o), topics.Succeeded, "")
		o.DryRun, o.Preview = false, &topics.Preview{Job: "dry-run-1", Digest: saw.Digest}
		c.change(t, w, to, &o)
		w.lines = nil
		e := w.do(o)
		if c.says == "" {
			if e.Cause == topics.CausePreview {
				t.Errorf("%s: %s", e.Cause, e.Message)
			}
		} else if w.want(e, topics.Failed, topics.CausePreview, c.says, "Nothing was written"); strings.Contains(w.text(), "restic 0.") {
			t.Errorf("%s: restic was started:\n%s", name, w.text())
		}
		if name != "another selection" && strings.Contains(w.text(), " ls ") {
			t.Errorf("%s: the snapshot was listed once more:\n%s", name, w.text())
		}
	}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutOwners gives what was restored, and only that, to whom the target belongs, also
// if it comes to nothing half way.
func TestWithoutOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	treeof.Tree{Files: 300, Root: true}.Plant(t, w.source)
	id := w.backup()
	const anna, staff = 1001, 1005
	home := filepath.Join(w.dir, "anna")
	if err := errors.Join(os.Mkdir(home, 0o700), os.Chown(home, anna, staff)); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(home, "mine"), "root's")
	to := filepath.Join(home, "back") // it is not there yet, and belongs to whom the folder above belongs
	w.want(w.do(topics.Operation{Snapshot: id, Target: to, NoOwners: true}), topics.Succeeded, "")
	ofAnna(t, to, anna, staff)
	for _, d := range treeof.Differences(w.source, filepath.Join(to, w.source), treeof.Leave{Owners: true}) {
		t.Error(d)
	}
	if info, err := os.Lstat(filepath.Join(home, "mine")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("what was there was given away: %v, %v", info, err)
	}

	// Into a folder in which something is, on versions that can.
	if w.binary.Version.AtLeast(0, 17, 0) {
		put(t, filepath.Join(to, "roots"), "root's")
		w.want(w.do(topics.Operation{Snapshot: id, Target: to, NoOwners: true, Overwrite: "always"}), topics.Succeeded, "")
		if info, _ := os.Lstat(filepath.Join(to, "roots")); info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Error("a file beside was given away")
		}
		_ = os.Remove(filepath.Join(to, "roots"))
		ofAnna(t, to, anna, staff)
	}

	// Cancelled half way: restic has written files that belong to others.
	w.through(`case " $* " in *" restore "*)
		$REAL "$@"; touch "` + w.dir + `/written"; trap 'exit 130' INT; while :; do sleep 0.02; done;; esac; exec $REAL "$@"`)
	to = filepath.Join(home, "half")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		treeof.Await(t, "files", func() error { _, err := os.Stat(filepath.Join(w.dir, "written")); return err })
		cancel()
	}()
	e := w.job(topics.Operation{Snapshot: id, Target: to, NoOwners: true}).Do(ctx)
	<-done
	if n := w.want(e, topics.Cancelled, topics.CauseCancelled, "files of", "came"); n.Files == 0 || n.Target != to {
		t.Errorf("%+v", n)
	}
	ofAnna(t, to, anna, staff)
}

// ofAnna fails unless all below a folder belongs to somebody and can nothing that they cannot.
func ofAnna(t *testing.T, dir string, uid, gid uint32) {
	t.Helper()
	n := 0
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		n++
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if st.Uid != uid || st.Gid != gid {
			t.Errorf("%q belongs to %d:%d", path, st.Uid, st.Gid)
		}
		if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 && st.Mode&unix.S_IFMT != unix.S_IFLNK {
			t.Errorf("%q has the rights %o", path, st.Mode)
		}
		if _, err := unix.Lgetxattr(path, "security.capability", nil); err == nil {
			t.Errorf("%q has capabilities", path)
		}
		return nil
	}); err != nil || n < 200 {
		t.Errorf("%d files: %v", n, err)
	}
}

// TestAKilledRestoreIsFinished leaves what an agent leaves that is killed while restic
// writes, and has the next one finish it.
func TestAKilledRestoreIsFinished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	treeof.Tree{Files: 300, Root: true}.Plant(t, w.source)
	id := w.backup()
	to := filepath.Join(w.dir, "to")
	if err := errors.Join(os.Mkdir(to, 0o700), os.Chown(to, 1001, 1005)); err != nil {
		t.Fatal(err)
	}
	j := w.job(topics.Operation{Snapshot: id, Target: to, NoOwners: true})
	s := &Sweeper{Dir: filepath.Join(w.state, listings)}
	r, err := j.begin()
	if err != nil {
		t.Fatal(err)
	}
	if e := r.survey(t.Context(), s); e.State != topics.Succeeded {
		t.Fatal(e)
	}
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
	did, err := Finish(w.state, j.Place.Job)
	if err != nil || !strings.Contains(did, to) {
		t.Errorf("%q, %v", did, err)
	}
	ofAnna(t, to, 1001, 1005)
	for _, d := range treeof.Differences(w.source, filepath.Join(to, w.source), treeof.Leave{Owners: true}) {
		t.Error(d)
	}
	if did, err := Finish(w.state, j.Place.Job); did != "" || err != nil {
		t.Errorf("there was nothing to finish: %q, %v", did, err)
	}
}

// TestALinkInTheTargetLeadsNowhere has somebody put links in restic's way all the time.
func TestALinkInTheTargetLeadsNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 60 {
		w.write("d/e/"+strings.Repeat("f", i+1), strings.Repeat("x", 5000))
	}
	id := w.backup()
	outside := filepath.Join(w.dir, "outside")
	to := filepath.Join(w.dir, "to")
	for _, d := range []string{outside, to} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	top := strings.Split(strings.TrimPrefix(w.source, "/"), "/")[0]
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // whoever owns the target renames what is in it, and puts links there
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if stages, _ := filepath.Glob(filepath.Join(to, stagePrefix+"*")); len(stages) > 0 {
				_ = os.Symlink(outside, filepath.Join(to, top))
				_ = os.Rename(stages[0], filepath.Join(w.dir, "moved"))
				_ = os.Symlink(outside, stages[0])
			}
			time.Sleep(time.Millisecond)
		}
	}()
	e := w.do(topics.Operation{Snapshot: id, Target: to, Overwrite: "always"})
	close(stop)
	<-stopped
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside there is %v", left)
	}
	if e.State == topics.Succeeded {
		t.Errorf("it succeeded, though the target was another: %+v", e)
	}
	if e.Message == "" {
		t.Error("it says nothing")
	}
}

// TestAnExchangedFolderIsSeen has a folder of a target with files in it become a link while
// restic writes.
func TestAnExchangedFolderIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("d/a", "a")
	w.write("d/b", "b")
	id := w.backup()
	outside, to := filepath.Join(w.dir, "outside"), filepath.Join(w.dir, "to")
	d := filepath.Join(to, w.source, "d")
	if err := errors.Join(os.Mkdir(outside, 0o700), os.MkdirAll(d, 0o700)); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(d, "mine"), "")
	w.through(`case " $* " in *" restore "*) mv ` + d + ` ` + w.dir + `/away; ln -s ` + outside + ` ` + d + `;; esac; exec $REAL "$@"`)
	e := w.do(topics.Operation{Snapshot: id, Target: to, Overwrite: "always"})
	if w.binary.Version.AtLeast(0, 17, 0) { // it removes the link
		w.want(e, topics.Failed, topics.CauseTargetMoved, d, "another folder")
		return
	}
	w.want(e, topics.Failed, topics.CauseTargetMoved, d, "a link to "+outside)
}

// TestInPlace puts single items back where they were, and changes nothing of the folders
// above.
func TestInPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("a/b/one", "one")
	w.write("a/b/two", "two")
	w.write("a/c/three", "three")
	id := w.backup()
	above := filepath.Join(w.source, "a")
	if err := errors.Join(os.Remove(filepath.Join(above, "b/one")), os.RemoveAll(filepath.Join(above, "c")),
		os.Chmod(above, 0o711), os.Chown(above, 1001, 1005)); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(above, "b/two"), "changed")
	n := w.want(w.do(topics.Operation{InPlace: true, Snapshot: id, Paths: []string{above + "/b/one", above + "/c"}}), topics.Succeeded, "")
	if n.Restored != 2 || n.Target != "" || read(t, above+"/b/one") != "one" || read(t, above+"/c/three") != "three" ||
		read(t, above+"/b/two") != "changed" {
		t.Errorf("%+v", n)
	}
	info, err := os.Stat(above)
	if err != nil || info.Mode().Perm() != 0o711 || info.Sys().(*syscall.Stat_t).Uid != 1001 {
		t.Errorf("the folder above is %v, %v", info, err)
	}
	// Without owners what comes belongs to whom the folder above belongs.
	if err := os.RemoveAll(filepath.Join(above, "c")); err != nil {
		t.Fatal(err)
	}
	w.want(w.do(topics.Operation{InPlace: true, NoOwners: true, Snapshot: id, Paths: []string{above + "/c"}}), topics.Succeeded, "")
	for _, p := range []string{"c", "c/three"} {
		if info, err := os.Stat(filepath.Join(above, p)); err != nil || info.Sys().(*syscall.Stat_t).Uid != 1001 {
			t.Errorf("%s is of %v, %v", p, info.Sys(), err)
		}
	}
	// A link above is not gone through, in no mode.
	if err := errors.Join(os.Rename(above+"/b", w.dir+"/b"), os.Symlink(w.dir+"/b", above+"/b")); err != nil {
		t.Fatal(err)
	}
	w.want(w.do(topics.Operation{InPlace: true, Snapshot: id, Paths: []string{above + "/b/two"}, Overwrite: "always"}), topics.Failed,
		topics.CauseUsage, above+"/b is a link")
	if read(t, w.dir+"/b/two") != "changed" {
		t.Error("it went through a link")
	}
}

// TestSomethingInTheWayOfAFolderStays keeps restic from removing it.
func TestSomethingInTheWayOfAFolderStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("d/a", "a")
	id := w.backup()
	to := filepath.Join(w.dir, "to")
	if err := os.MkdirAll(filepath.Join(to, w.source), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(to, w.source, "d"), "a file")
	w.want(w.do(topics.Operation{Snapshot: id, Target: to}), topics.Failed, topics.CauseUsage, "is no directory there")
	if read(t, filepath.Join(to, w.source, "d")) != "a file" {
		t.Error("it is gone")
	}
}

// TestSomeFilesFail has a pack of the repository damaged: what can come comes.
func TestSomeFilesFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("d/kept: here", noise(1))
	w.backup()
	packs := map[string]bool{}
	each := func(f func(path string)) {
		_ = filepath.WalkDir(filepath.Join(w.dir, "repo", "data"), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				f(path)
			}
			return err
		})
	}
	each(func(path string) { packs[path] = true })
	w.write("d/lost: there", noise(2))
	id := w.backup()
	each(func(path string) {
		if b, err := os.ReadFile(path); err == nil && !packs[path] && len(b) > 4000 {
			_ = os.Chmod(path, 0o600)
			b[10] ^= 1
			b[40] ^= 1
			put(t, path, string(b))
		}
	})
	to := filepath.Join(w.dir, "to")
	e := w.do(topics.Operation{Snapshot: id, Target: to})
	n := w.want(e, topics.Warnings, topics.CauseDamaged, "lost: there")
	if n.Restored != 1 || n.Failed != 1 || len(e.Report.Failures) != 1 ||
		e.Report.Failures[0].Path != filepath.Join(w.source, "d/lost: there") {
		t.Errorf("%+v, %+v", n, e.Report.Failures)
	}
	if read(t, filepath.Join(to, w.source, "d/kept: here")) == "" {
		t.Error("the other did not come")
	}
}

// TestProgressIsTold without a word of restic's.
func TestProgressIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.binary.Version.AtLeast(0, 16, 0) {
		return // it tells itself, see the recordings
	}
	for i := range 30 {
		w.write("d/"+strings.Repeat("f", i+1), strings.Repeat("x", 50_000))
	}
	one := w.backup()
	w.write("second/file", strings.Repeat("y", 500_000))
	two := w.backup()
	w.through(`$REAL "$@"; e=$?; case " $* " in *" restore "*) sleep 0.5;; esac; exit $e`)
	w.want(w.do(topics.Operation{Target: filepath.Join(w.dir, "to"), Items: []topics.Item{
		{Snapshot: one, Paths: []string{w.source + "/d"}}, {Snapshot: two, Paths: []string{w.source + "/second"}},
	}}), topics.Succeeded, "")
	if len(w.statuses) < 2 {
		t.Fatalf("%d statuses", len(w.statuses))
	}
	var last topics.Restored
	for _, s := range w.statuses {
		if s.TotalBytes != 2_000_000 || s.TotalFiles != 31 || s.BytesDone < last.Bytes || !s.Scanned || s.Percent > 100 {
			t.Errorf("%+v", s)
		}
		last.Bytes = s.BytesDone
	}
	if last.Bytes < 1_500_000 {
		t.Errorf("the last is %d bytes", last.Bytes)
	}
}

func noise(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 5000)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// TestAFullTarget is refused beforehand if that can be known, and otherwise ends with what
// came.
func TestAFullTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 8 {
		w.write("d/"+strings.Repeat("f", i+1), strings.Repeat(noise(uint64(i)), 100))
	}
	id := w.backup()
	small := filepath.Join(w.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=3m"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(small, 0) }()
	to := filepath.Join(small, "to")
	o := topics.Operation{Snapshot: id, Target: to, DryRun: true}
	if n := w.want(w.do(o), topics.Succeeded, ""); n.NeedBytes < 4_000_000 || n.FreeBytes > 3<<20 || n.FreeBytes == 0 ||
		!strings.Contains(w.text(), "not enough space") {
		t.Errorf("a dry run says %+v\n%s", n, w.text())
	}
	o.DryRun = false
	w.want(w.do(o), topics.Failed, topics.CauseHostDisk, "no space left at the target", "Nothing was written")
	if _, err := os.Lstat(to); err == nil {
		t.Error("the target was made")
	}
	o.Paths = []string{w.source + "/d/f", w.source + "/d/ff", w.source + "/d/fff"} // they would fit
	w.through(`case " $* " in *" restore "*) head -c 2000000 /dev/zero >` + small + `/filler;; esac; exec $REAL "$@"`)
	n := w.want(w.do(o), topics.Failed, topics.CauseHostDisk, "came")
	if n.Restored != 2 || n.Failed != 1 || n.Bytes != 1_000_000 || n.Target != to {
		t.Errorf("%+v", n)
	}
	if read(t, filepath.Join(to, w.source, "d", "f")) == "" {
		t.Error("what came is not there")
	}
}
