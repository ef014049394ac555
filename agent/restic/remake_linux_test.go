package restic

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/restic/standin"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// tag is a tag job as an agent runs it.
func (w *world) tag(ctx context.Context, o topics.Operation) Ending {
	return w.b.Tag(ctx, w.place, w.repo, Tag{IDs: o.Snapshots, Add: o.Add, Remove: o.Remove, Set: o.NoTags || len(o.Set) > 0,
		To: o.Tagged}, w.sink)
}

// tags lists the tags of each snapshot that there is, by when it was made.
func (w *world) tags() (all []string) {
	w.t.Helper()
	list := w.b.Snapshots(w.t.Context(), w.place, w.repo, Snapshots{}, w.sink)
	w.want(list, topics.Succeeded, topics.CauseNone)
	for _, s := range list.Report.Snapshots {
		slices.Sort(s.Tags)
		all = append(all, strings.Join(s.Tags, " "))
	}
	slices.Sort(all)
	return all
}

func TestTagsChangeAndOursStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	var ids []string
	for i := range 3 {
		w.write("n", fmt.Sprint(i))
		e := w.backup()
		w.want(e, topics.Succeeded, topics.CauseNone)
		ids = append(ids, e.Snapshot.ID)
	}
	became := func(e Ending, want ...string) (by []string) {
		t.Helper()
		w.want(e, topics.Succeeded, topics.CauseNone)
		var got []string
		for _, r := range e.Report.Replacements {
			got = append(got, r.Became)
			if r.By != nil {
				by = append(by, r.By.ID)
			}
		}
		if !slices.Equal(got, want) || e.Result.Count != len(want) {
			t.Fatalf("they became %v, want %v: %+v", got, want, e.Result)
		}
		return by
	}
	ghost := strings.Repeat("cd", 32)
	first := became(w.tag(t.Context(), topics.Operation{Snapshots: []string{ids[0], ghost, ids[1]}, Add: []string{"-gold", "of 2026"}}),
		topics.BecameChanged, topics.BecameMissing, topics.BecameChanged)
	if got := w.tags(); !slices.Equal(got, []string{"-gold of 2026 plan=letters", "-gold of 2026 plan=letters", "plan=letters"}) {
		t.Errorf("with two tags more there are %q", got)
	}
	again := became(w.tag(t.Context(), topics.Operation{Snapshots: append(first, ids[2]), Add: []string{"-gold"}}),
		topics.BecameUnchanged, topics.BecameUnchanged, topics.BecameChanged)
	set := became(w.tag(t.Context(), topics.Operation{Snapshots: []string{first[0], again[0]}, Set: []string{"silver"}}),
		topics.BecameChanged, topics.BecameChanged)
	if got := w.tags(); !slices.Equal(got, []string{"-gold of 2026 plan=letters", "plan=letters silver", "plan=letters silver"}) {
		t.Errorf("with all tags set there are %q", got)
	}
	became(w.tag(t.Context(), topics.Operation{Snapshots: append(set, first[1]), NoTags: true}), topics.BecameChanged, topics.BecameChanged,
		topics.BecameChanged)
	if got := w.tags(); !slices.Equal(got, []string{"plan=letters", "plan=letters", "plan=letters"}) {
		t.Errorf("with no tag there are %q", got)
	}
}

// TestATagOnAServerThatDeletesNothingIsNoSuccess: restic 0.14 to 0.19 succeed, and each
// snapshot is there twice.
func TestATagOnAServerThatDeletesNothingIsNoSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := e2e.FreeAddress(t)
	server := exec.Command("rclone", "serve", "restic", "--addr", address, "--append-only", t.TempDir())
	server.Env = append(process.Inherited(), "RCLONE_CONFIG=/dev/null")
	if err := server.Start(); err != nil {
		t.Fatalf("%v: install rclone", err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	await(t, func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
	w.repo.URL = topics.Secret("rest:http://" + address + "/attic/")
	w.ensure()
	made := w.backup()
	w.want(made, topics.Succeeded, topics.CauseNone)
	ctx, over := context.WithCancelCause(t.Context())
	defer over(nil)
	w.sink.onLine = func(line string) {
		if strings.Contains(line, "403") { // 0.14 would try for a minute: its time is over
			over(context.DeadlineExceeded)
		}
	}
	e := w.tag(ctx, topics.Operation{Snapshots: []string{made.Snapshot.ID}, Add: []string{"gold"}})
	w.sink.onLine = nil
	if e.State != topics.Failed || e.Cause != topics.CauseAppendOnly || e.Result == nil || e.Result.Remade == nil ||
		e.Result.Remade.Doubled != 1 ||
		len(e.Report.Replacements) != 1 || e.Report.Replacements[0].By == nil || !strings.Contains(e.Message, "there twice") {
		t.Errorf("%+v, %+v, %+v", e, e.Result, e.Report)
	}
}

// A fake repository is what a stand-in of restic finds and changes.
type fake struct {
	snapshots []string // as restic lists them
	dry       []string // what a dry run prints
	wet       []string
	then      []string // snapshots afterwards
	code      int
	err       []string
}

const (
	fakeOne = `{"time":"2026-11-22T04:38:09Z","tree":"` + treeA + `","paths":["/srv"],"hostname":"web","tags":["plan=letters"],"id":"` +
		idA + `"}`
	fakeTwo = `{"time":"2026-11-22T05:38:09Z","tree":"` + treeB + `","paths":["/srv"],"hostname":"web","tags":["plan=letters"],"id":"` +
		idB + `"}`
	fakeNew = `{"time":"2026-11-22T04:38:09Z","tree":"` + treeC + `","paths":["/srv"],"hostname":"web","tags":["plan=letters"],"original":"` +
		idA + `","id":"` + idC + `"}`
	idA   = "3ebd2114aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idB   = "c9dc57bdaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idC   = "44181088aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	treeA = "0000000000000000000000000000000000000000000000000000000000000001"
	treeB = "0000000000000000000000000000000000000000000000000000000000000002"
	treeC = "0000000000000000000000000000000000000000000000000000000000000003"
)

// stand has a stand-in of a version answer as a fake says.
func (w *world) stand(version string, f fake) {
	w.t.Helper()
	changed := false
	r := standin.New(w.t, version, func(run *standin.Run) {
		say := func(lines []string) {
			for _, l := range lines {
				run.Out(l)
			}
		}
		switch {
		case run.Is("snapshots"):
			list := f.snapshots
			if changed {
				list = f.then
			}
			run.Out("[" + strings.Join(list, ",") + "]")
		case run.Is("--dry-run"):
			say(f.dry)
		default:
			changed = true
			say(f.wet)
			for _, l := range f.err {
				run.Err(l)
			}
			run.Exit(f.code)
		}
	})
	b, err := Probe(w.t.Context(), r.Path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.b = b
}

// TestWhatARewriteTakesOutIsReadInEveryVersion: the words are those of the versions.
func TestWhatARewriteTakesOutIsReadInEveryVersion(t *testing.T) {
	t.Parallel()
	for version, excluding := range map[string]string{"0.16.5": "excluding /srv/a b.key", "0.18.1": "excluding /srv/a b.key",
		"0.19.1": `excluding "/srv/a b.key"`} {
		w := newWorld(t)
		two := []string{"", "snapshot 3ebd2114 of [/srv] at 2026-11-22 04:38:09 +0000 UTC by root@web", excluding, "would save new snapshot", "",
			// A summary that is not there is made, and that takes nothing out.
			"snapshot c9dc57bd of [/srv] at 2026-11-22 05:38:09 +0000 UTC by root@web", "would save new snapshot", "", "would modify 2 snapshots"}
		f := fake{snapshots: []string{fakeOne, fakeTwo}, dry: two, then: []string{fakeNew, fakeTwo}}
		w.stand(version, f)
		how := Rewrite{IDs: []string{idA, idB}, Exclude: []string{"*.key"}, DryRun: true}
		e := w.b.Rewrite(t.Context(), w.place, w.repo, how, w.sink)
		w.want(e, topics.Succeeded, topics.CauseNone)
		if r := e.Result.Remade; r.Changed != 1 || r.Unchanged != 1 || r.Items != 1 || r.Digest == "" || e.Result.Count != 3 ||
			!slices.Equal(e.Report.Taken, []topics.Taken{{Snapshot: idA, Path: "/srv/a b.key", What: topics.TakenOut}}) {
			t.Errorf("%s: a dry run: %+v, %+v", version, e.Result.Remade, e.Report)
		}
		how.DryRun = false
		if e := w.b.Rewrite(t.Context(), w.place, w.repo, how, w.sink); e.State != topics.Failed || e.Cause != topics.CauseUsage {
			t.Errorf("%s: one that goes by no dry run: %+v", version, e)
		}
		how.Digest = strings.Repeat("ab", 32)
		if e := w.b.Rewrite(t.Context(), w.place, w.repo, how, w.sink); e.State != topics.Failed || e.Cause != topics.CausePreview {
			t.Errorf("%s: one by another dry run: %+v", version, e)
		}
		how.Digest = e.Result.Remade.Digest
		e = w.b.Rewrite(t.Context(), w.place, w.repo, how, w.sink)
		w.want(e, topics.Succeeded, topics.CauseNone)
		if r := e.Result.Remade; r.Changed != 1 || r.Unchanged != 1 || r.Items != 1 || e.Report.Replacements[0].By == nil ||
			e.Report.Replacements[0].By.ID != idC {
			t.Errorf("%s: %+v, %+v", version, r, e.Report)
		}
		f.then, f.code, f.err = []string{fakeOne, fakeNew, fakeTwo}, 1, []string{
			"Remove(<snapshot/3ebd2114aa>) failed: unexpected HTTP response (403): 403 Forbidden",
			`Fatal: unable to rewrite snapshot ID "3ebd2114": unexpected HTTP response (403): 403 Forbidden`}
		w.stand(version, f)
		e = w.b.Rewrite(t.Context(), w.place, w.repo, how, w.sink)
		if e.State != topics.Failed || e.Cause != topics.CauseAppendOnly || e.Result == nil || e.Result.Remade.Doubled != 1 {
			t.Errorf("%s: where nothing is deleted: %+v, %+v", version, e, e.Result)
		}
	}
	w := newWorld(t)
	w.stand("0.14.0", fake{})
	if e := w.b.Rewrite(t.Context(), w.place, w.repo, Rewrite{IDs: []string{idA}, Exclude: []string{"x"}, DryRun: true}, w.sink); e.Cause !=
		topics.CauseNoRestic || !strings.Contains(e.Message, "0.15.0 or newer") {
		t.Errorf("0.14: %+v", e)
	}
}

// TestARepairSaysWhatEachSnapshotLoses: restic itself says once what several lose in common.
func TestARepairSaysWhatEachSnapshotLoses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := func(id string) string {
		return "snapshot " + id[:8] + " of [/srv] at 2026-11-22 04:38:09 +0000 UTC by root@web"
	}
	lost := `  file "/srv/a \"b\".bin": removed missing content`
	dir := `  dir "/srv/c": replaced with empty directory`
	r := standin.New(t, "0.19.1", func(run *standin.Run) {
		switch {
		case run.Is("snapshots", "--json"):
			run.Out("[" + fakeOne + "," + fakeTwo + "]")
		case !run.Is("--", idA):
			run.Out(at(idB))
			run.Out(lost)
			run.Out("would save new snapshot")
		case !run.Is("--", idA, idB):
			run.Out(at(idA))
			run.Out(lost)
			run.Out(dir)
			run.Out("would save new snapshot")
		default:
			run.Out(at(idA))
			run.Out(lost)
			run.Out(dir)
			run.Out("would save new snapshot")
			run.Out(at(idB)) // what it shares with the other was said
			run.Out("would save new snapshot")
		}
	})
	var err error
	if w.b, err = Probe(t.Context(), r.Path); err != nil {
		t.Fatal(err)
	}
	e := w.b.RepairSnapshots(t.Context(), w.place, w.repo, RepairSnapshots{DryRun: true}, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if len(e.Report.Replacements) != 2 || e.Result.Remade.Items != 3 || e.Result.Remade.Changed != 2 || e.Result.Remade.AtLeast {
		t.Errorf("%+v, %+v", e.Result.Remade, e.Report)
	}
	if !slices.Contains(e.Report.Taken, topics.Taken{Snapshot: idB, Path: `/srv/a "b".bin`, What: topics.TakenContent}) ||
		!slices.Contains(e.Report.Taken, topics.Taken{Snapshot: idA, Path: "/srv/c", What: topics.TakenFolder}) {
		t.Errorf("it takes %+v", e.Report.Taken)
	}
}

// TestAnIndexIsMadeAnew loses the index of a repository, which a check by 0.14 finds.
func TestAnIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vault()
	w.write("n", "a letter")
	w.want(w.backup(), topics.Succeeded, topics.CauseNone)
	index, err := filepath.Glob(filepath.Join(w.repo.URL.Reveal(), "index", "*"))
	if err != nil || len(index) == 0 {
		t.Fatal(index, err)
	}
	for _, file := range index {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if e := w.b.Check(t.Context(), w.place, w.repo, Check{}, w.sink); e.Cause != topics.CauseDamaged || e.Result == nil ||
		e.Result.Check.Errors == 0 {
		t.Fatalf("without an index: %+v", e)
	}
	e := w.b.RepairIndex(t.Context(), w.place, w.repo, RepairIndex{}, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if e.Result.Repair == nil || e.Result.Repair.Added == 0 {
		t.Errorf("it added %+v\n%s", e.Result.Repair, w.sink.text())
	}
	w.want(w.b.Check(t.Context(), w.place, w.repo, Check{ReadData: true}, w.sink), topics.Succeeded, topics.CauseNone)
	refused := func(what Ending, first since.Feature) {
		t.Helper()
		if !w.b.Version.Has(first) && (what.State != topics.Failed || what.Cause != topics.CauseNoRestic) {
			t.Errorf("restic %s knows it: %+v", w.b.Version, what)
		}
	}
	refused(w.b.RepairPacks(t.Context(), w.place, w.repo, RepairPacks{IDs: []string{idA}}, w.sink), since.RepairPacks)
	refused(w.b.RepairSnapshots(t.Context(), w.place, w.repo, RepairSnapshots{DryRun: true}, w.sink), since.RepairSnapshots)
}
