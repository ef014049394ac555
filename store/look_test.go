package store

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/topics"
)

func fact(t *testing.T, s *Store, id topics.RepositoryID) looks.Facts {
	t.Helper()
	list := must(s.Looks(t.Context(), id))
	if len(list) != 1 {
		t.Fatalf("there are facts of %d repositories, want one", len(list))
	}
	return list[0]
}

// A look by a clock that was far ahead hides no trouble, and no repair, of afterwards.
func TestALookOfAClockThatWasFarAheadIsNotBelieved(t *testing.T) {
	p := began(t)
	look := func(f topics.Finished) looks.Facts {
		t.Helper()
		ran(t, p.s, Job{Host: p.g.Host, Kind: topics.StatsJob, Repository: p.g.Repository, QueuedAt: p.tick()}, p.tick(), f)
		return fact(t, p.s, p.g.Repository)
	}
	gone, damaged := topics.Finished{State: topics.Failed, Cause: topics.CauseNoRepository},
		topics.Finished{State: topics.Failed, Cause: topics.CauseDamaged}
	right := p.now
	p.now += 10 * 365 * 24 * 60 * 60 * 1000
	look(topics.Finished{})
	look(damaged)
	p.now = right
	if f := look(gone); len(f.Bad) != 1 || f.Bad[0].BadSince != p.now || f.Bad[0].GoodAt > p.now {
		t.Errorf("gone by the right time, it is %+v", f)
	}
	p.now += 10 * 365 * 24 * 60 * 60 * 1000
	look(gone)
	p.now = right
	if f := look(topics.Finished{}); len(f.Bad) != 0 || f.Good[looks.Open].GoodAt != p.now {
		t.Errorf("back by the right time, it is %+v", f)
	}
	ran(t, p.s, Job{Host: p.g.Host, Kind: topics.CheckJob, Repository: p.g.Repository, QueuedAt: p.tick(),
		Operation: JSON[topics.Operation]{V: &topics.Operation{ReadData: true}}}, p.tick(),
		topics.Finished{Result: &topics.Result{Check: &topics.Checked{}}})
	if f := fact(t, p.s, p.g.Repository); f.Damage != nil {
		t.Errorf("after a check by the right time it is still damaged: %+v", f.Damage)
	}
}

// Every end of a job is a look, and only what makes a repository better or worse has
// the hosts read anew that back up into it.
func TestTheEndOfAJobIsALook(t *testing.T) {
	s := open(t)
	attic, cellar := enrolled(t, s, "attic"), enrolled(t, s, "cellar")
	g := grouped(t, s, attic)
	list := func(host Host, at int64, f topics.Finished) (noted bool) {
		t.Helper()
		j, _, err := s.Ask(t.Context(), "test", Job{ID: topics.JobID(topics.NewID(s.now())), Host: host.ID, Kind: topics.StatsJob,
			Repository: g.Repository, NotAfter: 1 << 50})
		if err != nil {
			t.Fatal(err)
		}
		must(s.w.Exec(`DELETE FROM host_changes WHERE host = $1`, attic.ID))
		finish(t, s, j, at, f)
		if host.ID == attic.ID {
			return true // its own jobs always are
		}
		return must(get[int](t.Context(), s.w, `SELECT count(*) FROM host_changes WHERE host = $1`, attic.ID)) > 0
	}
	gone := topics.Finished{State: topics.Failed, Cause: topics.CauseNoRepository}
	list(attic, 100, topics.Finished{})
	if f := fact(t, s, g.Repository); f.Good[looks.Open].GoodAt != 100 || f.Good[looks.Open].Host != attic.ID || len(f.Bad) != 0 {
		t.Errorf("opened once, it is %+v", f)
	}
	if list(cellar, 110, topics.Finished{}) {
		t.Error("one more good look is noted as a change of every host")
	}
	if !list(cellar, 120, gone) {
		t.Error("nobody is told that the repository is gone")
	}
	if list(cellar, 130, gone) {
		t.Error("the same trouble again is noted as a change of every host")
	}
	f := fact(t, s, g.Repository)
	if len(f.Bad) != 1 || f.Bad[0].BadSince != 120 || f.Bad[0].BadAt != 130 || f.Bad[0].GoodAt != 110 || f.Names[cellar.ID] != "cellar" {
		t.Errorf("gone for cellar, it is %+v", f)
	}
	if grave := must(looks.Grave(t.Context(), s.r, nil)); len(grave) != 1 || grave[0].Repository != g.Repository {
		t.Errorf("what ails are %+v", grave)
	}
	list(attic, 140, gone)
	if !list(cellar, 150, topics.Finished{}) {
		t.Error("nobody is told that the repository is back")
	}
	if list(cellar, 160, topics.Finished{State: topics.Failed, Cause: topics.CauseUnknown}) {
		t.Error("a failure that says nothing of the repository is noted as its change")
	}
	must(s.w.Exec(`UPDATE hosts SET revoked_at = 1 WHERE id = $1`, attic.ID))
	if f := fact(t, s, g.Repository); len(f.Bad) != 0 {
		t.Errorf("what a revoked host found counts for ever: %+v", f.Bad)
	}
}

// Damage stays until what a check read covers where it was found, slice by slice or at
// once; and it is noted when it comes and goes.
func TestDamageStaysUntilItIsCleared(t *testing.T) {
	s := open(t)
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	at := int64(100)
	check := func(o topics.Operation, errors uint64) *looks.Damage {
		t.Helper()
		at += 10
		f := topics.Finished{Result: &topics.Result{Check: &topics.Checked{Errors: errors}}}
		if errors > 0 {
			f.State, f.Cause = topics.Failed, topics.CauseDamaged
		}
		ran(t, s, Job{Host: attic.ID, Kind: topics.CheckJob, Repository: g.Repository, Operation: JSON[topics.Operation]{V: &o}}, at, f)
		return fact(t, s, g.Repository).Damage
	}
	all, none := topics.Operation{ReadData: true}, topics.Operation{}
	if d := check(none, 0); d != nil {
		t.Errorf("a clean check found %+v", d)
	}
	if d := check(all, 2); d == nil || d.Errors != 2 || d.Scope != looks.All || d.Since != at {
		t.Errorf("two errors are %+v", d)
	}
	since := at
	if d := check(topics.Operation{ReadData: true, WithCache: true}, 0); d == nil || d.Since != since {
		t.Errorf("a clean check from the host's cache clears what one of the repository found: %+v", d)
	}
	for _, clean := range []string{"", "1/3", "1/3", "3/3"} {
		if d := check(topics.Operation{Subset: clean}, 0); d == nil || d.Since != since {
			t.Errorf("a clean check of %q clears what one of all data found: %+v", clean, d)
		}
	}
	if d := check(topics.Operation{Subset: "2/3"}, 0); d != nil {
		t.Errorf("every slice was read since, and there is %+v", d)
	}
	if d := check(topics.Operation{Subset: "2/3"}, 1); d == nil || d.Scope != "2/3" {
		t.Errorf("an error in a slice is %+v", d)
	}
	ran(t, s, Job{Host: attic.ID, Kind: topics.RestoreJob, Repository: g.Repository}, at+1,
		topics.Finished{State: topics.Failed, Cause: topics.CauseDamaged})
	if d := check(topics.Operation{Subset: "2/3"}, 0); d == nil || d.Scope != looks.All || d.Kind != topics.RestoreJob {
		t.Errorf("what a restore met may be anywhere, and is %+v", d)
	}
	if d := check(all, 0); d != nil {
		t.Errorf("all was read, and there is %+v", d)
	}
}

// Foreign snapshots that were there when a repository was registered are known; later
// ones are until somebody says so, each once.
func TestForeignSnapshotsAreAcknowledged(t *testing.T) {
	s := open(t)
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	must(s.w.Exec(`UPDATE repositories SET created_at = 50 WHERE id = $1`, g.Repository))
	list := Job{Host: attic.ID, Kind: topics.SnapshotsJob, Repository: g.Repository}
	snapshots := snaps(1, 2, 3)
	snapshots[0].Time, snapshots[1].Time, snapshots[2].Time = 49, 51, 52
	foreign := func() int { return fact(t, s, g.Repository).ForeignSnapshots }
	ran(t, s, list, 100, whole(1, 2), topics.Report{Snapshots: snapshots[:2]})
	if foreign() != 1 {
		t.Errorf("%d snapshots are foreign, want the one that came after the registration", foreign())
	}
	if n := must(s.AcknowledgeForeign(t.Context(), "anna", g.Repository)); n != 1 || foreign() != 0 {
		t.Errorf("%d were acknowledged, and %d are foreign", n, foreign())
	}
	if n := must(s.AcknowledgeForeign(t.Context(), "anna", g.Repository)); n != 0 {
		t.Errorf("%d were acknowledged twice", n)
	}
	snapshots[2].Time = 10 // it says that it is old, and came with the second listing
	ran(t, s, list, 200, whole(1, 3), topics.Report{Snapshots: snapshots})
	if foreign() != 1 {
		t.Errorf("%d snapshots are foreign, want the one that came later", foreign())
	}
	entries := must(s.AuditEntries(t.Context(), AuditFilter{Action: "repository.foreign_acknowledged"}, 10))
	if len(entries) != 1 || entries[0].Actor != "anna" {
		t.Errorf("the audit log has %+v", entries)
	}
}

// A key that our password opens is ours although it is new, as long as listings say so.
func TestTheKeyThatOurPasswordOpensIsOurs(t *testing.T) {
	s := open(t)
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	list := Job{Host: attic.ID, Kind: topics.KeyJob, Repository: g.Repository}
	key := func(n int, current bool) topics.Key { return topics.Key{ID: id64(n), Current: current} }
	foreign := func() int { return fact(t, s, g.Repository).ForeignKeys }
	ran(t, s, list, 100, whole(1, 1), topics.Report{Keys: []topics.Key{key(1, true)}})
	ran(t, s, list, 200, whole(1, 1), topics.Report{Keys: []topics.Key{key(2, true)}})
	if r := must(s.Repository(t.Context(), g.Repository)); foreign() != 0 || r.KeyHint != id64(2) {
		t.Errorf("after the password was changed beside, %d keys are foreign and the hint is %q", foreign(), r.KeyHint)
	}
	// Who lies about it is believed until somebody else looks.
	ran(t, s, list, 300, whole(1, 2), topics.Report{Keys: []topics.Key{key(2, false), key(3, true)}})
	ran(t, s, list, 400, whole(1, 2), topics.Report{Keys: []topics.Key{key(2, true), key(3, false)}})
	if foreign() != 1 {
		t.Errorf("%d keys are foreign, want the one that our password does not open", foreign())
	}
}

// What jobs on record say of a repository is known at once after the upgrade.
func TestAnOlderDatabaseKnowsHowItsRepositoriesAre(t *testing.T) {
	db := must(dial(filepath.Join(t.TempDir(), fileName), 1))
	p := must(goose.NewProvider(goose.DialectSQLite3, db.DB, migrations.Files))
	must(p.UpTo(t.Context(), 159))
	for _, q := range []string{
		`INSERT INTO hosts (id, name, created_at, seal_key, serial, hostname, os, arch, platform, agent_version, restic_version, policy)
			VALUES ('host-0001', 'attic', 1, x'00', '', '', '', '', '', '', '', ''),
			('host-0002', 'cellar', 1, x'00', '', '', '', '', '', '', '', '')`,
		`INSERT INTO repositories (id, name, url, location, password, env, created_at)
			VALUES ('repo-0001', 'r', x'00', '/r', x'00', x'00', 1), ('repo-0002', 's', x'00', '/s', x'00', x'00', 1)`,
	} {
		must(db.Exec(q))
	}
	job := func(id, host, repository, kind, state, cause, operation string, at int) {
		must(db.Exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, not_after, finished_at,
			cause, operation, result) VALUES ($1, $2, $3, '', $4, $5, 'anna', 1, 9, $6, $7, $8, $9)`, id, host, kind, repository, state, at,
			cause, operation, map[bool]string{true: `{"check":{"errors":3}}`}[kind == "check" && state == "failed"]))
	}
	job("j1", "host-0001", "repo-0001", "backup", "succeeded", "", "", 100)
	job("j2", "host-0001", "repo-0001", "backup", "failed", "unreachable", "", 90)
	job("j3", "host-0002", "repo-0001", "backup", "succeeded", "", "", 50)
	job("j4", "host-0002", "repo-0001", "backup", "failed", "wrong-password", "", 110)
	job("j5", "host-0002", "repo-0001", "backup", "failed", "wrong-password", "", 120)
	job("j6", "host-0002", "repo-0001", "backup", "failed", "unknown", "", 130)
	job("j7", "host-0001", "repo-0001", "check", "failed", "damaged", `{"read_data":true}`, 60)
	job("j8", "host-0001", "repo-0001", "check", "succeeded", "", `{"subset":"1/12"}`, 70)
	job("j9", "host-0001", "repo-0002", "check", "failed", "damaged", `{}`, 60)
	job("j10", "host-0001", "repo-0002", "check", "succeeded", "", `{"subset":"1/12"}`, 70)
	job("j11", "host-0001", "repo-0002", "backup", "failed", "disk-full", ``, 80)
	must(p.Up(t.Context()))
	got := map[topics.RepositoryID]looks.Facts{}
	for _, f := range must(looks.Of(t.Context(), db)) {
		got[f.Repository] = f
	}
	r := got["repo-0001"]
	if g := r.Good[looks.Open]; g.GoodAt != 100 || g.Host != "host-0001" {
		t.Errorf("it was opened last %+v", g)
	}
	if len(r.Bad) != 1 || r.Bad[0].Host != "host-0002" || r.Bad[0].BadSince != 110 || r.Bad[0].BadAt != 120 || r.Bad[0].Job != "j5" ||
		r.Bad[0].GoodAt != 50 {
		t.Errorf("what failed is %+v", r.Bad)
	}
	if d := r.Damage; d == nil || d.Scope != looks.All || d.Errors != 3 || d.Job != "j7" || d.Since != 60 {
		t.Errorf("damage that a check of all data found, and a check of a slice did not: %+v", d)
	}
	if d := got["repo-0002"].Damage; d != nil {
		t.Errorf("damage of the structure that a later check cleared: %+v", d)
	}
	if bad := got["repo-0002"].Bad; !slices.ContainsFunc(bad, func(l looks.Look) bool {
		return l.Kind == looks.Write && l.Cause == topics.CauseDiskFull && l.BadSince == 80
	}) {
		t.Errorf("what failed is %+v", bad)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
