package schedule

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A database is the store, and beside it a plain connection for what no page
// asks, and for what no deed does yet.
type database struct {
	*store.Store
	raw *sql.DB
}

func open(t *testing.T) database {
	dir := filepath.Join(t.TempDir(), "data")
	storetest.Make(t, dir, store.Open)
	d := database{Store: must(store.Open(context.Background(), dir, ""))}
	d.raw = must(sql.Open("sqlite", "file:"+filepath.Join(dir, "restic-manager.db")+"?_pragma=busy_timeout(5000)"))
	t.Cleanup(func() {
		if err := errors.Join(d.raw.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// A world is a runner over a real database, whose clock the test sets, and hosts
// that are only said to be there.
type world struct {
	t      fataler
	store  database
	runner *Runner
	now    time.Time
	online map[topics.HostID]bool
	stirs  int
}

// newWorld begins a while after now, so that what the store stamps by the real
// clock lies before.
func newWorld(t fataler, s database) *world {
	w := &world{t: t, store: s, now: time.Now().UTC().Truncate(24 * time.Hour).Add(48 * time.Hour), online: map[topics.HostID]bool{}}
	w.runner = NewRunner(Config{Store: s.Store, Online: func(h topics.HostID) bool { return w.online[h] }, Changed: func(topics.HostID) {},
		Stir: func() { w.stirs++ }, Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(), Now: func() time.Time { return w.now }})
	return w
}

var ctx = context.Background()

func (w *world) host(name string) topics.HostID {
	w.t.Helper()
	id := topics.NewID(time.Now())
	hash := sha256.Sum256([]byte(id))
	if err := w.store.AddEnrollToken(ctx, store.EnrollToken{
		ID:        id,
		KeyHash:   hash[:],
		Name:      name + id,
		CreatedBy: "test",
		ExpiresAt: w.store.Now() + 60_000,
	}); err != nil {
		w.t.Fatal(err)
	}
	return must(w.store.Enroll(ctx, hash[:], store.Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1"})).ID
}

func (w *world) group(h topics.HostID, name string) topics.SourceGroupID {
	w.t.Helper()
	id := topics.NewID(time.Now())
	if err := w.store.AddRepository(ctx, "test", store.Repository{ID: topics.RepositoryID(id), Name: id},
		store.RepositoryAccess{URL: "/srv/vault", Password: "p"}); err != nil {
		w.t.Fatal(err)
	}
	return must(w.store.PutSourceGroup(ctx, "test", store.SourceGroup{
		ID:         topics.SourceGroupID(id),
		Host:       h,
		Name:       name,
		Repository: topics.RepositoryID(id),
		Paths:      store.List{"/x"},
	})).ID
}

// nightly adds a schedule at midnight, UTC. The world's clock begins there.
func (w *world) nightly(h topics.HostID, name string, groups ...topics.SourceGroupID) store.Schedule {
	w.t.Helper()
	return w.put(h, name, func(sc *store.Schedule) {
		sc.Cron, sc.Zone, sc.Enabled, sc.RetryMax, sc.Groups = "0 0 * * *", "UTC", true, 3, groups
	})
}

func (w *world) put(h topics.HostID, name string, change func(*store.Schedule)) store.Schedule {
	w.t.Helper()
	sc, err := w.store.PutSchedule(ctx, "test", h, name, store.ScheduleID(topics.NewID(time.Now())), func(sc *store.Schedule) error {
		change(sc)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return sc
}

// tick lets the runner look after a while.
func (w *world) tick(later time.Duration) {
	w.now = w.now.Add(later)
	w.runner.tick(ctx)
}

func (w *world) hello(h topics.HostID) {
	w.online[h] = true
	w.runner.HostCame(h)
	w.runner.greet(ctx)
}

// end gives a job its end, as the engine does.
func (w *world) end(j store.Job, state topics.JobState, cause topics.Cause) {
	w.t.Helper()
	err := w.store.Steps(ctx, func(tx protocol.PlaneTx) error {
		p, _, err := tx.Job(j.ID)
		if err != nil {
			return err
		}
		if p.State == topics.Queued && state != topics.Cancelled {
			p.State = topics.Dispatched
			if err := tx.PutJob(p); err != nil {
				return err
			}
		}
		p.State = state
		if err := tx.PutJob(p); err != nil {
			return err
		}
		return tx.Finished(p, topics.Finished{Job: j.ID, State: state, Cause: cause}, w.now.UnixMilli())
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// jobs lists a host's jobs, the oldest first; of the same moment, by attempt.
func (w *world) jobs(h topics.HostID) []store.Job {
	rows := must(w.store.JobsOf(ctx, h, 1000))
	slices.SortStableFunc(rows, func(a, b store.Job) int {
		return cmp.Or(cmp.Compare(a.QueuedAt, b.QueuedAt), cmp.Compare(a.Attempt, b.Attempt))
	})
	return rows
}

func (w *world) open(h topics.HostID) []store.Job { return must(w.store.OpenJobs(ctx, h)) }

func (w *world) pending(h topics.HostID) []store.PendingRun {
	return must(w.store.PendingRuns(ctx, h))
}

// one is a host's only open job.
func (w *world) one(h topics.HostID) store.Job {
	w.t.Helper()
	open := w.open(h)
	if len(open) != 1 {
		w.t.Fatalf("%d jobs are open, want 1: %+v", len(open), open)
	}
	return open[0]
}

// audited counts what was done to a schedule, and tells the last of it.
func (w *world) audited(action string, target store.ScheduleID) (n int, last string) {
	w.t.Helper()
	rows, err := w.store.raw.Query(`SELECT detail FROM audit WHERE action = ? AND target = ? ORDER BY n`, action, target)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		if err := rows.Scan(&last); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return n, last
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	if _, err := w.store.raw.Exec(query, args...); err != nil {
		w.t.Fatal(err)
	}
}

// newRun starts the runner's loop.
func newRun(w *world) (ended <-chan error, stop context.CancelFunc) {
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.runner.Run(run) }()
	return done, stop
}
