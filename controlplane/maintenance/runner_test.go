package maintenance

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// A world is a database and an engine, with a repository, a host that backs up
// into it and its keeper. The test plays the agents; its clock may be ahead.
type world struct {
	t       *testing.T
	store   *store.Store
	engine  *jobs.Engine
	runner  *Runner
	ahead   time.Duration
	online  bool
	attic   topics.HostID
	keeper  topics.HostID
	group   store.SourceGroup
	listing []topics.Snapshot // what the repository holds
}

const (
	vault = topics.RepositoryID("vault-0001")
	day   = 24 * time.Hour
)

var anna = jobs.Actor{Name: "anna", Role: store.Admin}

func ids(list []retention.Verdict) (ids []string) {
	for _, v := range list {
		ids = append(ids, v.ID)
	}
	return ids
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t *testing.T, r store.Repository, keep store.Keep) *world {
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	w := &world{t: t, store: s, online: true}
	enrol := func(name string) topics.HostID {
		hash := sha256.Sum256([]byte(name))
		key := must(seal.NewKey())
		if err := s.AddEnrollToken(ctx, store.EnrollToken{
			ID:        "token-" + name,
			KeyHash:   hash[:],
			CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000,
		}); err != nil {
			t.Fatal(err)
		}
		return must(s.Enroll(ctx, hash[:], store.Host{ID: topics.HostID(name + "-0001"), SealKey: key.Public(), Hostname: name})).ID
	}
	w.attic, w.keeper = enrol("attic"), enrol("keeper")
	r.ID, r.Name, r.Keep.V = vault, "vault", &keep
	if r.Location == "" {
		r.Location = "rest:https://nas/vault/"
	}
	if err := s.AddRepository(ctx, "test", r, store.RepositoryAccess{URL: topics.Secret(r.Location), Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	w.group = must(s.PutSourceGroup(ctx, "test", store.SourceGroup{
		ID:         "group-0001",
		Host:       w.attic,
		Name:       "letters",
		Repository: vault,
		Paths:      store.List{"/letters"},
	}))
	now := func() time.Time { return time.Now().Add(w.ahead) }
	log := slog.New(slog.DiscardHandler)
	w.engine = jobs.New(jobs.Config{
		Store:    s,
		Key:      must(seal.NewKey()),
		Presence: hosts.NewPresence(hosts.DefaultTiming(), now, nil),
		Hub:      jobs.NewHub(),
		Log:      log,
		Timing:   jobs.DefaultTiming(),
		Now:      now,
	})
	w.runner = NewRunner(Config{
		Store:   s,
		Jobs:    w.engine,
		Online:  func(topics.HostID) bool { return w.online },
		Changed: func(...topics.HostID) {},
		Log:     log,
		Timing:  DefaultTiming(),
		Now:     now,
	})
	return w
}

func (w *world) tick() {
	w.t.Helper()
	if err := w.runner.tick(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// end plays a job to its end, with what it found.
func (w *world) end(id topics.JobID, f topics.Finished, report *topics.Report) {
	w.t.Helper()
	err := w.store.Steps(w.t.Context(), func(tx protocol.PlaneTx) error {
		j, _, err := tx.Job(id)
		if err != nil {
			return err
		}
		if report != nil {
			report.Job, report.Part = id, 1
			if err := tx.AddReport(*report); err != nil {
				return err
			}
			if f.Result == nil {
				f.Result = &topics.Result{}
			}
			f.Result.Parts = 1
		}
		for _, st := range []topics.JobState{topics.Dispatched, f.State} {
			j.State = st
			if err := tx.PutJob(j); err != nil {
				return err
			}
		}
		f.Job = id
		return tx.Finished(j, f, w.store.Now())
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// waiting lists the jobs that could be sent.
func (w *world) waiting() (list []store.Job) {
	w.t.Helper()
	for _, j := range must(w.store.OpenJobs(w.t.Context(), "")) {
		if !j.Held {
			list = append(list, j)
		}
	}
	return list
}

// work plays the keeper until nothing waits: it lists, forgets, prunes, checks.
func (w *world) work() (did []string) {
	w.t.Helper()
	for range 50 {
		w.tick()
		w.tick() // what the first one settled
		list := w.waiting()
		if len(list) == 0 {
			return did
		}
		for _, j := range list {
			did = append(did, string(j.Kind))
			w.serve(j)
		}
	}
	w.t.Fatalf("it never ends: %v", did)
	return nil
}

func (w *world) serve(j store.Job) {
	w.t.Helper()
	good := topics.Finished{State: topics.Succeeded, RepositoryReady: true}
	switch j.Kind {
	case topics.SnapshotsJob:
		good.Result = &topics.Result{Count: len(w.listing)}
		w.end(j.ID, good, &topics.Report{Snapshots: w.listing})
	case topics.KeyJob:
		good.Result = &topics.Result{Count: 1}
		w.end(j.ID, good, &topics.Report{Keys: []topics.Key{{ID: strings.Repeat("ab", 32), Current: true, User: "root", Host: "attic"}}})
	case topics.ForgetJob:
		ids := j.Operation.V.Snapshots
		w.listing = slices.DeleteFunc(w.listing, func(s topics.Snapshot) bool { return slices.Contains(ids, s.ID) })
		good.Result = &topics.Result{Removed: ids, Count: len(ids)}
		w.end(j.ID, good, nil)
	case topics.CheckJob:
		good.Result = &topics.Result{Check: &topics.Checked{}}
		w.end(j.ID, good, nil)
	default:
		w.end(j.ID, good, nil)
	}
}

// backup plays one of attic's, as it would have been: ending an age ago cannot be
// played, since the store has its own clock, so it claims the time it is given.
func (w *world) backup(n int, at time.Time, files uint64) string {
	w.t.Helper()
	return w.backupOf(w.group, n, at, files)
}

func (w *world) backupOf(g store.SourceGroup, n int, at time.Time, files uint64) string {
	w.t.Helper()
	j, _, err := w.engine.AskBackup(w.t.Context(), "test", w.attic, g.Name)
	if err != nil {
		w.t.Fatal(err)
	}
	snap := topics.Snapshot{
		ID:    fmt.Sprintf("%064x", n+1),
		Time:  at.UnixMilli(),
		Host:  "attic",
		Paths: []string{"/letters"},
		Tags:  []string{"plan=" + string(g.ID)},
	}
	w.end(j.ID, topics.Finished{
		State:           topics.Succeeded,
		Snapshot:        &snap,
		Summary:         &topics.Summary{TotalFiles: files, TotalBytes: files * 1000},
		RepositoryReady: true,
	}, nil)
	w.listing = append(w.listing, snap)
	return snap.ID
}

// fired plays backups that attic began by itself while it was out of touch, and
// tells of now.
func (w *world) fired(n int, at ...time.Time) (ids []string) {
	w.t.Helper()
	epoch := time.Now().UnixMilli()
	batch := topics.Events{Epoch: epoch, First: 1}
	if _, err := w.store.PutSchedule(w.t.Context(), "test", w.attic, "nightly", "nightly-0001", func(sc *store.Schedule) error {
		sc.Cron, sc.Zone, sc.Groups = "* * * * *", "UTC", []topics.SourceGroupID{w.group.ID}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	for i, at := range at {
		at = at.Truncate(time.Minute)
		job := topics.JobID(topics.NewID(at))
		snap := topics.Snapshot{
			ID:    fmt.Sprintf("%064x", n+i),
			Time:  at.Add(time.Minute).UnixMilli(),
			Host:  "attic",
			Paths: []string{"/letters"},
			Tags:  []string{"plan=group-0001"},
		}
		end := topics.Finished{
			Job:             job,
			State:           topics.Succeeded,
			Snapshot:        &snap,
			Summary:         &topics.Summary{TotalFiles: 100, TotalBytes: 100_000},
			RepositoryReady: true,
		}
		batch.Events = append(batch.Events,
			topics.Event{At: at.UnixMilli(), Fired: &topics.Fired{
				Job:        job,
				Slot:       topics.Slot{Schedule: "nightly-0001", At: at.UnixMilli()},
				Group:      w.group.ID,
				Repository: vault,
			}},
			topics.Event{At: at.UnixMilli(), Started: &topics.Started{Job: job}},
			topics.Event{At: at.Add(2 * time.Minute).UnixMilli(), Finished: &end})
		w.listing, ids = append(w.listing, snap), append(ids, snap.ID)
	}
	if err := w.store.Steps(w.t.Context(), func(tx protocol.PlaneTx) error {
		_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Arrived{Host: w.attic, Events: batch, Now: w.store.Now()})
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return ids
}

// What a host did while it was out of touch counts, and apart from what was
// witnessed: its word for when that was is all there is.
func TestWhatAHostTellsAfterAWeekIsKeptApart(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Within: "3d"})
	seen := w.backups(1)
	var nights []time.Time
	for back := 7; back > 0; back-- {
		nights = append(nights, time.Now().Add(-time.Duration(back)*24*time.Hour))
	}
	late := w.fired(10, nights...)
	just := w.fired(20, time.Now().Add(-time.Hour))
	if _, _, err := w.engine.Ask(t.Context(), "test", w.keeper, topics.SnapshotsJob, vault, topics.Operation{}); err != nil {
		t.Fatal(err)
	}
	w.work()
	v, err := retention.Plan(store.Keep{Within: "3d"}, must(w.store.PlannedSnapshots(t.Context(), vault)), retention.Past{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Flagged) > 0 {
		t.Errorf("honest ones are flagged: %+v", v.Flagged)
	}
	if got, want := sorted(ids(v.Remove)), sorted(late[:4]); !slices.Equal(got, want) { // within three days of the newest of its kind
		t.Errorf("it removes %v, want %v", got, want)
	}
	apart := 0
	for _, k := range v.Keep {
		told := strings.Contains(strings.Join(k.Reasons, " "), "out of touch")
		if told != slices.Contains(late, k.ID) {
			t.Errorf("%s is kept because %q", k.ID, k.Reasons)
		}
		if told {
			apart++
		}
	}
	if apart != 3 || len(v.Keep) != 5 {
		t.Errorf("%d of %d are kept apart, want 3 of 5: %v, %v", apart, len(v.Keep), seen, just)
	}
}

func (w *world) backups(n int) (ids []string) {
	w.t.Helper()
	for i := range n {
		ids = append(ids, w.backup(i, time.Now().Add(time.Duration(i-n)*time.Second), 100))
	}
	return ids
}

func (w *world) run(id topics.JobID) store.MaintenanceRun {
	w.t.Helper()
	for _, r := range must(w.store.Runs(w.t.Context(), vault, 100)) {
		if r.ID == id {
			return r
		}
	}
	w.t.Fatalf("there is no run %s", id)
	return store.MaintenanceRun{}
}

func (w *world) job(id topics.JobID) store.Job {
	w.t.Helper()
	return must(w.store.Job(w.t.Context(), id))
}

func (w *world) ask(kind topics.JobKind, approve string) topics.JobID {
	w.t.Helper()
	id, err := w.runner.Ask(w.t.Context(), anna, vault, kind, "", approve, false)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func TestAForgetListsDecidesAndRemoves(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 2})
	ids := w.backups(6)
	// Somebody planted one that pretends to be the newest of the group.
	planted := topics.Snapshot{
		ID:    strings.Repeat("ee", 32),
		Time:  time.Now().Add(-time.Millisecond).UnixMilli(),
		Host:  "attic",
		Paths: []string{"/letters"},
		Tags:  []string{"plan=group-0001"},
	}
	w.listing = append(w.listing, planted)
	id := w.ask(topics.ForgetJob, "")
	if j := w.job(id); j.State != topics.Queued || !j.Held || j.Host != w.keeper || j.RequestedBy != "anna" {
		t.Fatalf("the job is %+v, want one that is held on the keeper", j)
	}
	if again := w.ask(topics.ForgetJob, ""); again != id {
		t.Errorf("asked again, it is job %s, want %s", again, id)
	}
	if did := w.work(); !slices.Equal(did, []string{"snapshots", "key", "forget"}) {
		t.Errorf("the keeper did %v", did)
	}
	if j := w.job(id); j.State != topics.Succeeded || !slices.Equal(sorted(j.Operation.V.Snapshots), sorted(ids[:4])) {
		t.Errorf("the job is %+v, want one that removed %v", j, ids[:4])
	}
	if r := w.run(id); r.Outcome != store.RunSucceeded || r.Removed != 4 || r.EndedAt == 0 {
		t.Errorf("the run is %+v", r)
	}
	p := must(retention.Look(t.Context(), w.store, vault, nil, time.Now()))
	if len(p.Remove) != 0 || len(p.Verdicts.Keep) != 2 || len(p.Flagged) != 1 || p.Flagged[0].ID != planted.ID {
		t.Errorf("then it is %+v", p.Verdicts)
	}
}

func sorted(l []string) []string { l = slices.Clone(l); slices.Sort(l); return l }

func TestAnEmptyPlanSucceeds(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Within: "30d"})
	w.backups(3)
	id := w.ask(topics.ForgetJob, "")
	if did := w.work(); !slices.Equal(did, []string{"snapshots", "key"}) {
		t.Errorf("the keeper did %v", did)
	}
	if j := w.job(id); j.State != topics.Succeeded || j.Result.V == nil || j.Message == "" {
		t.Errorf("the job is %+v", j)
	}
	if r := w.run(id); r.Outcome != store.RunSucceeded || r.Removed != 0 {
		t.Errorf("the run is %+v", r)
	}
}

func TestALongPlanGoesInBatches(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 1})
	w.backups(topics.MaxPaths + 12)
	first := w.ask(topics.ForgetJob, "")
	w.work()
	held := must(w.store.ReviewOf(t.Context(), vault)) // unusually many, of course
	id := w.ask(topics.ForgetJob, held.Hash)
	if id == first {
		t.Fatal("the approved plan is the held job itself, which has ended")
	}
	if did := w.work(); !slices.Equal(did, []string{"snapshots", "key", "forget", "forget"}) {
		t.Errorf("the keeper did %v", did)
	}
	if r := w.run(id); r.Outcome != store.RunSucceeded || r.Removed != topics.MaxPaths+11 || len(w.listing) != 1 {
		t.Errorf("the run is %+v, and %d are left", r, len(w.listing))
	}
	if _, err := w.store.ReviewOf(t.Context(), vault); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a plan still waits: %v", err)
	}
}

func TestAnUnusualPlanWaitsForAPerson(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 3})
	w.backups(15)
	id := w.ask(topics.ForgetJob, "")
	w.work()
	if j := w.job(id); j.State != topics.Failed || j.Cause != topics.CauseReview ||
		!strings.Contains(j.Message, `12 of the 15 snapshots of "letters" on attic`) {
		t.Fatalf("the job is %s %s %q", j.State, j.Cause, j.Message)
	}
	if r := w.run(id); r.Outcome != store.RunHeld || len(w.listing) != 15 {
		t.Fatalf("the run is %+v, and %d are left", r, len(w.listing))
	}
	held := must(w.store.ReviewOf(t.Context(), vault))
	if _, err := w.runner.Ask(t.Context(), anna, vault, topics.ForgetJob, "", strings.Repeat("0", 32), false); !errors.Is(err, ErrNoPlan) {
		t.Errorf("another hash: %v", err)
	}
	// Another backup comes between. What was approved is removed, and no more.
	w.backup(15, time.Now(), 100)
	id = w.ask(topics.ForgetJob, held.Hash)
	w.work()
	if j := w.job(id); j.State != topics.Succeeded || !slices.Equal(sorted(j.Operation.V.Snapshots), sorted(held.Plan.V.Remove)) {
		t.Errorf("the job is %s and removed %d, want exactly the %d of the plan", j.State, len(j.Operation.V.Snapshots), len(held.Plan.V.Remove))
	}
	var audited []string
	for _, e := range must(w.store.AuditEntries(t.Context(), store.AuditFilter{}, 100)) {
		if strings.HasPrefix(e.Action, "retention.") {
			audited = append(audited, e.Action+" by "+e.Actor)
		}
	}
	if want := []string{"retention.released by anna", "retention.approved by anna", "retention.held by anna"}; !slices.Equal(audited, want) {
		t.Errorf("audited is %v, want %v", audited, want)
	}
}

// TestApprovingThatManyGoLeavesThePin: nobody was told that the source group holds less.
func TestApprovingThatManyGoLeavesThePin(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Hourly: 1})
	begin := time.Now().Add(-time.Minute)
	good := w.backup(0, begin, 100)
	for n := range 14 {
		w.backup(n+1, begin.Add(time.Duration(n+1)*time.Second), 0)
	}
	w.ask(topics.ForgetJob, "")
	w.work()
	held := must(w.store.ReviewOf(t.Context(), vault))
	if len(held.Plan.V.Held) != 1 || held.Plan.V.Held[0].Less() {
		t.Fatalf("held is %+v, want the empty ones, for their number", held.Plan.V)
	}
	w.ask(topics.ForgetJob, held.Hash)
	w.work()
	w.backup(20, time.Now(), 0)
	w.ask(topics.ForgetJob, "")
	w.work()
	p := must(retention.Look(t.Context(), w.store, vault, nil, time.Now()))
	pinned := func(v retention.Verdict) bool { return v.Pinned && v.ID == good }
	if !slices.ContainsFunc(w.listing, func(s topics.Snapshot) bool { return s.ID == good }) ||
		!slices.ContainsFunc(p.Verdicts.Keep, pinned) || len(w.listing) > 3 {
		t.Errorf("%d are left, and kept are %+v", len(w.listing), p.Verdicts.Keep)
	}
}

// TestChangedRulesStopWhatWasPlannedByTheOldOnes: what was not removed yet, stays.
func TestChangedRulesStopWhatWasPlannedByTheOldOnes(t *testing.T) {
	change := func(w *world, k store.Keep, name string) {
		t.Helper()
		r := must(w.store.Repository(t.Context(), vault))
		r.Keep.V, r.Name = &k, name
		if err := w.store.ChangeRepository(t.Context(), "anna", r, must(w.store.RepositoryAccess(t.Context(), vault))); err != nil {
			t.Fatal(err)
		}
	}
	released := func(w *world, approve string) (id topics.JobID) {
		t.Helper()
		id = w.ask(topics.ForgetJob, approve)
		for range 2 {
			w.tick()
			w.tick()
			for _, j := range w.waiting() {
				if j.Kind != topics.ForgetJob {
					w.serve(j)
				}
			}
		}
		if j := w.job(id); j.Held || j.State.Ended() {
			t.Fatalf("the forget is %s %q, want one that waits for its host", j.State, j.Message)
		}
		return id
	}
	t.Run("before its host has begun", func(t *testing.T) {
		w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 3})
		w.backups(8)
		id := released(w, "")
		change(w, store.Keep{Last: 3}, "attic") // which are the same
		if j := w.job(id); j.State.Ended() {
			t.Fatalf("it is %s after another edit: %s", j.State, j.Message)
		}
		change(w, store.Keep{Last: 7}, "attic")
		w.work()
		if j, r := w.job(id), w.run(id); j.State != topics.Cancelled || r.Outcome != store.RunCancelled || len(w.listing) != 8 ||
			!strings.Contains(j.Message, "changed the retention rules") {
			t.Errorf("the job is %s %q, its run %q, and %d are left", j.State, j.Message, r.Outcome, len(w.listing))
		}
		w.ask(topics.ForgetJob, "")
		if w.work(); len(w.listing) != 7 {
			t.Errorf("by the new rules %d are left, want 7", len(w.listing))
		}
	})
	t.Run("between its batches", func(t *testing.T) {
		w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 1})
		w.backups(topics.MaxPaths + 12)
		w.ask(topics.ForgetJob, "")
		w.work()
		id := released(w, must(w.store.ReviewOf(t.Context(), vault)).Hash)
		w.serve(w.job(id))
		change(w, store.Keep{}, "vault")
		w.work()
		if r := w.run(id); r.Outcome != store.RunCancelled || len(w.listing) != 12 || r.Removed != topics.MaxPaths {
			t.Errorf("the run is %q after %d, and %d are left: %s", r.Outcome, r.Removed, len(w.listing), r.Message)
		}
	})
}

func TestAHeldPlanExpires(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 3})
	w.runner.Timing.Review = 0
	w.backups(15)
	w.ask(topics.ForgetJob, "")
	w.work()
	w.tick()
	if _, err := w.runner.Ask(t.Context(), anna, vault, topics.ForgetJob, "",
		retention.HeldPlan(must(retention.Look(t.Context(), w.store, vault, nil, time.Now())).Plan).Hash, false); !errors.Is(err, ErrNoPlan) {
		t.Errorf("an expired plan: %v, want ErrNoPlan", err)
	}
}

func TestAShrunkBackupHoldsThePlan(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 3})
	w.backups(5)
	w.backup(7, time.Now(), 3)
	id := w.ask(topics.ForgetJob, "")
	w.work()
	if j := w.job(id); j.Cause != topics.CauseReview || !strings.Contains(j.Message, "holds 3 files, those before it about 100") {
		t.Errorf("the job is %s %s %q", j.State, j.Cause, j.Message)
	}
}

// TestAHeldGroupIsToldOnceAndTheOthersGoOn, until a person approves what became of it.
func TestAHeldGroupIsToldOnceAndTheOthersGoOn(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 3})
	photos := must(w.store.PutSourceGroup(t.Context(), "test", store.SourceGroup{
		ID:         "group-0002",
		Host:       w.attic,
		Name:       "photos",
		Repository: vault,
		Paths:      store.List{"/photos"},
	}))
	begin, n := time.Now().Add(-time.Hour), 0
	both := func(letters, files uint64) {
		w.backupOf(w.group, n, begin.Add(time.Duration(n)*time.Second), letters)
		w.backupOf(photos, n+1, begin.Add(time.Duration(n+1)*time.Second), files)
		n += 2
	}
	left := func(g topics.SourceGroupID) (n int) {
		for _, s := range w.listing {
			if slices.Contains(s.Tags, "plan="+string(g)) {
				n++
			}
		}
		return n
	}
	audited := func() (held int) {
		for _, e := range must(w.store.AuditEntries(t.Context(), store.AuditFilter{}, 100)) {
			if e.Action == "retention.held" {
				held++
			}
		}
		return held
	}
	for range 4 {
		both(100, 100)
	}
	both(100, 0)
	id := w.ask(topics.ForgetJob, "")
	w.work()
	if j, r := w.job(id), w.run(id); j.State != topics.Succeeded || r.Outcome != store.RunHeld || r.Removed != 2 ||
		!strings.Contains(r.Message, `The newest snapshot of "photos" on attic holds 0 files`) ||
		!strings.Contains(r.Message, "the others are done") {
		t.Errorf("the first job is %s, its run %q after %d: %s", j.State, r.Outcome, r.Removed, r.Message)
	}
	if left("group-0001") != 3 || left("group-0002") != 5 || audited() != 1 {
		t.Errorf("left are %d letters and %d photos, audited is %d", left("group-0001"), left("group-0002"), audited())
	}
	first := must(w.store.ReviewOf(t.Context(), vault))
	p := must(retention.Look(t.Context(), w.store, vault, nil, time.Now()))
	pinned := func(v retention.Verdict) bool { return v.Pinned && v.SourceGroup == photos.ID }
	if !slices.ContainsFunc(p.Verdicts.Keep, pinned) ||
		len(p.Verdicts.Held) != 1 || p.Held == nil || p.Held.Plan.V.Held[0].Name != `"photos" on attic` {
		t.Errorf("the preview is %+v, held %+v", p.Verdicts, p.Held)
	}
	for day := range 3 {
		both(100, 0)
		id = w.ask(topics.ForgetJob, "")
		w.work()
		if j, r := w.job(id), w.run(id); j.State != topics.Succeeded || r.Outcome != store.RunSucceeded ||
			!strings.Contains(r.Message, `"photos" on attic is held for review since`) || strings.Contains(r.Message, "newest snapshot") {
			t.Errorf("day %d: the job is %s, its run %q after %d: %s", day, j.State, r.Outcome, r.Removed, r.Message)
		}
	}
	id = w.ask(topics.ForgetJob, "")
	w.work()
	if j := w.job(id); j.State != topics.Succeeded || !strings.Contains(j.Message, "nothing else to remove") {
		t.Errorf("with nothing else to remove the job is %s: %s", j.State, j.Message)
	}
	held := must(w.store.ReviewOf(t.Context(), vault))
	if left("group-0001") != 3 || left("group-0002") != 8 || audited() != 1 || held.HeldAt != first.HeldAt || held.Hash == first.Hash {
		t.Errorf("left are %d letters and %d photos, audited is %d, it is held since %d and was since %d", left("group-0001"),
			left("group-0002"), audited(), held.HeldAt, first.HeldAt)
	}
	if _, err := w.runner.Ask(t.Context(), anna, vault, topics.ForgetJob, "", first.Hash, false); !errors.Is(err, ErrNoPlan) {
		t.Errorf("a plan that another one took the place of: %v, want ErrNoPlan", err)
	}
	id = w.ask(topics.ForgetJob, held.Hash)
	w.work()
	if j := w.job(id); j.State != topics.Succeeded || left("group-0002") != 8-len(held.Plan.V.Remove) {
		t.Errorf("approved, the job is %s, and %d photos are left", j.State, left("group-0002"))
	}
	for range 2 {
		both(100, 0)
		id = w.ask(topics.ForgetJob, "")
		w.work()
		if r := w.run(id); r.Outcome != store.RunSucceeded || left("group-0002") != 3 || strings.Contains(r.Message, "held") {
			t.Errorf("after the approval the run is %q, and %d photos are left: %s", r.Outcome, left("group-0002"), r.Message)
		}
	}
	if p := must(retention.Look(t.Context(), w.store, vault, nil, time.Now())); p.Held != nil {
		t.Errorf("it is still held: %+v", p.Held)
	}
}

// TestAPlanThatAnEarlierVersionHeldIsCarriedOutAsApproved: it names no source groups.
func TestAPlanThatAnEarlierVersionHeldIsCarriedOutAsApproved(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 3})
	w.backups(15)
	w.ask(topics.ForgetJob, "")
	w.work()
	held := must(w.store.ReviewOf(t.Context(), vault))
	var old map[string]any
	b := must(json.Marshal(held.Plan.V))
	if err := json.Unmarshal(b, &old); err != nil {
		t.Fatal(err)
	}
	delete(old, "held")
	delete(old, "largest")
	held.Plan.V = nil
	if err := json.Unmarshal(must(json.Marshal(old)), &held.Plan.V); err != nil {
		t.Fatal(err)
	}
	run := must(w.store.LastRun(t.Context(), vault, topics.ForgetJob, store.RunHeld))
	if err := w.store.EndRun(t.Context(), run, nil, &held); err != nil {
		t.Fatal(err)
	}
	id := w.ask(topics.ForgetJob, held.Hash)
	w.work()
	if j := w.job(id); j.State != topics.Succeeded || len(w.listing) != 3 {
		t.Errorf("the job is %s, and %d are left", j.State, len(w.listing))
	}
}

func TestAListingThatFailsRemovesNothing(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 1})
	w.backups(3)
	id := w.ask(topics.ForgetJob, "")
	w.tick()
	for _, j := range w.waiting() {
		if j.Kind == topics.SnapshotsJob {
			w.end(j.ID, topics.Finished{State: topics.Failed, Cause: topics.CauseDamaged, Message: "the index is damaged"}, nil)
		}
	}
	w.work()
	if j := w.job(id); j.State != topics.Failed || j.Cause != topics.CauseDamaged || !strings.Contains(j.Message, "nothing was removed") ||
		!strings.Contains(j.Message, "the index is damaged") {
		t.Errorf("the job is %s %s %q", j.State, j.Cause, j.Message)
	}
	if len(w.listing) != 3 {
		t.Errorf("%d are left", len(w.listing))
	}
}

func TestMaintenanceIsDueByItselfAndOnceAfterAnAbsence(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 100})
	w.backups(2)
	if did := w.work(); len(did) != 0 {
		t.Fatalf("a keeper that was just chosen did %v", did)
	}
	w.ahead, w.online = 30*day, false
	if did := w.work(); len(did) != 0 {
		t.Fatalf("a keeper that is away did %v", did)
	}
	w.online = true
	if did := w.work(); !slices.Equal(did, []string{"snapshots", "key", "prune", "check"}) &&
		!slices.Equal(did, []string{"snapshots", "key", "check", "prune"}) {
		t.Errorf("after a month it did %v, want each once", did)
	}
	if did := w.work(); len(did) != 0 {
		t.Errorf("right after that it did %v", did)
	}
	w.ahead += 7 * day
	if did := w.work(); !slices.Equal(did, []string{"snapshots", "key", "prune", "check"}) {
		t.Errorf("a week later it did %v", did)
	}
	var checks []string
	for _, r := range must(w.store.Runs(t.Context(), vault, 100)) {
		if r.RequestedBy != "plane" || r.Outcome != store.RunSucceeded {
			t.Errorf("the run is %+v", r)
		}
		if r.Kind == topics.CheckJob {
			checks = append(checks, w.job(r.ID).Operation.V.Subset)
		}
	}
	if !slices.Equal(checks, []string{"2/12", "1/12"}) {
		t.Errorf("the checks read %v, the newest first", checks)
	}
}

// A path leads the keeper to its own disk: what others saved on theirs is not due there.
func TestAKeeperWithoutARepositoryAtItsPathHasNothingToDo(t *testing.T) {
	for keeper, want := range map[topics.HostID]int{"keeper-0001": 0, "attic-0001": 4} {
		w := newWorld(t, store.Repository{Keeper: keeper, Location: "/srv/vault"}, store.Keep{Last: 100})
		w.backups(2)
		w.work()
		w.ahead = 30 * day
		if did := w.work(); len(did) != want {
			t.Errorf("%s did %v", keeper, did)
		}
	}
}

func TestMaintenanceIsTriedAgainAfterWhatPasses(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{})
	w.backups(1)
	w.work()
	w.ahead = 8 * day
	fail := func(cause topics.Cause) (kinds []topics.JobKind) {
		w.tick()
		for _, j := range w.waiting() {
			kinds = append(kinds, j.Kind)
			w.end(j.ID, topics.Finished{State: topics.Failed, Cause: cause, Message: string(cause)}, nil)
		}
		w.tick()
		return kinds
	}
	if k := fail(topics.CauseLocked); !slices.Equal(k, []topics.JobKind{topics.PruneJob}) {
		t.Fatalf("due was %v", k)
	}
	pause := func() { // the check is not what this is about
		for _, j := range w.waiting() {
			w.serve(j)
		}
		w.tick()
	}
	pause()
	if k := fail(topics.CauseLocked); len(k) != 0 {
		t.Errorf("within the pause it tried %v", k)
	}
	w.ahead += 3 * time.Minute
	if k := fail(topics.CauseDamaged); !slices.Equal(k, []topics.JobKind{topics.PruneJob}) {
		t.Errorf("after the pause it tried %v, want prune", k)
	}
	w.ahead += 3 * time.Hour
	if k := fail(topics.CauseLocked); len(k) != 0 {
		t.Errorf("after what does not pass it tried %v", k)
	}
}

func TestNothingRunsByItselfWithoutAKeeper(t *testing.T) {
	w := newWorld(t, store.Repository{}, store.Keep{Last: 1})
	w.backups(3)
	w.work()
	w.ahead = 30 * day
	if did := w.work(); len(did) != 0 {
		t.Errorf("without a keeper it did %v", did)
	}
	w.ahead = 0
	if _, err := w.runner.Ask(t.Context(), anna, vault, topics.PruneJob, "", "", false); !errors.Is(err, ErrNoKeeper) {
		t.Errorf("by hand: %v, want ErrNoKeeper", err)
	}
	id, err := w.runner.Ask(t.Context(), anna, vault, topics.ForgetJob, w.attic, "", false)
	if err != nil || w.job(id).Host != w.attic {
		t.Errorf("on a host that was named: %v", err)
	}
	w.work()
	if len(w.listing) != 1 {
		t.Errorf("%d are left", len(w.listing))
	}
}

func (w *world) permits(host topics.HostID, kinds ...topics.JobKind) {
	w.t.Helper()
	if err := w.store.Steps(w.t.Context(), func(tx protocol.PlaneTx) error {
		return tx.Greeted(host, topics.Hello{Facts: topics.Facts{Policy: "narrow", Permits: &topics.Permits{Kinds: kinds, Anywhere: true}}}, 1)
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) keptBy(host topics.HostID) {
	w.t.Helper()
	r := must(w.store.Repository(w.t.Context(), vault))
	r.Keeper = host
	if err := w.store.ChangeRepository(w.t.Context(), "anna", r, must(w.store.RepositoryAccess(w.t.Context(), vault))); err != nil {
		w.t.Fatal(err)
	}
}

// Whatever becomes of a run's host, the run ends: one that does not would be the
// answer to every later request.
func TestARunEndsWhenItsHostMayNotGoOn(t *testing.T) {
	t.Run("it may not list", func(t *testing.T) {
		w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 1})
		w.backups(3)
		w.permits(w.keeper, topics.ForgetJob)
		id := w.ask(topics.ForgetJob, "")
		w.work()
		if j, r := w.job(id), w.run(id); j.State != topics.Failed || j.Cause != topics.CausePolicy || r.Outcome != store.RunFailed ||
			len(w.listing) != 3 {
			t.Errorf("the job is %s (%s), the run %q, and %d are left", j.State, j.Message, r.Outcome, len(w.listing))
		}
	})
	t.Run("it may not list keys", func(t *testing.T) {
		w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 2})
		w.backups(3)
		w.permits(w.keeper, topics.ForgetJob, topics.SnapshotsJob)
		id := w.ask(topics.ForgetJob, "")
		if did := w.work(); !slices.Equal(did, []string{"snapshots", "forget"}) || w.run(id).Outcome != store.RunSucceeded {
			t.Errorf("the keeper did %v, and the run %+v", did, w.run(id))
		}
	})
	t.Run("another is the keeper before it is planned", func(t *testing.T) {
		w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 1})
		w.backups(3)
		id := w.ask(topics.ForgetJob, "")
		w.tick()
		w.keptBy(w.attic)
		w.work()
		if j, r := w.job(id), w.run(id); j.State != topics.Failed || r.Outcome != store.RunFailed || len(w.listing) != 3 {
			t.Errorf("the job is %s (%s), the run %q, and %d are left", j.State, j.Message, r.Outcome, len(w.listing))
		}
	})
	t.Run("another is the keeper between two batches", func(t *testing.T) {
		w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 1})
		w.backups(topics.MaxPaths + 12)
		w.ask(topics.ForgetJob, "")
		w.work()
		id := w.ask(topics.ForgetJob, must(w.store.ReviewOf(t.Context(), vault)).Hash)
		for w.job(id).State != topics.Succeeded {
			w.tick()
			for _, j := range w.waiting() {
				w.serve(j)
			}
		}
		w.keptBy(w.attic)
		w.work()
		if r := w.run(id); r.Outcome != store.RunFailed || r.Removed != topics.MaxPaths || len(w.listing) != 12 {
			t.Errorf("the run is %q (%s) after %d, and %d are left", r.Outcome, r.Message, r.Removed, len(w.listing))
		}
	})
}

func TestAPersonCancelsARunThatIsBeingPlanned(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001"}, store.Keep{Last: 1})
	w.backups(3)
	id := w.ask(topics.ForgetJob, "")
	w.tick()
	if err := w.engine.Cancel(t.Context(), "anna", id); err != nil {
		t.Fatal(err)
	}
	w.work()
	if j, r := w.job(id), w.run(id); j.State != topics.Cancelled || r.Outcome != store.RunCancelled || len(w.listing) != 3 {
		t.Errorf("the job is %s, the run %s, and %d are left", j.State, r.Outcome, len(w.listing))
	}
}

func TestCountsOnAnAppendOnlyRepositoryRemoveNothing(t *testing.T) {
	w := newWorld(t, store.Repository{Keeper: "keeper-0001", AppendOnly: true}, store.Keep{Last: 1})
	w.backups(3)
	if _, err := w.runner.Ask(t.Context(), anna, vault, topics.ForgetJob, "", "", false); !errors.Is(err, retention.ErrRules) {
		t.Errorf("asked: %v, want ErrRules", err)
	}
}

func TestSlotsAreSpreadAndComeEachDay(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	seen := map[time.Time]bool{}
	for i := range 50 {
		d := Usual(topics.RepositoryID(fmt.Sprintf("vault-%04d", i)), topics.ForgetJob)
		last, next := LastSlot(d, now), NextSlot(d, now)
		if next.Sub(last) != day || last.After(now) || !next.After(now) || last.Hour() != 4 {
			t.Errorf("slots are %v and %v", last, next)
		}
		seen[last] = true
		w := Usual(d.Repository, topics.PruneJob)
		if a, b := LastSlot(w, now), NextSlot(w, now); b.Sub(a) != 7*day || a.Weekday() != time.Sunday {
			t.Errorf("weekly slots are %v and %v", a, b)
		}
	}
	if len(seen) < 40 {
		t.Errorf("50 repositories begin at only %d different moments", len(seen))
	}
}
