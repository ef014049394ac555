package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// id64 is a whole ID of a snapshot.
func id64(n int) string { return fmt.Sprintf("%064x", n+1) }

func snaps(ns ...int) []topics.Snapshot {
	var out []topics.Snapshot
	for _, n := range ns {
		out = append(out, topics.Snapshot{
			ID:       id64(n),
			Time:     int64(n),
			Host:     "attic",
			Paths:    []string{"/letters"},
			Username: "anna",
			Tree:     id64(n + 1000),
		})
	}
	return out
}

// ran has a job of a kind asked for at one moment, reported and ended at another.
func ran(t fataler, s *Store, j Job, end int64, f topics.Finished, parts ...topics.Report) Job {
	t.Helper()
	ctx := context.Background()
	j.ID, j.NotAfter = topics.JobID(topics.NewID(time.Now())), 1<<50
	asked := j.QueuedAt
	j, _, err := s.Ask(ctx, "test", j)
	if err != nil {
		t.Fatal(err)
	}
	if asked != 0 {
		if err := change(ctx, s.w, `UPDATE jobs SET queued_at = $1 WHERE id = $2`, asked, j.ID); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, s, j, end, f, parts...)
	return must(s.Job(ctx, j.ID))
}

func finish(t fataler, s *Store, j Job, end int64, f topics.Finished, parts ...topics.Report) {
	t.Helper()
	if err := s.Steps(context.Background(), func(tx protocol.PlaneTx) error {
		p := protocol.PlaneJob{ID: j.ID, Host: j.Host, Kind: j.Kind, Repository: j.Repository, State: topics.Dispatched}
		if err := tx.PutJob(p); err != nil {
			return err
		}
		for i, r := range parts {
			r.Job = j.ID
			if r.Part == 0 {
				r.Part = i + 1
			}
			if err := tx.AddReport(r); err != nil {
				return err
			}
		}
		if f.State == "" {
			f.State = topics.Succeeded
		}
		p.State, f.Job = f.State, j.ID
		if err := tx.PutJob(p); err != nil {
			return err
		}
		return tx.Finished(p, f, end)
	}); err != nil {
		t.Fatal(err)
	}
}

// whole is the end of a job whose report has so many parts and entries.
func whole(parts, count int) topics.Finished {
	return topics.Finished{Result: &topics.Result{Parts: parts, Count: count}}
}

// of is snapshots that a source group's backups made.
func of(g SourceGroup, ns ...int) []topics.Snapshot {
	list := snaps(ns...)
	for i := range list {
		list[i].Tags = []string{"plan=" + string(g.ID)}
	}
	return list
}

func held(s *Store, r topics.RepositoryID) (ids []string) {
	for _, n := range must(s.SnapshotsOf(context.Background(), r, SnapshotFilter{}, SnapshotPlace{}, 1000)) {
		ids = append(ids, n.ID)
	}
	slices.Sort(ids)
	return ids
}

func wholeIDs(ns ...int) (out []string) {
	for _, n := range ns {
		out = append(out, id64(n))
	}
	return out
}

func TestAListingAddsAndMissesSnapshots(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	list := Job{Host: attic.ID, Kind: topics.SnapshotsJob, Repository: g.Repository}

	ours := asked(t, s, g)
	finish(t, s, ours, 100, topics.Finished{Snapshot: &of(g, 1)[0], Summary: &topics.Summary{TotalBytes: 7, TotalFiles: 3}})
	list.QueuedAt = 200
	ran(t, s, list, 210, whole(2, 3), topics.Report{Snapshots: append(of(g, 1), snaps(2)...)}, topics.Report{Snapshots: snaps(3)})
	if got := held(s, g.Repository); !slices.Equal(got, wholeIDs(1, 2, 3)) {
		t.Errorf("after a listing of 1, 2 and 3 there are %v", got)
	}
	tally := must(s.SnapshotTallies(ctx))[g.Repository]
	if tally.Count != 3 || tally.Foreign != 2 {
		t.Errorf("counted %+v, want 3 snapshots, 2 of them foreign", tally)
	}
	n := must(s.SnapshotByID(ctx, g.Repository, id64(1)[:64]))
	if n.Job != ours.ID || n.Foreign() || n.SeenAt != 210 || n.Bytes != 7 {
		t.Errorf("ours is %+v after the listing", n)
	}

	list.QueuedAt = 300
	ran(t, s, list, 310, whole(1, 2), topics.Report{Snapshots: snaps(1, 3)})
	if got := held(s, g.Repository); !slices.Equal(got, wholeIDs(1, 3)) {
		t.Errorf("2 was not listed any more, and there are %v", got)
	}
	if n := must(s.SnapshotByID(ctx, g.Repository, id64(2))); n.GoneAt != 310 {
		t.Errorf("2 is gone since %d, want 310", n.GoneAt)
	}
	list.QueuedAt = 400
	ran(t, s, list, 410, whole(1, 3), topics.Report{Snapshots: snaps(1, 2, 3)})
	if got := held(s, g.Repository); !slices.Equal(got, wholeIDs(1, 2, 3)) {
		t.Errorf("2 was listed again, and there are %v", got)
	}
	if r := must(s.Repository(ctx, g.Repository)); r.ListedAt != 410 || r.ReadyAt != 100 {
		t.Errorf("the repository was listed at %d and is ready since %d", r.ListedAt, r.ReadyAt)
	}
}

// A report that lacks something says nothing about what is not in it.
func TestAListingThatIsNotWholeRemovesNothing(t *testing.T) {
	s := open(t)
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	list := Job{Host: attic.ID, Kind: topics.SnapshotsJob, Repository: g.Repository, QueuedAt: 10}
	ran(t, s, list, 20, whole(1, 2), topics.Report{Snapshots: snaps(1, 2)})
	list.QueuedAt = 30
	for name, c := range map[string]struct {
		f     topics.Finished
		parts []topics.Report
	}{
		"it was truncated": {
			topics.Finished{Result: &topics.Result{Parts: 1, Count: 1, Truncated: true}},
			[]topics.Report{{Snapshots: snaps(1)}},
		},
		"a part is missing":         {whole(2, 2), []topics.Report{{Snapshots: snaps(1)}}},
		"the first part is missing": {whole(1, 1), []topics.Report{{Part: 2, Snapshots: snaps(1)}}},
		"an entry is missing":       {whole(1, 2), []topics.Report{{Snapshots: snaps(1)}}},
		"there is a part too many":  {whole(1, 1), []topics.Report{{Snapshots: snaps(1)}, {Part: 2}}},
		"the job failed": {
			topics.Finished{State: topics.Failed, Result: &topics.Result{Parts: 1, Count: 1}},
			[]topics.Report{{Snapshots: snaps(1)}},
		},
		"the agent does not report":      {topics.Finished{}, nil},
		"it failed and says there is no": {topics.Finished{State: topics.Failed, Result: &topics.Result{}}, nil},
	} {
		ran(t, s, list, 40, c.f, c.parts...)
		if got := held(s, g.Repository); !slices.Equal(got, wholeIDs(1, 2)) {
			t.Errorf("%s: there are %v, want both", name, got)
		}
	}
	ran(t, s, list, 40, whole(0, 0)) // a whole report of an empty repository
	if got := held(s, g.Repository); len(got) != 0 {
		t.Errorf("nothing was listed, and there are %v", got)
	}
}

// A backup whose event comes after a listing that saw its snapshot still owns it,
// and nobody else can claim it.
func TestASnapshotSeenBeforeItsJobEndedBecomesOurs(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic, thief := enrolled(t, s, "attic"), enrolled(t, s, "thief")
	g, theirs := grouped(t, s, attic), grouped(t, s, thief)
	theirs.Repository = g.Repository
	theirs = must(s.PutSourceGroup(ctx, "test", theirs))
	list := Job{Host: attic.ID, Kind: topics.SnapshotsJob, Repository: g.Repository}
	ran(t, s, list, 20, whole(1, 1), topics.Report{Snapshots: of(g, 1)})
	if n := must(s.SnapshotByID(ctx, g.Repository, id64(1))); !n.Foreign() {
		t.Fatalf("a snapshot without a job is not foreign: %+v", n)
	}
	finish(t, s, asked(t, s, theirs), 25, topics.Finished{Snapshot: &of(theirs, 1)[0]})
	if n := must(s.SnapshotByID(ctx, g.Repository, id64(1))); !n.Foreign() {
		t.Errorf("a job of another source group claimed it: %+v", n)
	}
	ours := asked(t, s, g)
	finish(t, s, ours, 30, topics.Finished{Snapshot: &of(g, 1)[0], Summary: &topics.Summary{TotalBytes: 7}})
	n := must(s.SnapshotByID(ctx, g.Repository, id64(1)))
	if n.Job != ours.ID || n.Host != attic.ID || n.SourceGroup != g.ID || n.Bytes != 7 || n.SeenAt != 20 {
		t.Errorf("it is %+v, want it to be of job %s", n, ours.ID)
	}
	finish(t, s, asked(t, s, theirs), 40, topics.Finished{Snapshot: &snaps(1)[0], Summary: &topics.Summary{TotalBytes: 9}})
	if n := must(s.SnapshotByID(ctx, g.Repository, id64(1))); n.Job != ours.ID || n.Host != attic.ID || n.Bytes != 7 {
		t.Errorf("another job claimed it: %+v", n)
	}

	// One that is claimed before anybody looked is nobody's, or the right one's,
	// as soon as it is listed, whoever was first.
	finish(t, s, asked(t, s, theirs), 50, topics.Finished{Snapshot: &of(theirs, 2)[0]})
	finish(t, s, asked(t, s, theirs), 51, topics.Finished{Snapshot: &of(theirs, 3)[0]})
	late := asked(t, s, g)
	finish(t, s, late, 52, topics.Finished{Snapshot: &of(g, 2)[0]})
	list.QueuedAt = 60
	ran(t, s, list, 70, whole(1, 3), topics.Report{Snapshots: append(of(g, 1, 2), snaps(3)...)})
	if n := must(s.SnapshotByID(ctx, g.Repository, id64(2))); n.Job != late.ID || n.SourceGroup != g.ID || n.Host != attic.ID {
		t.Errorf("claimed by another first, it is %+v, want it to be of job %s", n, late.ID)
	}
	if n := must(s.SnapshotByID(ctx, g.Repository, id64(3))); !n.Foreign() || n.Host != "" || len(n.Tags) != 0 {
		t.Errorf("one that carries no tag of its source group is not foreign: %+v", n)
	}

	// A listing that lies is put right by the next.
	list.QueuedAt = 80
	ran(t, s, list, 90, whole(1, 3), topics.Report{Snapshots: snaps(1, 2, 3)})
	if n := must(s.SnapshotByID(ctx, g.Repository, id64(2))); !n.Foreign() {
		t.Errorf("without its tag it is %+v", n)
	}
	list.QueuedAt = 100
	ran(t, s, list, 110, whole(1, 3), topics.Report{Snapshots: append(of(g, 1, 2), snaps(3)...)})
	if n := must(s.SnapshotByID(ctx, g.Repository, id64(2))); n.Job != late.ID || n.SourceGroup != g.ID {
		t.Errorf("put right it is %+v, want it to be of job %s", n, late.ID)
	}
}

// What happens while a listing is under way counts more than the listing.
func TestAnOldListingOverturnsNothing(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	list := Job{Host: attic.ID, Kind: topics.SnapshotsJob, Repository: g.Repository, QueuedAt: 10}
	ran(t, s, list, 20, whole(1, 2), topics.Report{Snapshots: snaps(1, 2)})
	// Asked for at 100; meanwhile a backup ends and a forget removes one.
	finish(t, s, asked(t, s, g), 110, topics.Finished{Snapshot: &snaps(3)[0]})
	ran(t, s, Job{
		Host:       attic.ID,
		Kind:       topics.ForgetJob,
		Repository: g.Repository,
		Operation:  JSON[topics.Operation]{V: &topics.Operation{Snapshots: wholeIDs(1)}},
	}, 120, topics.Finished{Result: &topics.Result{Removed: wholeIDs(1)}})
	list.QueuedAt = 100
	ran(t, s, list, 130, whole(1, 2), topics.Report{Snapshots: snaps(1, 2)})
	if got := held(s, g.Repository); !slices.Equal(got, wholeIDs(2, 3)) {
		t.Errorf("there are %v, want 2 and 3", got)
	}
	if r := must(s.Repository(ctx, g.Repository)); r.ForgotAt != 120 {
		t.Errorf("forgot at %d, want 120", r.ForgotAt)
	}
}

func TestForgetRemovesOnlyWhatItWasAskedTo(t *testing.T) {
	s := open(t)
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	ran(t, s, Job{Host: attic.ID, Kind: topics.SnapshotsJob, Repository: g.Repository}, 20, whole(1, 3),
		topics.Report{Snapshots: snaps(1, 2, 3)})
	forget := Job{
		Host:       attic.ID,
		Kind:       topics.ForgetJob,
		Repository: g.Repository,
		Operation:  JSON[topics.Operation]{V: &topics.Operation{Snapshots: wholeIDs(1, 2)}},
	}
	// It failed in the middle, and says more than it was asked.
	ran(t, s, forget, 30, topics.Finished{State: topics.Failed, Cause: topics.CauseUnreachable,
		Result: &topics.Result{Removed: wholeIDs(1, 3)}})
	if got := held(s, g.Repository); !slices.Equal(got, wholeIDs(2, 3)) {
		t.Errorf("there are %v, want 2 and 3", got)
	}
	if r := must(s.Repository(t.Context(), g.Repository)); r.ForgotAt != 0 {
		t.Error("a forget that failed counts as one")
	}
}

func TestJobsLeaveWhatTheyFoundWithTheRepository(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	job := func(k topics.JobKind) Job { return Job{Host: attic.ID, Kind: k, Repository: g.Repository} }
	row := func() Repository { return must(s.Repository(ctx, g.Repository)) }

	stats := func(at int64, stored uint64) {
		ran(t, s, job(topics.StatsJob), at, topics.Finished{Result: &topics.Result{Stats: &topics.Stats{
			Snapshots:    4,
			RestoreBytes: 4 * stored,
			StoredBytes:  stored,
			PlainBytes:   2 * stored,
		}}})
	}
	stats(5*dayMillis+1, 100)
	stats(5*dayMillis+2, 110)
	stats(6*dayMillis, 120)
	if r := row(); r.MeasuredAt != 6*dayMillis || r.StoredBytes != 120 || r.Ratio() != 4 || r.Compression() != 2 {
		t.Errorf("measured %+v", r)
	}
	days := must(s.Days(ctx, g.Repository, 0))
	if len(days) != 2 || days[0].Day != 5 || days[0].StoredBytes != 110 || days[1].StoredBytes != 120 {
		t.Errorf("the days are %+v, want the last of each", days)
	}
	stats(7*dayMillis, math.MaxUint64) // an agent may say what it likes; the stream goes on
	if r := row(); r.StoredBytes != math.MaxInt64 {
		t.Errorf("stored %d", r.StoredBytes)
	}

	check := ran(t, s, job(topics.CheckJob), 50, topics.Finished{State: topics.Failed, Cause: topics.CauseDamaged,
		Result: &topics.Result{Check: &topics.Checked{Errors: 2}}})
	if r := row(); r.CheckedAt != 50 || r.CheckErrors != 2 || r.CheckJob != check.ID {
		t.Errorf("a check that found damage left %+v", r)
	}
	ran(t, s, job(topics.CheckJob), 60, topics.Finished{State: topics.Failed, Cause: topics.CauseLocked,
		Result: &topics.Result{Check: &topics.Checked{}}})
	if r := row(); r.CheckedAt != 50 {
		t.Error("a check that could not begin counts as one")
	}
	check = ran(t, s, job(topics.CheckJob), 70, topics.Finished{Result: &topics.Result{Check: &topics.Checked{}}})
	if r := row(); r.CheckedAt != 70 || r.CheckErrors != 0 || r.CheckJob != check.ID {
		t.Errorf("a clean check left %+v", r)
	}

	dry := job(topics.PruneJob)
	dry.Operation.V = &topics.Operation{DryRun: true}
	ran(t, s, dry, 80, topics.Finished{})
	if r := row(); r.PrunedAt != 0 {
		t.Error("a dry run counts as a prune")
	}
	ran(t, s, job(topics.PruneJob), 90, topics.Finished{}) // restic's text was not understood, its exit code was
	if r := row(); r.PrunedAt != 90 {
		t.Errorf("pruned at %d", r.PrunedAt)
	}
}

func TestKeysThatComeLaterAreForeign(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	job := Job{Host: attic.ID, Kind: topics.KeyJob, Repository: g.Repository}
	foreign := func() (ids []string) {
		for _, k := range must(s.Keys(ctx, g.Repository)) {
			if !k.Trusted {
				ids = append(ids, k.ID)
			}
		}
		return ids
	}
	ours, other, planted := topics.Key{
		ID:      id64(1),
		Current: true,
		User:    "anna",
		Host:    "attic",
	}, topics.Key{ID: id64(2)}, topics.Key{ID: id64(3), Current: true}
	first, _, err := s.Ask(ctx, "test", Job{
		ID:         topics.JobID(topics.NewID(time.Now())),
		Host:       attic.ID,
		Kind:       topics.KeyJob,
		Repository: g.Repository,
		NotAfter:   1 << 50,
	})
	if err != nil {
		t.Fatal(err)
	}
	edition := must(s.Edition(ctx))
	finish(t, s, first, 10, whole(1, 2), topics.Report{Keys: []topics.Key{ours, other}})
	if must(s.Edition(ctx)) == edition {
		t.Error("which key is ours is part of configs, and nobody sees that they changed")
	}
	if got := foreign(); got != nil {
		t.Errorf("the first listing found foreign keys: %v", got)
	}
	ran(t, s, job, 20, whole(1, 2), topics.Report{Keys: []topics.Key{ours, planted}})
	if got := foreign(); !slices.Equal(got, []string{planted.ID}) || must(s.ForeignKeys(ctx))[g.Repository] != 1 {
		t.Errorf("foreign keys are %v, want the one that came later", got)
	}
	if r := must(s.Repository(ctx, g.Repository)); r.KeyHint != ours.ID || r.KeysAt != 20 {
		t.Errorf("the hint is %q: a planted key must not be it", r.KeyHint)
	}
	if keys := must(s.Keys(ctx, g.Repository)); len(keys) != 2 {
		t.Errorf("one key is gone, and there are %d", len(keys))
	}
	ran(t, s, job, 30, topics.Finished{Result: &topics.Result{Parts: 1, Count: 1, Truncated: true}}, topics.Report{Keys: []topics.Key{ours}})
	if keys := must(s.Keys(ctx, g.Repository)); len(keys) != 2 {
		t.Error("a truncated listing removed a key")
	}
	if err := s.TrustKey(ctx, "anna", g.Repository, planted.ID); err != nil {
		t.Fatal(err)
	}
	if got := foreign(); got != nil {
		t.Errorf("still foreign: %v", got)
	}
	if err := s.TrustKey(ctx, "anna", g.Repository, id64(9)); !errors.Is(err, ErrNotFound) {
		t.Errorf("a key that is not there: %v", err)
	}
}

func TestALockKeepsWhatItsOwnHostSaid(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic, cellar := enrolled(t, s, "attic"), enrolled(t, s, "cellar")
	g := grouped(t, s, attic)
	for _, h := range []topics.HostID{attic.ID, cellar.ID} { // both have it mounted
		must(s.w.ExecContext(ctx, `INSERT INTO repository_places (repository, host, place, seen_at) VALUES ($1, $2, 'one', 1)`, g.Repository, h))
	}
	dead := false
	lock := topics.Lock{ID: id64(1), Time: 5, Exclusive: true, Host: "attic", User: "root", PID: 4121}
	seen := lock
	seen.Alive, seen.Job = &dead, "job-0001"
	job := Job{Kind: topics.LocksJob, Repository: g.Repository}
	job.Host = attic.ID
	ran(t, s, job, 10, whole(1, 1), topics.Report{Locks: []topics.Lock{seen}})
	job.Host = cellar.ID
	ran(t, s, job, 20, whole(1, 1), topics.Report{Locks: []topics.Lock{lock}})
	got := must(s.Locks(ctx, g.Repository))
	if len(got) != 1 || !got[0].Alive.Valid || got[0].Alive.Bool || got[0].LookedBy != attic.ID || got[0].Job != "job-0001" {
		t.Errorf("the lock is %+v, want what its own host said", got)
	}
	lock.ID = id64(2) // renewed
	ran(t, s, job, 30, whole(1, 1), topics.Report{Locks: []topics.Lock{lock}})
	if got := must(s.Locks(ctx, g.Repository)); len(got) != 1 || got[0].Alive.Valid || got[0].LookedBy != cellar.ID {
		t.Errorf("another lock got the evidence of the one before: %+v", got)
	}
	ran(t, s, job, 40, whole(0, 0))
	if got := must(s.Locks(ctx, g.Repository)); len(got) != 0 || must(s.Repository(ctx, g.Repository)).LocksAt != 40 {
		t.Errorf("none was found, and there are %+v", got)
	}
}

func TestMaintenanceSecretsAreSealedAndRemovalErasesAll(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	r := must(s.Repository(ctx, g.Repository))
	a := must(s.RepositoryAccess(ctx, r.ID))
	if a.Maintenance != nil {
		t.Fatalf("a repository has a maintenance credential nobody gave it: %v", a.Maintenance)
	}
	a.Maintenance = &Maintenance{Env: map[string]topics.Secret{"RESTIC_REST_PASSWORD": "may delete everything"}}
	r.Name, r.Keeper, r.AppendOnly, r.Keep.V = "nas", attic.ID, true, &Keep{Within: "30d"}
	if err := s.ChangeRepository(ctx, "anna", r, a); err != nil {
		t.Fatal(err)
	}
	if b := must(s.RepositoryAccess(ctx, r.ID)); b.Maintenance == nil ||
		b.Maintenance.Env["RESTIC_REST_PASSWORD"] != "may delete everything" || b.Password != a.Password ||
		b.Env["AWS_SECRET_ACCESS_KEY"] != "battery" {
		t.Error("the secrets are not what was saved")
	}
	if b := must(s.Repository(ctx, r.ID)); b.Name != "nas" || b.Keeper != attic.ID || !b.AppendOnly || b.Keep.V == nil ||
		b.Keep.V.Within != "30d" {
		t.Errorf("saved %+v", b)
	}
	raw := must(get[[]byte](ctx, s.r, `SELECT maintenance FROM repositories WHERE id = $1`, r.ID))
	if strings.Contains(string(raw), "may delete") {
		t.Error("the maintenance credential lies in clear in its row")
	}
	other := grouped(t, s, attic)
	o := must(s.Repository(ctx, other.Repository))
	o.Name = "nas"
	if err := s.ChangeRepository(ctx, "anna", o, RepositoryAccess{}); !errors.Is(err, ErrConflict) {
		t.Errorf("a name twice: %v", err)
	}

	if err := s.RemoveRepository(ctx, "anna", r.ID, false); !errors.Is(err, ErrInUse) {
		t.Errorf("remove one that a source group needs: %v", err)
	}
	finish(t, s, asked(t, s, g), 10, topics.Finished{Snapshot: &snaps(1)[0]})
	if err := change(ctx, s.w, `DELETE FROM source_groups WHERE id = $1`, g.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveRepository(ctx, "anna", r.ID, false); err != nil {
		t.Fatal(err)
	}
	if b := must(s.RepositoryAccess(ctx, r.ID)); b.Password != a.Password {
		t.Error("what brings it back within thirty days was dropped at once")
	}
	if n, err := s.PurgeRemoved(ctx, s.Now()+1); err != nil || n != 1 {
		t.Fatalf("%d were purged, %v", n, err)
	}
	if b := must(s.RepositoryAccess(ctx, r.ID)); b.URL != "" || b.Password != "" || len(b.Env) != 0 || b.Maintenance != nil {
		t.Error("secrets outlived their repository")
	}
	for _, left := range must(s.Repositories(ctx)) {
		if left.ID == r.ID {
			t.Error("it is still listed")
		}
	}
	if err := s.RemoveRepository(ctx, "anna", r.ID, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if err := s.ChangeRepository(ctx, "anna", o, RepositoryAccess{}); err != nil {
		t.Errorf("its name is not free: %v", err)
	}
}

func TestReportsAreSweptWithTheLogsAndSummariesStay(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	list := ran(t, s, Job{Host: attic.ID, Kind: topics.SnapshotsJob, Repository: g.Repository}, 20, whole(1, 2),
		topics.Report{Snapshots: snaps(1, 2)})
	backup := asked(t, s, g)
	finish(t, s, backup, 30, topics.Finished{Summary: &topics.Summary{DataAdded: 5, FilesChanged: 6, Seconds: 7}})
	bytes, jobs, err := s.LogSize(ctx)
	if err != nil || bytes < 200 || jobs != 1 {
		t.Errorf("%d bytes of %d jobs, %v: a report takes room", bytes, jobs, err)
	}
	if n, err := s.SweepLogs(ctx, Retention{Age: time.Hour}); err != nil || n != 1 {
		t.Fatalf("swept %d, %v", n, err)
	}
	if r := must(s.Reports(ctx, list.ID)); len(r) != 0 {
		t.Error("the report outlived its retention")
	}
	if got := held(s, g.Repository); len(got) != 2 {
		t.Errorf("what the report said went with it: %v", got)
	}
	if sum := must(s.Job(ctx, backup.ID)).Summary.V; sum == nil || sum.DataAdded != 5 || sum.FilesChanged != 6 || sum.Seconds != 7 {
		t.Errorf("the numbers of a backup went with its log: %+v", sum)
	}
	if r := must(s.Job(ctx, list.ID)).Result.V; r == nil || r.Count != 2 {
		t.Errorf("the result went with its report: %+v", r)
	}
	if bytes, _, err := s.LogSize(ctx); err != nil || bytes != 0 {
		t.Errorf("%d bytes are left, %v", bytes, err)
	}
}

// Whatever order listings, backups and removals are heard of in, a snapshot that
// a listing asked for after all of it names is there, and no other.
func TestTheLastWholeListingIsWhatIsThere(t *testing.T) {
	s := open(t)
	attic := enrolled(t, s, "attic")
	rapid.Check(t, func(r *rapid.T) {
		g := grouped(r, s, attic)
		list := Job{Host: attic.ID, Kind: topics.SnapshotsJob, Repository: g.Repository}
		now := int64(10)
		some := rapid.SliceOfNDistinct(rapid.IntRange(1, 6), 0, 6, rapid.ID[int])
		for range rapid.IntRange(1, 6).Draw(r, "steps") {
			now += 10
			switch rapid.IntRange(0, 2).Draw(r, "step") {
			case 0:
				ns := some.Draw(r, "listed")
				list.QueuedAt = now - int64(rapid.IntRange(0, 40).Draw(r, "old"))
				ran(r, s, list, now, whole(1, len(ns)), topics.Report{Snapshots: snaps(ns...)})
			case 1:
				finish(r, s, asked(r, s, g), now, topics.Finished{Snapshot: &snaps(rapid.IntRange(1, 6).Draw(r, "made"))[0]})
			case 2:
				n := rapid.IntRange(1, 6).Draw(r, "forgotten")
				ran(r, s, Job{
					Host:       attic.ID,
					Kind:       topics.ForgetJob,
					Repository: g.Repository,
					Operation:  JSON[topics.Operation]{V: &topics.Operation{Snapshots: wholeIDs(n)}},
				}, now, topics.Finished{Result: &topics.Result{Removed: wholeIDs(n)}})
			}
		}
		ns := some.Draw(r, "last")
		list.QueuedAt = now + 1
		ran(r, s, list, now+10, whole(1, len(ns)), topics.Report{Snapshots: snaps(ns...)})
		slices.Sort(ns)
		if got := held(s, g.Repository); !slices.Equal(got, wholeIDs(ns...)) {
			r.Fatalf("there are %v, the last listing had %v", got, wholeIDs(ns...))
		}
	})
}

func TestAListOfSnapshotsIsNarrowed(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	ours := asked(t, s, g)
	finish(t, s, ours, 100, topics.Finished{Snapshot: &of(g, 1)[0]})
	listed := append(of(g, 1), snaps(2, 3, 4)...)
	listed[1].Paths, listed[1].Tags = []string{"/srv/Müller & Söhne", "/home/Öffentlich"}, []string{"before-upgrade"}
	listed[2].Paths = []string{`C:\Users\anna`}
	listed[3].Paths = []string{"/100%_sure!"}
	ran(t, s, Job{
		Host:       attic.ID,
		Kind:       topics.SnapshotsJob,
		Repository: g.Repository,
		QueuedAt:   200,
	}, 210, whole(1, 4), topics.Report{Snapshots: listed})
	for name, c := range map[string]struct {
		filter SnapshotFilter
		want   []int
	}{
		"nothing narrows":        {SnapshotFilter{}, []int{1, 2, 3, 4}},
		"a whole ID":             {SnapshotFilter{Text: id64(3)}, []int{3}},
		"an ID's beginning":      {SnapshotFilter{Text: strings.ToUpper(id64(3)[:60])}, []int{1, 2, 3, 4}},
		"an ID's middle":         {SnapshotFilter{Text: id64(3)[1:]}, nil},
		"a path, in small":       {SnapshotFilter{Text: "srv/m"}, []int{2}},
		"what JSON writes apart": {SnapshotFilter{Text: " & "}, []int{2}},
		"capitals as they are":   {SnapshotFilter{Text: "Öffentlich"}, []int{2}},
		"our own mark":           {SnapshotFilter{Text: "plan="}, nil},
		"a tag":                  {SnapshotFilter{Text: "Upgrade"}, []int{2}},
		"a path of Windows":      {SnapshotFilter{Text: `c:\users\A`}, []int{3}},
		"signs of LIKE":          {SnapshotFilter{Text: "100%_sure!"}, []int{4}},
		"no sign of LIKE":        {SnapshotFilter{Text: "a%a"}, nil},
		"between two paths":      {SnapshotFilter{Text: `","`}, nil},
		"of a host":              {SnapshotFilter{Host: attic.ID}, []int{1}},
		"of a host, otherwise":   {SnapshotFilter{Host: attic.ID, Text: "srv"}, nil},
		"nobody's":               {SnapshotFilter{Foreign: true}, []int{2, 3, 4}},
		"nobody's, and a path":   {SnapshotFilter{Foreign: true, Text: "anna"}, []int{3}},
	} {
		var got []string
		for _, n := range must(s.SnapshotsOf(ctx, g.Repository, c.filter, SnapshotPlace{}, 100)) {
			got = append(got, n.ID)
		}
		slices.Sort(got)
		if n := must(s.CountSnapshots(ctx, g.Repository, c.filter)); !slices.Equal(got, wholeIDs(c.want...)) || n != len(got) {
			t.Errorf("%s: found %v and counted %d, want %v", name, got, n, c.want)
		}
	}
	if got := must(s.SnapshotHosts(ctx, g.Repository)); !slices.Equal(got, []topics.HostID{attic.ID}) {
		t.Errorf("they are of %v", got)
	}
}

func TestSnapshotsAndFailuresAreCountedByTheQuarter(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	const quarter = 15 * 60 * 1000
	made := of(g, 1, 2, 3, 4)
	for i, at := range []int64{10 * quarter, 10*quarter + 5, 13*quarter - 1, 99 * quarter} {
		made[i].Time = at
		finish(t, s, asked(t, s, g), 100*quarter, topics.Finished{Snapshot: &made[i]})
	}
	planted := snaps(5)
	planted[0].Time = 20 * quarter
	ran(t, s, Job{
		Host:       attic.ID,
		Kind:       topics.SnapshotsJob,
		Repository: g.Repository,
		QueuedAt:   200 * quarter,
	}, 201*quarter, whole(1, 5), topics.Report{Snapshots: append(made, planted...)})
	if got := must(s.SnapshotQuarters(ctx, g.Repository, 10*quarter, 50*quarter)); !slices.Equal(got, []Quarter{{10, 2}, {12, 1}}) {
		t.Errorf("by the quarter there are %v", got)
	}
	finish(t, s, asked(t, s, g), 20*quarter, topics.Finished{State: topics.Failed})
	finish(t, s, asked(t, s, g), 20*quarter+1, topics.Finished{State: topics.Interrupted})
	finish(t, s, asked(t, s, g), 5*quarter, topics.Finished{State: topics.Failed})
	finish(t, s, asked(t, s, g), 21*quarter, topics.Finished{})
	if got := must(s.FailedQuarters(ctx, g.Repository, 6*quarter)); !slices.Equal(got, []Quarter{{20, 2}}) {
		t.Errorf("by the quarter %v failed", got)
	}
}
