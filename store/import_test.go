package store

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// before is a repository that was in use before a host of ours backs up into it.
type before struct {
	*testing.T
	s     *Store
	attic Host
	g     SourceGroup
	list  Job
}

func theBefore(t *testing.T) before {
	s := open(t)
	b := before{T: t, s: s, attic: enrolled(t, s, "attic")}
	b.g = grouped(t, s, b.attic)
	b.list = Job{Host: b.attic.ID, Kind: topics.SnapshotsJob, Repository: b.g.Repository}
	return b
}

// at are snapshots of a host name, some hours ago.
func (b before) at(hostname string, hours ...int) []topics.Snapshot {
	list := snaps(hours...)
	for i := range list {
		list[i].Host, list[i].Time = hostname, b.s.Now()-int64(hours[i])*3_600_000
		list[i].ID = id64(hours[i] + 10_000*len(hostname))
		list[i].Tree = "tree of " + list[i].ID
	}
	return list
}

func (b before) see(list ...topics.Snapshot) {
	b.Helper()
	now := b.s.Now()
	j := b.list
	j.QueuedAt = now
	ran(b, b.s, j, now, whole(1, len(list)), topics.Report{Snapshots: list})
	for b.s.Now() == now { // the next listing begins after this one ended
	}
}

func (b before) kin(hostname string) imports.Kin {
	b.Helper()
	kins := must(b.s.Kins(b.Context(), b.g.Repository))
	i := slices.IndexFunc(kins, func(k imports.Kin) bool { return k.Hostname == hostname })
	if i < 0 {
		b.Fatalf("there is none of %s in %+v", hostname, kins)
	}
	return kins[i]
}

func (b before) take(c imports.Choice) (id string) {
	b.Helper()
	id = topics.NewID(time.Now())
	if _, err := b.s.Import(b.Context(), "anna", id, b.g.Repository, []imports.Choice{c}); err != nil {
		b.Fatal(err)
	}
	return id
}

func (b before) facts() facts.Group {
	b.Helper()
	return must(b.s.Facts(b.Context(), b.attic.ID))[0]
}

func (b before) snapshot(id string) Snapshot {
	b.Helper()
	return must(b.s.SnapshotByID(b.Context(), b.g.Repository, id))
}

func TestWhatIsTakenInCountsFromThenOnAndCanBeGivenBack(t *testing.T) {
	b := theBefore(t)
	s, ctx := b.s, t.Context()
	own := of(b.g, 7)[0]
	own.Time = s.Now()
	finish(t, s, asked(t, s, b.g), s.Now(), topics.Finished{State: topics.Succeeded, Snapshot: &own,
		Summary: &topics.Summary{TotalFiles: 3, TotalBytes: 30}})
	attic, barn := b.at("attic", 50, 26, 2), b.at("barn", 3)
	b.see(append(append(attic, barn...), own)...)
	if k := b.kin("attic"); len(k.List) != 3 || k.List[0].ID != attic[2].ID || !slices.Equal(k.Paths, []string{"/letters"}) {
		t.Fatalf("nobody's are %+v", k)
	}
	for _, k := range must(s.Kins(ctx, b.g.Repository)) {
		if slices.ContainsFunc(k.List, func(f imports.Foreign) bool { return f.ID == own.ID }) {
			t.Error("the one that a job of ours made is among them")
		}
	}
	was := b.facts()
	if was.Snapshots != 1 || must(s.SnapshotTallies(ctx))[b.g.Repository].Foreign != 4 {
		t.Fatalf("before, it is %+v", was)
	}
	id := b.take(imports.Choice{Kin: b.kin("attic").Key, Group: b.g.ID, Shown: new(3)})
	n := b.snapshot(attic[0].ID)
	if n.Host != b.attic.ID || n.SourceGroup != b.g.ID || n.Imported != id || n.Foreign() || n.EndedAt != attic[0].Time ||
		n.State != topics.Succeeded {
		t.Errorf("one that was taken in is %+v", n)
	}
	if n := b.snapshot(barn[0].ID); !n.Foreign() || n.Host != "" {
		t.Errorf("another host's is %+v", n)
	}
	if n := b.snapshot(own.ID); n.Imported != "" || n.Foreign() {
		t.Errorf("ours is %+v", n)
	}
	f := b.facts()
	if f.Snapshots != 4 || f.Newest.ID != own.ID || f.Good.ID != own.ID || f.MeasureFiles != 0 ||
		f.UsualSeconds != was.UsualSeconds || f.Collapsed {
		t.Errorf("the group is %+v", f)
	}
	if tally := must(s.SnapshotTallies(ctx))[b.g.Repository]; tally.Foreign != 1 || tally.Count != 5 {
		t.Errorf("counted are %+v", tally)
	}
	if n := must(s.SnapshotCount(ctx, b.attic.ID)); n != 4 {
		t.Errorf("the host has %d", n)
	}
	// A listing leaves them as they are, and finds that one is missing.
	b.see(append(attic[1:], own, barn[0])...)
	if n := b.snapshot(attic[1].ID); n.Imported != id || n.SourceGroup != b.g.ID {
		t.Errorf("after a listing it is %+v", n)
	}
	if f := b.facts(); f.Lost != 1 || f.Snapshots != 3 {
		t.Errorf("with one missing the group is %+v", f)
	}
	list, rows, err := s.Imports(ctx, b.g.Repository)
	if err != nil || len(list) != 1 || list[0].Snapshots != 3 || list[0].Left != 2 || list[0].By != "anna" || len(rows) != 1 ||
		rows[0].Hostname != "attic" || rows[0].Group != b.g.ID {
		t.Errorf("imports are %+v, rows %+v, %v", list, rows, err)
	}

	hosts, err := s.UndoImport(ctx, "berta", b.g.Repository, id)
	if err != nil || !slices.Equal(hosts, []topics.HostID{b.attic.ID}) {
		t.Fatalf("undone for %v, %v", hosts, err)
	}
	if f := b.facts(); f.Snapshots != was.Snapshots || f.Newest != was.Newest || f.Lost != 0 {
		t.Errorf("after it was undone, the group is %+v; it was %+v", f, was)
	}
	if n := b.snapshot(attic[1].ID); !n.Foreign() || n.Host != "" || n.SourceGroup != "" ||
		n.Imported != "" || n.KnownAt == 0 || n.EndedAt != 0 {
		t.Errorf("it is %+v", n)
	}
	if n := b.snapshot(own.ID); n.Foreign() || n.SourceGroup != b.g.ID {
		t.Errorf("ours is %+v", n)
	}
	if _, err := s.UndoImport(ctx, "berta", b.g.Repository, id); !errors.Is(err, imports.ErrUndone) {
		t.Errorf("a second time: %v", err)
	}
	if _, err := s.UndoImport(ctx, "berta", "elsewhere", id); !errors.Is(err, imports.ErrNone) {
		t.Errorf("of another repository: %v", err)
	}
	var said []string
	for _, e := range must(s.AuditEntries(ctx, AuditFilter{}, 50)) {
		if strings.HasPrefix(e.Action, "snapshots.import") {
			said = append(said, e.Actor+" "+e.Action+" "+e.Detail)
		}
	}
	if len(said) != 2 || !strings.Contains(said[1], "anna snapshots.imported import "+id+": 3 of attic /letters to source group") ||
		!strings.Contains(said[0], "berta snapshots.import_undone") {
		t.Errorf("the audit log says %q", said)
	}
}

// A backup of weeks ago does not make a group protected, and one of which nobody knows how
// much it holds is not called empty.
func TestWhatIsTakenInIsAsOldAsItSays(t *testing.T) {
	b := theBefore(t)
	month, future := b.at("attic", 720), b.at("attic", -30)
	b.see(append(month, future...)...)
	k := b.kin("attic")
	if len(k.List) != 1 || k.Ahead != 1 {
		t.Fatalf("nobody's are %+v", k)
	}
	b.take(imports.Choice{Kin: k.Key, Group: b.g.ID})
	f := b.facts()
	if f.Newest.ID != month[0].ID || f.Newest.Ended != month[0].Time || f.Good != f.Newest ||
		f.Whole != f.Newest || !f.Good.Unsized || f.Collapsed {
		t.Errorf("the group is %+v", f)
	}
	if n := b.snapshot(future[0].ID); !n.Foreign() {
		t.Errorf("the one from the future is %+v", n)
	}
	if f.UsualSeconds != 0 {
		t.Errorf("its backups usually take %d s", f.UsualSeconds)
	}
}

// What is newer than the first backup of ours is taken in only if a person says so: a program
// that goes on beside us made it, or somebody planted it.
func TestWhatCameSinceOursIsTakenInOnlyWhenSomebodySaysSo(t *testing.T) {
	b := theBefore(t)
	own := of(b.g, 7)[0]
	own.Time = b.s.Now() - 10*3_600_000
	finish(t, b.s, asked(t, b.s, b.g), b.s.Now(), topics.Finished{State: topics.Succeeded, Snapshot: &own})
	list := b.at("attic", 50, 2)
	b.see(append(list, own)...)
	k := b.kin("attic")
	try := func(c imports.Choice) error {
		_, err := b.s.Import(t.Context(), "anna", topics.NewID(time.Now()), b.g.Repository, []imports.Choice{c})
		return err
	}
	for _, c := range []imports.Choice{{Kin: k.Key, Group: b.g.ID, Shown: new(2)}, {Kin: k.Key, Group: b.g.ID, Newer: true, Shown: new(1)},
		{Kin: "none", Group: b.g.ID}} {
		if err := try(c); !errors.Is(err, imports.ErrChanged) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := try(imports.Choice{Kin: k.Key, Group: "none"}); !errors.Is(err, imports.ErrNoGroup) {
		t.Errorf("a group that is not there: %v", err)
	}
	if list, _, _ := b.s.Imports(t.Context(), b.g.Repository); len(list) != 0 || !b.snapshot(b.at("attic", 50)[0].ID).Foreign() {
		t.Errorf("what was refused left %+v", list)
	}
	b.take(imports.Choice{Kin: k.Key, Group: b.g.ID, Shown: new(1)})
	if old, late := b.snapshot(list[0].ID), b.snapshot(list[1].ID); old.Foreign() || !late.Foreign() {
		t.Errorf("they are %+v and %+v", old, late)
	}
	b.take(imports.Choice{Kin: b.kin("attic").Key, Group: b.g.ID, Newer: true, Shown: new(1)})
	if late := b.snapshot(list[1].ID); late.Foreign() {
		t.Errorf("the later one is %+v", late)
	}
	// One that comes later is nobody's, whatever was confirmed before.
	next := b.at("attic", 1)
	b.see(append(append(list, own), next...)...)
	if n := b.snapshot(next[0].ID); !n.Foreign() {
		t.Errorf("the next one is %+v", n)
	}
}

func TestAnImportIsNotUndoneWhileAForgetNamesItsSnapshots(t *testing.T) {
	b := theBefore(t)
	list := b.at("attic", 50, 2)
	b.see(list...)
	id := b.take(imports.Choice{Kin: b.kin("attic").Key, Group: b.g.ID})
	forget := Job{ID: topics.JobID(topics.NewID(time.Now())), Host: b.attic.ID, Kind: topics.ForgetJob,
		Repository: b.g.Repository, NotAfter: 1 << 50, Operation: JSON[topics.Operation]{V: &topics.Operation{Snapshots: []string{list[0].ID}}}}
	if _, _, err := b.s.Ask(t.Context(), "anna", forget); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.UndoImport(t.Context(), "anna", b.g.Repository, id); !errors.Is(err, imports.ErrGoing) {
		t.Errorf("while it waits: %v", err)
	}
	finish(t, b.s, forget, b.s.Now(), topics.Finished{State: topics.Succeeded, Result: &topics.Result{Removed: []string{list[0].ID}}})
	if _, err := b.s.UndoImport(t.Context(), "anna", b.g.Repository, id); err != nil {
		t.Errorf("after its end: %v", err)
	}
	if n := b.snapshot(list[0].ID); n.GoneAt == 0 || n.Lost() {
		t.Errorf("the one that was forgotten is %+v", n)
	}
}

// A job of ours that tells late that it made a snapshot has it, also if a person has taken it
// in meanwhile; what another snapshot was made of keeps what it had.
func TestWhatWasTakenInAndIsOurs(t *testing.T) {
	b := theBefore(t)
	ours := of(b.g, 1)[0]
	ours.Time = b.s.Now() - 5000
	b.see(ours)
	id := b.take(imports.Choice{Kin: b.kin("attic").Key, Group: b.g.ID})
	job := asked(t, b.s, b.g)
	finish(t, b.s, job, b.s.Now(), topics.Finished{State: topics.Succeeded, Snapshot: &ours})
	if n := b.snapshot(ours.ID); n.Job != job.ID || n.Imported != "" {
		t.Errorf("it is %+v", n)
	}
	if _, err := b.s.UndoImport(t.Context(), "anna", b.g.Repository, id); err != nil {
		t.Fatal(err)
	}
	if n := b.snapshot(ours.ID); n.Job != job.ID || n.SourceGroup != b.g.ID {
		t.Errorf("after the import was undone it is %+v", n)
	}
}

func TestWhatTookThePlaceOfOneThatWasTakenInGoesBackWithIt(t *testing.T) {
	b := theBefore(t)
	list := b.at("attic", 50, 2)
	b.see(list...)
	id := b.take(imports.Choice{Kin: b.kin("attic").Key, Group: b.g.ID})
	tagged := list[0]
	tagged.ID, tagged.Original, tagged.Tags = id64(99), list[0].ID, []string{"yearly"}
	b.see(tagged, list[1])
	n := b.snapshot(tagged.ID)
	if n.Imported != id || n.SourceGroup != b.g.ID || b.facts().Lost != 0 {
		t.Errorf("in its place is %+v, the group is %+v", n, b.facts())
	}
	// What was copied of it into another repository goes along, too.
	far := grouped(t, b.s, b.attic)
	if err := b.s.tx(t.Context(), func(tx *sqlx.Tx) error {
		m := snapshots.Made{Host: b.attic.ID, Job: topics.JobID(id), SourceGroup: b.g.ID, EndedAt: 5, State: topics.Succeeded, Imported: id}
		return snapshots.Add(t.Context(), tx, far.Repository, m, topics.Snapshot{ID: id64(7), Time: 5, Host: "attic"}, 6)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s.UndoImport(t.Context(), "anna", b.g.Repository, id); err != nil {
		t.Fatal(err)
	}
	if n := b.snapshot(tagged.ID); !n.Foreign() || b.facts().Snapshots != 0 {
		t.Errorf("after it was undone, it is %+v, and the group is %+v", n, b.facts())
	}
	if n := must(b.s.SnapshotByID(t.Context(), far.Repository, id64(7))); !n.Foreign() {
		t.Errorf("its copy is %+v", n)
	}
}

// An import goes in steps, so that others can write meanwhile. Whoever is killed between two of
// them leaves one that is gone on with, and until then no rule is applied to the repository.
func TestAnImportThatWasInterruptedIsFinished(t *testing.T) {
	b := theBefore(t)
	s, ctx, vault := b.s, t.Context(), b.g.Repository
	const many = 1000
	ids := nobodys(t, s, vault, many, func(int) (string, string) { return "attic", `[]` })
	taken := func() (n int) {
		t.Helper()
		for _, id := range ids {
			if !b.snapshot(id).Foreign() {
				n++
			}
		}
		return n
	}
	step := func(id string) {
		t.Helper()
		if err := s.tx(ctx, func(tx *sqlx.Tx) error {
			done, err := imports.Step(ctx, tx, id, func() bool { return true })
			if done {
				t.Error("one step did all")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	busy := func() {
		t.Helper()
		_, planned := s.PlannedAt(ctx, vault, "")
		_, second := s.Import(ctx, "berta", "second", vault, []imports.Choice{{Kin: b.kin("attic").Key, Group: b.g.ID}})
		_, undo := s.UndoImport(ctx, "berta", vault, "first")
		for i, err := range []error{planned, second} {
			if !errors.Is(err, imports.ErrBusy) {
				t.Errorf("%d meanwhile: %v", i, err)
			}
		}
		if !errors.Is(undo, imports.ErrBusy) && !errors.Is(undo, imports.ErrUndone) {
			t.Errorf("undone meanwhile: %v", undo)
		}
	}
	finish := func(want int) {
		t.Helper()
		for _, n := range []int{1, 0} { // the second time nothing is in hand
			if got, err := s.FinishImports(ctx, ""); err != nil || got != n {
				t.Fatalf("gone on with %d, %v, want %d", got, err, n)
			}
		}
		if n := taken(); n != want || b.facts().Snapshots != want {
			t.Errorf("%d are taken in, the group has %d, want %d", n, b.facts().Snapshots, want)
		}
		if _, err := s.PlannedAt(ctx, vault, ""); err != nil {
			t.Error(err)
		}
		var parts int
		if err := s.r.Get(&parts, `SELECT count(*) FROM import_parts`); err != nil || parts != 0 {
			t.Errorf("%d parts are left, %v", parts, err)
		}
	}
	if _, err := s.beginImport(ctx, "anna", "first", vault, []imports.Choice{{Kin: b.kin("attic").Key, Group: b.g.ID}}); err != nil {
		t.Fatal(err)
	}
	if n := taken(); n != 0 {
		t.Errorf("%d are taken in before the first step", n)
	}
	step("first")
	if n := taken(); n == 0 || n == many {
		t.Errorf("after a step %d are taken in", n)
	}
	busy()
	// One that is removed meanwhile is not taken in, and not counted.
	last := ids[0]
	if _, err := s.w.Exec(`UPDATE snapshots SET gone_at = 5 WHERE id = $1`, last); err != nil {
		t.Fatal(err)
	}
	finish(many - 1)
	list, rows, err := s.Imports(ctx, vault)
	if err != nil || len(list) != 1 || list[0].Snapshots != many-1 || list[0].Left != many-1 || list[0].Doing != "" || len(rows) != 1 {
		t.Errorf("imports are %+v, rows %+v, %v", list, rows, err)
	}
	if n := b.snapshot(ids[1]); n.Imported != "first" || n.EndedAt != n.Time || n.BegunAt != n.Time || n.State != topics.Succeeded {
		t.Errorf("one is %+v", n)
	}
	if _, err := s.beginUndo(ctx, "berta", vault, "first"); err != nil {
		t.Fatal(err)
	}
	step("first")
	if n := taken(); n == 0 || n >= many-1 {
		t.Errorf("after a step of the undoing %d are taken in", n)
	}
	busy()
	finish(0)
	said := 0
	for _, e := range must(s.AuditEntries(ctx, AuditFilter{}, 50)) {
		if strings.HasPrefix(e.Action, "snapshots.import") {
			said++
		}
	}
	if said != 2 {
		t.Errorf("the audit log has %d entries", said)
	}
}

// Whoever can write to a repository can add a snapshot of any time. One that says it is older
// than a listing that had it not is not taken in with those that were there before.
func TestABackdatedSnapshotIsTakenInOnlyWhenSomebodySaysSo(t *testing.T) {
	b := theBefore(t)
	list := b.at("attic", 500, 400)
	b.see(list...)
	planted := b.at("attic", 450)
	b.see(append(list, planted...)...)
	k := b.kin("attic")
	if len(k.List) != 3 || k.Backdated() != 1 || k.Later(0) != 1 || !k.List[1].Backdated {
		t.Fatalf("nobody's are %+v", k)
	}
	n := b.snapshot(planted[0].ID)
	if was := b.snapshot(list[0].ID); was.UnseenAt != 0 || was.FirstSeenAt == 0 || n.UnseenAt == 0 || n.FirstSeenAt <= n.UnseenAt {
		t.Errorf("it was first seen %d and was not there %d; the one before %d and %d", n.FirstSeenAt, n.UnseenAt, was.FirstSeenAt,
			was.UnseenAt)
	}
	// It stays so, whoever sees it again.
	b.see(append(list, planted...)...)
	if again := b.snapshot(planted[0].ID); again.UnseenAt != n.UnseenAt || again.FirstSeenAt != n.FirstSeenAt {
		t.Errorf("seen again, it is %+v", again)
	}
	b.take(imports.Choice{Kin: k.Key, Group: b.g.ID, Shown: new(2)})
	if !b.snapshot(planted[0].ID).Foreign() || b.snapshot(list[0].ID).Foreign() {
		t.Error("it was taken in with the others")
	}
	if _, err := b.s.Import(t.Context(), "anna", "none", b.g.Repository, []imports.Choice{{Kin: k.Key, Group: b.g.ID}}); !errors.Is(err,
		imports.ErrChanged) {
		t.Errorf("by itself: %v", err)
	}
	// One of the time after the last listing is as good as any; clocks differ.
	b.see(append(append(list, planted...), b.at("attic", 1)...)...)
	if k := b.kin("attic"); k.Backdated() != 1 || k.Later(0) != 1 {
		t.Errorf("then nobody's are %+v", k)
	}
	b.take(imports.Choice{Kin: k.Key, Group: b.g.ID, Newer: true, Shown: new(2)})
	if b.snapshot(planted[0].ID).Foreign() {
		t.Error("it was not taken in although somebody said so")
	}
}

// What is confirmed is what was shown, not as many.
func TestAChangeSinceSomebodyLookedIsSaid(t *testing.T) {
	b := theBefore(t)
	list := b.at("attic", 50, 40, 30)
	b.see(list...)
	k := b.kin("attic")
	looked := b.s.Now()
	seen := imports.Digest(looked, k.Part())
	try := func(c imports.Choice) (more, fewer int, err error) {
		c.Group = b.g.ID
		if c.Kin == "" {
			c.Kin = k.Key
		}
		_, err = b.s.Import(t.Context(), "anna", topics.NewID(time.Now()), b.g.Repository, []imports.Choice{c})
		if e := new(imports.ChangedError); errors.As(err, &e) {
			more, fewer = e.More, e.Fewer
			if !errors.Is(err, imports.ErrChanged) {
				t.Errorf("%v is not ErrChanged", err)
			}
		}
		return more, fewer, err
	}
	for _, c := range []struct {
		name        string
		list        []topics.Snapshot
		digest      string
		more, fewer int
	}{
		{"one came", append(b.at("attic", 20), list...), seen, 1, 0},
		{"one went", list[1:], seen, 0, 1},
		{"one came and one went", append(b.at("attic", 20), list[1:]...), seen, 1, 1},
		{"all are gone", nil, seen, 0, 3},
		{"nonsense", list, "x", 3, 0},
		{"others at the time", list, "3." + strings.Split(seen, ".")[1] + ".00", 0, 0},
	} {
		for b.s.Now() == looked { // a listing is later than the look
		}
		b.see(c.list...)
		more, fewer, err := try(imports.Choice{Seen: c.digest, Newer: true})
		if !errors.Is(err, imports.ErrChanged) || more != c.more || fewer != c.fewer {
			t.Errorf("%s: %d more, %d fewer, %v", c.name, more, fewer, err)
		}
	}
	if _, fewer, err := try(imports.Choice{Kin: "none", Seen: seen}); fewer != 3 {
		t.Errorf("a row that is gone: %d fewer, %v", fewer, err)
	}
	b.see(list...)
	if _, _, err := try(imports.Choice{Seen: seen, Newer: true}); err != nil {
		t.Errorf("with what was shown: %v", err)
	}
}

// A date or a number in the tags of each snapshot makes no row of each, and hides neither a
// plan's name nor what is tagged as if it were ours.
func TestTagsThatVaryAreFolded(t *testing.T) {
	b := theBefore(t)
	list := b.at("attic", numbers(1, 60)...)
	for i := range list {
		list[i].Tags = []string{"build-" + strconv.Itoa(i), "nightly"}
		if i%3 == 0 {
			list[i].Tags[1] = "weekly"
		}
		if i == 7 || i == 8 {
			list[i].Tags = append(list[i].Tags, "plan="+strconv.Itoa(i))
		}
	}
	b.see(list...)
	said := map[string]int{}
	var nightly imports.Kin
	for _, k := range must(b.s.Kins(t.Context(), b.g.Repository)) {
		said[strings.Join(k.Tags, " ")] = len(k.List)
		if strings.Join(k.Tags, " ") == "nightly" {
			nightly = k
		}
		if k.Varied == 0 {
			t.Errorf("nothing varies of %+v", k)
		}
	}
	if want := map[string]int{"nightly": 38, "weekly": 20, "nightly plan=…": 2}; !maps.Equal(said, want) {
		t.Fatalf("rows are %v, want %v", said, want)
	}
	if nightly.Varied != 38 {
		t.Errorf("%d tags vary", nightly.Varied)
	}
	b.take(imports.Choice{Kin: nightly.Key, Group: b.g.ID, Shown: new(38)})
	if kins := must(b.s.Kins(t.Context(), b.g.Repository)); len(kins) < 2 || b.facts().Snapshots != 38 {
		t.Errorf("then there are %d rows, and the group has %d", len(kins), b.facts().Snapshots)
	}
}

func TestFewSetsOfTagsAreRowsOfTheirOwn(t *testing.T) {
	b := theBefore(t)
	list := b.at("attic", numbers(1, 24)...)
	for i := range list {
		list[i].Tags = []string{"t" + strconv.Itoa(i%12)}
	}
	b.see(list...)
	if kins := must(b.s.Kins(t.Context(), b.g.Repository)); len(kins) != 12 || kins[0].Varied != 0 || len(kins[0].List) != 2 {
		t.Errorf("rows are %+v", kins)
	}
}

func numbers(from, to int) (list []int) {
	for i := from; i <= to; i++ {
		list = append(list, i)
	}
	return list
}

// A mirror that was copied before anybody took in what it was copied from holds copies, and is
// not a repository of its own.
func TestCopiesInAMirrorAreKnownAsSuch(t *testing.T) {
	b := theBefore(t)
	first, second := b.g.Repository, grouped(t, b.s, b.attic).Repository
	list := b.at("attic", 50, 40, 30)
	b.see(list...)
	copies := slices.Clone(list)
	for i := range copies {
		copies[i].ID, copies[i].Original = id64(500+i), list[i].ID
	}
	forged := b.at("attic", 20)[0] // it says that it is a copy, and holds something else
	forged.ID, forged.Original = id64(600), list[0].ID
	mirror := func(list ...topics.Snapshot) {
		j := b.list
		j.Repository, j.QueuedAt = second, b.s.Now()
		ran(b, b.s, j, b.s.Now(), whole(1, len(list)), topics.Report{Snapshots: list})
		for now := b.s.Now(); b.s.Now() == now; {
		}
	}
	mirror() // copies came after a listing that had them not, and are as old as what they are copies of
	mirror(append(slices.Clone(copies), forged)...)
	k := must(b.s.Kins(t.Context(), second))
	if len(k) != 1 || k[0].Copies() != 3 || len(k[0].List) != 4 || !slices.Equal(k[0].From, []topics.RepositoryID{first}) ||
		k[0].Counted != 0 || k[0].Backdated() != 1 {
		t.Fatalf("in the mirror are %+v", k)
	}
	if back := must(b.s.Kins(t.Context(), first)); len(back) != 1 || back[0].Copies() != 0 {
		t.Errorf("what it was copied from is %+v", back)
	}
	if _, err := b.s.Import(t.Context(), "anna", "mirrored", second, []imports.Choice{{Kin: k[0].Key, Group: b.g.ID,
		Newer: true}}); err != nil {
		t.Fatal(err)
	}
	is := func(id string) Snapshot { return must(b.s.SnapshotByID(t.Context(), second, id)) }
	for _, c := range append(slices.Clone(copies), forged) { // nothing else of them counts
		if n := is(c.ID); n.CopiedFrom != "" || n.SourceGroup != b.g.ID || n.Imported != "mirrored" {
			t.Errorf("one of the mirror is %+v", n)
		}
	}
	if n := must(b.s.SnapshotCount(t.Context(), b.attic.ID)); n != 4 {
		t.Errorf("the host has %d", n)
	}
	// Once the first repository is taken in, they are copies of what counts there.
	id := b.take(imports.Choice{Kin: b.kin("attic").Key, Group: b.g.ID})
	for _, c := range copies {
		if n := is(c.ID); n.CopiedFrom != first || n.SourceGroup != b.g.ID || n.Imported != id || n.EndedAt != n.Time {
			t.Errorf("a copy is %+v", n)
		}
	}
	if n := is(forged.ID); n.CopiedFrom != "" || n.Imported != "mirrored" {
		t.Errorf("what only says so is %+v", n)
	}
	if n := must(b.s.SnapshotCount(t.Context(), b.attic.ID)); n != 4 {
		t.Errorf("the host has %d", n)
	}
	if _, err := b.s.UndoImport(t.Context(), "anna", first, id); err != nil {
		t.Fatal(err)
	}
	if n := is(copies[0].ID); n.CopiedFrom != "" || !n.Foreign() {
		t.Errorf("given back it is %+v", n)
	}
	// Those that are nobody's go along at once, and what is copied later by its listing.
	late := copies[2]
	again := copies[0] // whoever can write there has copied it once more
	again.ID = id64(700)
	mirror(copies[0], copies[1], forged, again)
	b.take(imports.Choice{Kin: b.kin("attic").Key, Group: b.g.ID})
	if n := is(again.ID); !n.Foreign() {
		t.Errorf("a second copy counts, too: %+v", n)
	}
	mirror(copies[0], copies[1], forged)
	if n := is(copies[0].ID); n.CopiedFrom != first || n.Foreign() {
		t.Errorf("it is %+v", n)
	}
	mirror(append(slices.Clone(copies), forged)...)
	if n := is(late.ID); n.CopiedFrom != first || n.Foreign() || len(must(b.s.Kins(t.Context(), second))) != 0 {
		t.Errorf("after a listing it is %+v", n)
	}
}

// What counts already is not offered anew by the mirror's page, which its next listing counts.
func TestCopiesOfWhatCountsAreNotOffered(t *testing.T) {
	b := theBefore(t)
	second := grouped(t, b.s, b.attic).Repository
	own := of(b.g, 7)[0]
	own.Tree, own.Time = "a tree", b.s.Now()
	c := own
	c.ID, c.Original = id64(500), own.ID
	j := b.list
	j.Repository, j.QueuedAt = second, b.s.Now()
	ran(b, b.s, j, b.s.Now(), whole(1, 1), topics.Report{Snapshots: []topics.Snapshot{c}})
	finish(t, b.s, asked(t, b.s, b.g), b.s.Now(), topics.Finished{State: topics.Succeeded, Snapshot: &own})
	k := must(b.s.Kins(t.Context(), second))
	if len(k) != 1 || k[0].Counted != 1 || len(k[0].List) != 0 || !slices.Equal(k[0].From, []topics.RepositoryID{b.g.Repository}) {
		t.Errorf("in the mirror are %+v", k)
	}
}
