package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// What a listing of one host's place says, it says of that place alone: it makes nothing
// of another's missing, neither its snapshots nor its keys, locks or damage, and a plan
// names none of them.
func TestAPlaceSaysNothingOfAnother(t *testing.T) {
	for what, at := range map[string]string{"a path": "/srv/vault", "{host}": "rest:https://nas/{host}/"} {
		s, ctx := open(t), t.Context()
		attic, cellar := enrolled(t, s, "attic"), enrolled(t, s, "cellar")
		g := grouped(t, s, attic)
		r := must(s.Repository(ctx, g.Repository))
		a := must(s.RepositoryAccess(ctx, g.Repository))
		a.URL, r.Location = topics.Secret(at), at
		if err := s.ChangeRepository(ctx, "test", r, a); err != nil {
			t.Fatal(err)
		}
		other := must(s.PutSourceGroup(ctx, "test", SourceGroup{ID: topics.SourceGroupID(topics.NewID(time.Now())), Host: cellar.ID, Name: "wine",
			Repository: g.Repository, Paths: List{"/wine"}}))
		backup := func(h Host, g SourceGroup, n int, at int64) {
			ran(t, s, Job{Host: h.ID, Kind: topics.BackupJob, SourceGroup: g.ID, Repository: g.Repository, QueuedAt: at - 1}, at,
				topics.Finished{Snapshot: &of(g, n)[0]})
		}
		backup(attic, g, 1, 10)
		backup(cellar, other, 2, 20)
		list := func(h, place Host, at int64, ids ...int) {
			job := Job{Host: h.ID, Kind: topics.SnapshotsJob, Repository: g.Repository, QueuedAt: at - 1}
			if h.ID != place.ID {
				job.Place = place.ID
			}
			report := topics.Report{}
			for _, n := range ids {
				report.Snapshots = append(report.Snapshots, of(map[int]SourceGroup{1: g, 2: other}[n], n)...)
			}
			ran(t, s, job, at, whole(1, len(ids)), report)
		}
		there := func() (ids []string) {
			for _, p := range must(s.PlannedSnapshots(ctx, g.Repository)) {
				ids = append(ids, p.ID)
			}
			slices.Sort(ids)
			return ids
		}
		list(attic, attic, 30, 1)
		list(cellar, cellar, 40, 2)
		if got := there(); !slices.Equal(got, []string{id64(1), id64(2)}) {
			t.Errorf("%s: after each host listed its own place there are %v", what, got)
		}
		for h, want := range map[topics.HostID]string{attic.ID: id64(1), cellar.ID: id64(2)} {
			if got := must(s.PlannedAt(ctx, g.Repository, h)); len(got) != 1 || got[0].ID != want || !got[0].Seen {
				t.Errorf("%s: the plan of one place is about %+v, want %.8s", what, got, want)
			}
		}
		keys := func(h Host, at int64, key int) {
			ran(t, s, Job{Host: h.ID, Kind: topics.KeyJob, Repository: g.Repository}, at, whole(1, 1),
				topics.Report{Keys: []topics.Key{{ID: id64(key), User: "root"}}})
		}
		keys(attic, 41, 11)
		keys(cellar, 42, 12)
		keys(attic, 43, 11)
		if got := must(s.Keys(ctx, g.Repository)); len(got) != 2 || !got[0].Ours() || !got[1].Ours() {
			t.Errorf("%s: keys of two places are %+v", what, got)
		}
		lock := func(h Host, at int64, n int) {
			ran(t, s, Job{Host: h.ID, Kind: topics.LocksJob, Repository: g.Repository}, at, whole(1, n),
				topics.Report{Locks: []topics.Lock{{ID: id64(21), Time: 5, Host: "attic",
					Alive: map[topics.HostID]*bool{attic.ID: new(bool)}[h.ID]}}[:n]})
		}
		lock(attic, 44, 1)
		lock(cellar, 45, 0)
		if got := must(s.Locks(ctx, g.Repository)); len(got) != 1 {
			t.Errorf("%s: locks of one place are %+v after another was looked at", what, got)
		}
		lock(cellar, 45, 1) // one lock at two places: they are the same folder
		if got := must(s.Locks(ctx, g.Repository)); len(got) != 1 || got[0].Place != cellar.ID || got[0].LookedBy != attic.ID ||
			!got[0].Alive.Valid || got[0].Alive.Bool {
			t.Errorf("%s: the lock that both hosts found is %+v", what, got)
		}
		lock(attic, 45, 1)
		lock(attic, 45, 0)
		if got := must(s.Locks(ctx, g.Repository)); len(got) != 0 {
			t.Errorf("%s: locks are %+v after one of the hosts removed the one that both found", what, got)
		}
		check := func(h Host, at int64, errs uint64) {
			end := topics.Finished{Result: &topics.Result{Check: &topics.Checked{Errors: errs}}}
			if errs > 0 {
				end.State, end.Cause = topics.Failed, topics.CauseDamaged
			}
			ran(t, s, Job{Host: h.ID, Kind: topics.CheckJob, Repository: g.Repository,
				Operation: JSON[topics.Operation]{V: &topics.Operation{}}}, at, end)
		}
		check(attic, 46, 3)
		check(cellar, 47, 0)
		if got := must(s.Looks(ctx, g.Repository)); got[0].Damage == nil || got[0].Damage.Host != attic.ID {
			t.Errorf("%s: the damage of one place is %+v after another was checked", what, got[0].Damage)
		}
		check(attic, 48, 0)
		if got := must(s.Looks(ctx, g.Repository)); got[0].Damage != nil {
			t.Errorf("%s: damage stays after its place was checked: %+v", what, got[0].Damage)
		}
		list(attic, attic, 50) // its own is gone, and only that
		if got := there(); !slices.Equal(got, []string{id64(2)}) {
			t.Errorf("%s: after one place was found empty there are %v", what, got)
		}
		if got := must(s.MissingSnapshots(ctx, g.Repository)); len(got) != 1 || got[0].ID != id64(1) {
			t.Errorf("%s: missing are %+v", what, got)
		}
		if at != "/srv/vault" { // the keeper looks there
			list(attic, cellar, 60)
			if got := there(); len(got) != 0 {
				t.Errorf("%s: after the keeper found the other place empty there are %v", what, got)
			}
		}
	}
}

func TestTheNameOfAPlaceStays(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic, cellar := enrolled(t, s, "Attic"), enrolled(t, s, "cellar")
	g := grouped(t, s, attic)
	r, a := must(s.Repository(ctx, g.Repository)), must(s.RepositoryAccess(ctx, g.Repository))
	a.URL, r.Location = "rest:https://nas/{host}/", "rest:https://nas/{host}/"
	if err := s.ChangeRepository(ctx, "test", r, a); err != nil {
		t.Fatal(err)
	}
	if name := must(s.PlaceName(ctx, r.ID, attic.ID)); name != "Attic" {
		t.Errorf("at its first use the place is %q", name)
	}
	must(s.w.ExecContext(ctx, `UPDATE hosts SET name = 'loft' WHERE id = $1`, attic.ID))
	if name := must(s.PlaceName(ctx, r.ID, attic.ID)); name != "Attic" {
		t.Errorf("after its host was renamed the place is %q", name)
	}
	refused := func(host topics.HostID, name string) {
		t.Helper()
		var bad *places.NameError
		if err := s.SetPlaceName(ctx, "test", r.ID, host, name); !errors.As(err, &bad) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a b", "a/b", "ü", "../x", "a\\b", "ATTIC", "attic"} {
		refused(cellar.ID, name)
	}
	for _, name := range []string{"c", "C.e_l-1", "...", "-"} {
		if err := s.SetPlaceName(ctx, "test", r.ID, cellar.ID, name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	must(s.w.ExecContext(ctx, `UPDATE hosts SET name = 'wine cellar' WHERE id = $1`, cellar.ID))
	if name := must(s.PlaceName(ctx, r.ID, cellar.ID)); name != "-" {
		t.Errorf("the name that was chosen is %q", name)
	}
	if err := s.tx(ctx, func(tx *sqlx.Tx) error { return places.Found(ctx, tx, r.ID, cellar.ID, "", 5) }); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPlaceName(ctx, "test", r.ID, cellar.ID, "other"); !errors.Is(err, places.ErrUsed) {
		t.Errorf("a place with a repository in it is renamed: %v", err)
	}
	attic2 := enrolled(t, s, "attic 2")
	var bad *places.NameError
	if _, err := s.PlaceName(ctx, r.ID, attic2.ID); !errors.As(err, &bad) || bad.Name != "attic 2" {
		t.Errorf("a name with a space: %v", err)
	}
	twin := enrolled(t, s, "aTTic")
	if err := s.PlaceFits(ctx, r.ID, twin.ID); !errors.As(err, &bad) || bad.Used != "loft" {
		t.Errorf("the name of another place: %v", err)
	}
}

// A host that finds nothing at a place that was never used misses nothing, whoever has a
// repository elsewhere; one that had one does.
func TestWhoFindsNothingAtItsOwnNewPlaceMissesNothing(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic, cellar := enrolled(t, s, "attic"), enrolled(t, s, "cellar")
	g := grouped(t, s, attic)
	r := must(s.Repository(ctx, g.Repository))
	a := must(s.RepositoryAccess(ctx, g.Repository))
	a.URL, r.Location = "rest:https://nas/{host}/", "rest:https://nas/{host}/"
	if err := s.ChangeRepository(ctx, "test", r, a); err != nil {
		t.Fatal(err)
	}
	gone := topics.Finished{State: topics.Failed, Cause: topics.CauseNoRepository}
	ran(t, s, Job{Host: attic.ID, Kind: topics.StatsJob, Repository: r.ID, QueuedAt: 9}, 10, topics.Finished{RepositoryReady: true})
	for i, j := range []Job{{Host: attic.ID}, {Host: cellar.ID}} {
		at := int64(20 + 10*i)
		j.Kind, j.Repository, j.QueuedAt = topics.StatsJob, r.ID, at-1
		ran(t, s, j, at, gone)
	}
	never := map[topics.HostID]bool{}
	for _, l := range fact(t, s, r.ID).Bad {
		never[l.Host] = l.NeverThere
	}
	if len(never) != 2 || never[attic.ID] || !never[cellar.ID] {
		t.Errorf("never there is %v; attic is %s, cellar %s", never, attic.ID, cellar.ID)
	}
}
