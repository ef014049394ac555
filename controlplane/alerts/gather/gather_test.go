package gather

import (
	"context"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A world is a database with one host, whose backups end when the test says so.
type world struct {
	*Reader
	t     *testing.T
	now   time.Time
	host  topics.HostID
	group store.SourceGroup
	n     int

	holds  []conditions.Finding // what the last end decided
	judged int
}

// newWorld begins 100 days ago.
func newWorld(t *testing.T) *world {
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	w := &world{t: t, now: time.Now().UTC().Truncate(24 * time.Hour).Add(-100 * 24 * time.Hour)}
	clock := func() time.Time { return w.now }
	id := topics.NewID(time.Now())
	hash := sha256.Sum256([]byte(id))
	if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: id, KeyHash: hash[:], Name: "attic", CreatedBy: "anna", ExpiresAt: s.Now() +
		60_000}); err != nil {
		t.Fatal(err)
	}
	w.host = must(s.Enroll(ctx, hash[:], store.Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1"})).ID
	if err := s.AddRepository(ctx, "anna", store.Repository{ID: "vault", Name: "vault", CreatedAt: w.now.UnixMilli()},
		store.RepositoryAccess{URL: "rest:https://vault.example/", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	w.group = must(s.PutSourceGroup(ctx, "anna", store.SourceGroup{ID: "letters", Host: w.host, Name: "letters", Repository: "vault",
		Paths: store.List{"/home"}}))
	presence := hosts.NewPresence(hosts.DefaultTiming(), clock, must(s.Hosts(ctx)))
	s.OnEnded(schedule.Ended)
	w.Reader = &Reader{Store: s, Fleet: fleet.NewBoard(s, presence, clock), Presence: presence, Notices: &notices.List{}, Now: clock}
	s.OnJudge(func(slots store.Slots, j store.Job) error {
		f, err := w.Ended(slots, j)
		holds, judged := conditions.OfJob(f, nil, w.now)
		w.holds, w.judged = holds, len(judged)
		return err
	})
	return w
}

// ends ends a job as an agent reports it, a day after the last.
func (w *world) ends(j store.Job, f topics.Finished) topics.JobID {
	w.t.Helper()
	w.n++
	w.now = w.now.Add(24 * time.Hour)
	j.ID, j.Host, j.Repository, j.NotAfter, j.QueuedAt = topics.JobID(topics.NewID(w.now)), w.host, "vault", 1<<50, w.now.UnixMilli()-120_000
	asked, _, err := w.Store.Ask(w.t.Context(), "anna", j)
	if err != nil {
		w.t.Fatal(err)
	}
	f.Job, w.holds, w.judged = asked.ID, nil, 0
	if j.Schedule != "" {
		if err := w.Store.SlotStep(w.t.Context(), func(slots store.Slots) error { return schedule.Fired(slots, asked) }); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.Store.Steps(w.t.Context(), func(tx protocol.PlaneTx) error {
		p := protocol.PlaneJob{ID: asked.ID, Host: w.host, Kind: asked.Kind, Repository: "vault", State: topics.Dispatched}
		if err := tx.PutJob(p); err != nil {
			return err
		}
		if err := tx.Started(p, topics.Started{}, w.now.UnixMilli()-60_000); err != nil {
			return err
		}
		p.State = f.State
		if err := tx.PutJob(p); err != nil {
			return err
		}
		return tx.Finished(p, f, w.now.UnixMilli())
	}); err != nil {
		w.t.Fatal(err)
	}
	return asked.ID
}

// backup ends a backup with what it made.
func (w *world) backup(state topics.JobState, cause topics.Cause, sum *topics.Summary) topics.JobID {
	w.t.Helper()
	f := topics.Finished{State: state, Cause: cause, Summary: sum}
	if sum != nil {
		raw := sha256.Sum256([]byte{byte(w.n), byte(w.n >> 8)})
		const digits = "0123456789abcdef"
		var id []byte
		for _, b := range raw {
			id = append(id, digits[b>>4], digits[b&15])
		}
		f.Snapshot = &topics.Snapshot{ID: string(id), Time: w.now.UnixMilli(), Host: "attic", Paths: []string{"/home"}}
	}
	return w.ends(store.Job{Kind: topics.BackupJob, SourceGroup: w.group.ID}, f)
}

// usual is what a backup makes that is as always.
func (w *world) usual() *topics.Summary {
	return &topics.Summary{TotalFiles: 20_000 + uint64(w.n%3), TotalBytes: 8<<30 + uint64(w.n%5)<<20, DataAdded: 50<<20 + uint64(w.n%7)<<20,
		FilesNew: 20, FilesChanged: 100 + uint64(w.n%4), FilesUnmodified: 19_880}
}

func (w *world) decided(what string, want ...conditions.Name) {
	w.t.Helper()
	var got []conditions.Name
	for _, f := range w.holds {
		got = append(got, conditions.Name(f.Condition))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		w.t.Errorf("%s: the job's end decides %v, want %v", what, got, want)
	}
	all, _ := conditions.Judge(must(w.Facts(context.Background())), nil, w.now)
	for _, f := range w.holds { // what the end decides, the next look finds too
		if !slices.ContainsFunc(all, func(g conditions.Finding) bool { return g.Key == f.Key && g.Body.Cause == f.Body.Cause }) {
			w.t.Errorf("%s: the next look does not find %s (%s)", what, f.Condition, f.Body.Cause)
		}
	}
	for _, g := range all {
		if g.On == "group" && (g.Condition == string(conditions.BackupFailed) || g.Condition == string(conditions.SizeAnomaly) ||
			g.Condition == string(conditions.ChangeAnomaly) || g.Condition == string(conditions.BackupWarnings)) &&
			!slices.Contains(want, conditions.Name(g.Condition)) {
			w.t.Errorf("%s: the next look finds %s, which the end did not decide", what, g.Condition)
		}
	}
}

func TestABackupThatFailsIsToldWithItsOwnWords(t *testing.T) {
	w := newWorld(t)
	w.backup(topics.Succeeded, "", w.usual())
	w.decided("the first")
	id := w.backup(topics.Failed, topics.CauseSourceMissing, nil)
	w.decided("a failure", conditions.BackupFailed)
	if f := w.holds[0]; f.Job != id || f.Host != w.host || f.Repository != "vault" || f.Body.Name != "attic · letters" ||
		f.Body.Title != "backups fail: none of the paths to back up exists" || f.Body.Path != "/jobs/"+string(id) ||
		f.Since != w.now.UnixMilli() {
		t.Errorf("%+v", f)
	}
	since := w.now.UnixMilli()
	w.backup(topics.Failed, topics.CauseSourceMissing, nil)
	w.decided("and again", conditions.BackupFailed)
	if w.holds[0].Since != since {
		t.Error("it counts from the last failure")
	}
	w.backup(topics.Cancelled, topics.CauseCancelled, nil)
	if w.judged != 0 {
		t.Error("a job that was cancelled decides something")
	}
	w.backup(topics.Succeeded, "", w.usual())
	w.decided("it is good again")
	if w.judged == 0 {
		t.Error("nothing was looked for")
	}
}

// A backup that its schedule tries again has not failed yet; it has when the tries are used
// up, and goes on to while the next night's are tried.
func TestABackupIsToldWhenItsRetriesAreUsedUp(t *testing.T) {
	w := newWorld(t)
	w.backup(topics.Succeeded, "", w.usual())
	sc := must(w.Store.PutSchedule(t.Context(), "anna", w.host, "nightly", "nightly", func(sc *store.Schedule) error {
		sc.Cron, sc.Zone, sc.Enabled, sc.RetryMax, sc.Groups = "0 0 * * *", "UTC", true, 2, []topics.SourceGroupID{w.group.ID}
		return nil
	}))
	try := func(slot time.Time, attempt int, state topics.JobState, cause topics.Cause) {
		t.Helper()
		w.now = slot.Add(time.Duration(attempt+1)*10*time.Minute - 24*time.Hour) // ends adds a day
		w.ends(store.Job{Kind: topics.BackupJob, SourceGroup: w.group.ID, Schedule: sc.ID, Slot: slot.UnixMilli(), Attempt: attempt},
			topics.Finished{State: state, Cause: cause})
	}
	night := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	for attempt := range 2 {
		try(night, attempt, topics.Failed, topics.CauseUnreachable)
		if failing(w.holds) {
			t.Errorf("after try %d it is told, and will be tried again", attempt)
		}
	}
	try(night, 2, topics.Failed, topics.CauseUnreachable)
	if !failing(w.holds) {
		t.Error("after the last try it is not told")
	}
	night = night.Add(24 * time.Hour)
	try(night, 0, topics.Failed, topics.CauseUnreachable)
	if !failing(w.holds) {
		t.Error("the next night's tries end it")
	}
	try(night, 1, topics.Succeeded, "")
	if failing(w.holds) {
		t.Error("a good one does not end it")
	}
	night = night.Add(24 * time.Hour)
	try(night, 0, topics.Failed, topics.CausePassword)
	if !failing(w.holds) {
		t.Error("what is not tried again is not told at once")
	}
}

func failing(holds []conditions.Finding) bool {
	return slices.ContainsFunc(holds, func(f conditions.Finding) bool { return f.Condition == string(conditions.BackupFailed) })
}

func TestTheSameWarningsThreeTimesAreTold(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.backup(topics.Warnings, topics.CauseUnreadable, w.usual())
		w.decided("at first")
	}
	w.backup(topics.Warnings, topics.CauseSourceMoved, w.usual())
	w.decided("another in between")
	for range 2 {
		w.backup(topics.Warnings, topics.CauseUnreadable, w.usual())
		w.decided("it begins anew")
	}
	w.backup(topics.Warnings, topics.CauseUnreadable, w.usual())
	w.decided("the third", conditions.BackupWarnings)
	w.backup(topics.Succeeded, "", w.usual())
	w.decided("without")
}

// Both of restic 0.14, which does not say how much is stored, and of 0.19, which does.
func TestABackupFarFromTheOthersIsTold(t *testing.T) {
	encrypted := func(w *world) *topics.Summary {
		return &topics.Summary{TotalFiles: 20_000, TotalBytes: 8 << 30, DataAdded: 7 << 30, FilesNew: 19_000, FilesUnmodified: 1000}
	}
	half := func(w *world) *topics.Summary {
		return &topics.Summary{TotalFiles: 9000, TotalBytes: 3 << 30, DataAdded: 1 << 20, FilesUnmodified: 9000}
	}
	for _, packed := range []bool{false, true} {
		w := newWorld(t)
		make := func(s *topics.Summary) *topics.Summary {
			if packed {
				s.DataAddedPacked = s.DataAdded / 2
			}
			return s
		}
		first := make(w.usual())
		first.DataAdded, first.FilesNew, first.FilesUnmodified = 8<<30, first.TotalFiles, 0
		w.backup(topics.Succeeded, "", first)
		w.decided("the first, which adds all there is")
		for range 4 {
			w.backup(topics.Succeeded, "", make(w.usual()))
			w.decided("as always")
		}
		w.backup(topics.Succeeded, "", make(half(w)))
		w.decided("half as large, while nobody knows yet what is usual")
		for range 12 {
			w.backup(topics.Succeeded, "", make(w.usual()))
			w.decided("as always")
		}
		touched := make(w.usual())
		touched.FilesChanged, touched.FilesUnmodified, touched.DataAdded = 20_000, 0, 90<<20
		w.backup(topics.Succeeded, "", touched)
		w.decided("every file was touched")
		w.backup(topics.Succeeded, "", make(half(w)))
		w.decided("half as large", conditions.SizeAnomaly)
		w.backup(topics.Succeeded, "", make(w.usual()))
		w.decided("as always again")
		w.backup(topics.Succeeded, "", make(encrypted(w)))
		w.decided("most files are others", conditions.ChangeAnomaly)
		w.backup(topics.Succeeded, "", make(w.usual()))
		w.decided("that does not say that it was meant", conditions.ChangeAnomaly)
		for range 7 {
			w.backup(topics.Succeeded, "", make(w.usual()))
		}
		w.decided("a week later")
	}
}

// Neither what somebody accepts nor a change of the paths is told of any more.
func TestWhatIsAcceptedIsNotUnusual(t *testing.T) {
	for what, does := range map[string]func(*world) error{
		"accepted": func(w *world) error {
			_, err := w.Store.AcceptSize(w.t.Context(), "anna", w.group.ID, "")
			return err
		},
		"other paths": func(w *world) error {
			w.group.Paths = append(w.group.Paths, "/srv")
			_, err := w.Store.PutSourceGroup(w.t.Context(), "anna", w.group)
			return err
		},
		"it may be empty": func(w *world) error {
			w.group.AllowEmpty = true
			_, err := w.Store.PutSourceGroup(w.t.Context(), "anna", w.group)
			return err
		},
	} {
		w := newWorld(t)
		for range 10 {
			w.backup(topics.Succeeded, "", w.usual())
		}
		w.backup(topics.Succeeded, "", &topics.Summary{TotalFiles: 5000, TotalBytes: 2 << 30, FilesUnmodified: 5000})
		w.decided("far smaller", conditions.SizeAnomaly)
		if err := does(w); err != nil {
			t.Fatal(what, err)
		}
		w.holds = nil
		w.decided(what)
		w.backup(topics.Succeeded, "", &topics.Summary{TotalFiles: 5000, TotalBytes: 2 << 30, FilesUnmodified: 5000})
		w.decided(what + ", and the same again")
	}
}

// The same end twice counts once.
func TestAnEndIsNotedOnce(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.backup(topics.Warnings, topics.CauseUnreadable, w.usual())
	}
	last := must(w.Store.JobsOf(t.Context(), w.host, 1))[0]
	for range 5 {
		if err := w.Store.SlotStep(t.Context(), func(slots store.Slots) error {
			f, err := w.Ended(slots, last)
			w.holds, _ = conditions.OfJob(f, nil, w.now)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.decided("the second again")
	}
}

func TestMaintenanceThatFailsIsTold(t *testing.T) {
	w := newWorld(t)
	w.backup(topics.Succeeded, "", w.usual())
	of := func(kind topics.JobKind, state topics.JobState, cause topics.Cause) {
		t.Helper()
		w.ends(store.Job{Kind: kind, Operation: store.JSON[topics.Operation]{V: &topics.Operation{}}},
			topics.Finished{State: state, Cause: cause})
	}
	for kind, name := range map[topics.JobKind]conditions.Name{topics.ForgetJob: conditions.ForgetFailed,
		topics.PruneJob: conditions.PruneFailed,
		topics.CheckJob: conditions.CheckFailed} {
		of(kind, topics.Failed, topics.CausePermission)
		if !slices.ContainsFunc(w.holds, func(f conditions.Finding) bool { return f.Condition == string(name) }) {
			t.Errorf("a %s that fails: %v", kind, w.holds)
		}
		of(kind, topics.Succeeded, "")
		if slices.ContainsFunc(w.holds, func(f conditions.Finding) bool { return f.Condition == string(name) }) {
			t.Errorf("a %s that succeeds: %v", kind, w.holds)
		}
	}
	of(topics.CheckJob, topics.Failed, topics.CauseDamaged)
	w.decided("a check that finds damage", conditions.RepositoryDamaged)
}

func TestARestoreWithFailuresIsTold(t *testing.T) {
	w := newWorld(t)
	restore := func(dry bool, state topics.JobState) {
		w.ends(store.Job{Kind: topics.RestoreJob, Operation: store.JSON[topics.Operation]{V: &topics.Operation{DryRun: dry, Target: "/back"}}},
			topics.Finished{State: state, Cause: map[bool]topics.Cause{true: topics.CauseUnreadable}[state == topics.Warnings],
				Result: &topics.Result{Restore: &topics.Restored{Failed: 14}}})
	}
	restore(true, topics.Warnings)
	w.decided("a dry run")
	restore(false, topics.Warnings)
	w.decided("a restore with failures", conditions.RestoreFailures)
	restore(false, topics.Succeeded)
	w.decided("a restore that is complete")
}

// Facts of a host that was just enrolled open nothing; a day later it is told that nothing
// is backed up.
func TestANewHostHasADay(t *testing.T) {
	w := newWorld(t)
	enrolled := time.UnixMilli(must(w.Store.Host(t.Context(), w.host)).CreatedAt)
	w.now = enrolled.Add(time.Minute)
	f := must(w.Facts(t.Context()))
	f.Repositories = nil // it is older than the host here, and nobody checks it
	if all, _ := conditions.Judge(f, nil, w.now); len(all) > 0 {
		t.Errorf("at first: %+v", all)
	}
	w.now = enrolled.Add(25 * time.Hour)
	all, _ := conditions.Judge(must(w.Facts(t.Context())), nil, w.now)
	if !slices.ContainsFunc(all, func(f conditions.Finding) bool { return f.Condition == string(conditions.NeverBackedUp) }) {
		t.Errorf("a day later: %+v", all)
	}
}
