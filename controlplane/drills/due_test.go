package drills

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// asked is the engine's place: it notes what it is asked for.
type asked struct {
	all []jobs.Request
	err error
}

func (a *asked) Start(_ context.Context, _ jobs.Actor, r jobs.Request) (store.Job, bool, error) {
	if a.err != nil {
		return store.Job{}, false, a.err
	}
	a.all = append(a.all, r)
	return store.Job{ID: topics.JobID(fmt.Sprint("job-", len(a.all))), Host: r.Host, Repository: r.Repository}, true, nil
}

type world struct {
	*Service
	asked  *asked
	away   map[topics.HostID]bool
	now    time.Time
	told   [][]topics.HostID
	groups int
}

func newWorld(t *testing.T) *world {
	w := &world{asked: &asked{}, away: map[topics.HostID]bool{}, now: time.Now().UTC().Truncate(time.Hour)}
	w.Service = &Service{Store: storetest.Open(t, store.Open), Jobs: w.asked, Online: func(h topics.HostID) bool { return !w.away[h] },
		Changed: func(h ...topics.HostID) { w.told = append(w.told, h) }, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return w.now }}
	return w
}

// host adds one with a source group in each of so many repositories.
func (w *world) host(t *testing.T, name string, repositories int, tags ...string) topics.HostID {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(w.Store.AddEnrollToken(ctx, store.EnrollToken{ID: "token-" + name, KeyHash: []byte(name), CreatedBy: "test",
		ExpiresAt: w.Store.Now() + 60_000}))
	h, err := w.Store.Enroll(ctx, []byte(name), store.Host{ID: topics.HostID(name + "-0001"), SealKey: []byte{1}, Serial: name,
		Hostname: name})
	check(err)
	if len(tags) > 0 {
		_, err := (&hosts.Settings{Store: w.Store}).Put(ctx, "test", h.ID, hosts.Input{Tags: &tags})
		check(err)
	}
	for range repositories {
		w.groups++
		id := fmt.Sprintf("%s-%04d", name, w.groups)
		check(w.Store.AddRepository(ctx, "test", store.Repository{ID: topics.RepositoryID(id), Name: id},
			store.RepositoryAccess{URL: topics.Secret("/srv/" + id), Password: "correct horse"}))
		_, err := w.Store.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID(id), Host: h.ID, Name: id,
			Repository: topics.RepositoryID(id), Paths: store.List{"/srv"}})
		check(err)
	}
	return h.ID
}

// due counts the jobs that looking for drills asks each host for.
func (w *world) due(t *testing.T) map[topics.HostID]int {
	t.Helper()
	w.asked.all = nil
	if err := w.Due(t.Context()); err != nil {
		t.Fatal(err)
	}
	of := map[topics.HostID]int{}
	for _, r := range w.asked.all {
		if r.Kind != topics.DrillJob {
			t.Errorf("asked for %s", r.Kind)
		}
		of[r.Host]++
	}
	return of
}

func (w *world) plan(t *testing.T, kind drills.Kind, subject string, in Input) {
	t.Helper()
	if _, err := w.Put(t.Context(), "test", kind, subject, in); err != nil {
		t.Fatal(err)
	}
}

func TestDrillsBeginWhenTheyAreDueAndOnce(t *testing.T) {
	w := newWorld(t)
	attic, cellar, shed := w.host(t, "attic", 2), w.host(t, "cellar", 1, "site=berlin"), w.host(t, "shed", 1)
	daily, on, off := Input{Cron: new("0 3 * * *"), Enabled: new(true)}, new(true), new(false)
	expect := func(what string, want map[topics.HostID]int) {
		t.Helper()
		if got := w.due(t); !maps.Equal(got, want) {
			t.Errorf("%s: %v were asked, want %v", what, got, want)
		}
	}
	day := func() { w.now = w.now.Add(24 * time.Hour) }
	day()
	expect("nobody planned any", nil)
	w.plan(t, drills.OfHost, string(attic), daily)
	expect("planned a moment ago", nil)
	day()
	day()
	expect("two slots passed: each repository once", map[topics.HostID]int{attic: 2})
	expect("the same again", nil)
	w.away[attic] = true
	day()
	expect("it is away", nil)
	w.away[attic] = false
	expect("it is back", map[topics.HostID]int{attic: 2})
	day()
	w.asked.err = fmt.Errorf("attic: %w", jobs.ErrQueueFull)
	expect("its queue is full", nil)
	w.asked.err = nil
	expect("there is room again", map[topics.HostID]int{attic: 2})

	w.plan(t, drills.OfTag, "site=berlin", daily)
	w.plan(t, drills.OfFleet, "", Input{Cron: daily.Cron, Enabled: on})
	day()
	day()
	expect("the fleet's and the tag's", map[topics.HostID]int{attic: 2, cellar: 1, shed: 1})
	w.plan(t, drills.OfTag, "site=berlin", Input{Enabled: off})
	day()
	expect("the tag's is off, which counts before the fleet's", map[topics.HostID]int{attic: 2, shed: 1})
	if err := w.Drop(t.Context(), "test", drills.OfTag, "site=berlin"); err != nil {
		t.Fatal(err)
	}
	w.asked.err = errors.New("no")
	day()
	expect("none can be asked for", nil)
	w.asked.err = nil
	expect("and is not asked for again every half minute", nil)
	day()
	expect("the tag's plan is taken back: the fleet's counts", map[topics.HostID]int{attic: 2, cellar: 1, shed: 1})
	if err := w.Drop(t.Context(), "test", drills.OfTag, "site=berlin"); !errors.Is(err, ErrNoPlan) {
		t.Errorf("a plan that is not there: %v", err)
	}
}

func TestANewHostOwesNoDrillOfBeforeItCame(t *testing.T) {
	w := newWorld(t)
	today := w.now
	w.now = today.Add(-10 * 24 * time.Hour)
	w.plan(t, drills.OfFleet, "", Input{Cron: new("0 3 * * *"), Enabled: new(true)})
	w.now = today
	attic := w.host(t, "attic", 1)
	if got := w.due(t); len(got) > 0 {
		t.Errorf("it proves what was due before it came: %v", got)
	}
	w.now = today.Add(26 * time.Hour)
	if got := w.due(t); got[attic] != 1 {
		t.Errorf("a day later: %v", got)
	}
}

func TestAPlanThatIsWrongIsRefusedByField(t *testing.T) {
	w := newWorld(t)
	attic := w.host(t, "attic", 1, "web", "site=berlin")
	for _, c := range []struct {
		what    string
		kind    drills.Kind
		subject string
		in      Input
		fields  []string
	}{
		{"nothing is said", drills.OfHost, string(attic), Input{}, nil},
		{"a word", drills.OfHost, string(attic), Input{Cron: new("@daily")}, nil},
		{"no cron line", drills.OfHost, string(attic), Input{Cron: new("at noon")}, []string{"cron"}},
		{"no zone", drills.OfHost, string(attic), Input{Zone: new("Berlin")}, []string{"zone"}},
		{"no file", drills.OfHost, string(attic), Input{Files: new(0)}, []string{"files"}},
		{"one file", drills.OfHost, string(attic), Input{Files: new(1)}, nil},
		{"too many files", drills.OfHost, string(attic), Input{Files: new(topics.MaxDrillFiles + 1)}, []string{"files"}},
		{"no byte", drills.OfHost, string(attic), Input{Bytes: new(int64(0))}, []string{"bytes"}},
		{"too many bytes", drills.OfHost, string(attic), Input{Bytes: new(int64(topics.MaxDrillBytes + 1))}, []string{"bytes"}},
		{"two at once", drills.OfFleet, "", Input{Files: new(-1), Bytes: new(int64(-1))}, []string{"bytes", "files"}},
		{"no tag", drills.OfTag, "a b", Input{}, []string{"tag"}},
		{"a tag in capitals", drills.OfTag, "Web", Input{}, nil},
		{"a tag that no host has", drills.OfTag, "wbe", Input{}, []string{"tag"}},
		{"a pair that no host has", drills.OfTag, "web=1", Input{}, []string{"tag"}},
		{"a tag of a host", drills.OfTag, "site=berlin", Input{Enabled: new(true)}, nil},
	} {
		before, err := w.Store.DrillPlans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		told := len(w.told)
		_, err = w.Put(t.Context(), "test", c.kind, c.subject, c.in)
		wrong := field.Errors{}
		errors.As(err, &wrong)
		if got := slices.Sorted(maps.Keys(wrong)); !slices.Equal(got, c.fields) || (err != nil) != (len(c.fields) > 0) {
			t.Errorf("%s: %v, want %v", c.what, err, c.fields)
		}
		after, err := w.Store.DrillPlans(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(c.fields) > 0 && (!slices.Equal(before, after) || len(w.told) != told) {
			t.Errorf("%s: it was refused, and changed something", c.what)
		}
		if len(c.fields) == 0 && len(w.told) != told+1 {
			t.Errorf("%s: told %d times", c.what, len(w.told)-told)
		}
	}
	if _, err := w.Put(t.Context(), "test", drills.OfHost, "nobody", Input{}); !errors.Is(err, jobs.ErrNoHost) {
		t.Errorf("of no host: %v", err)
	}
}

// A plan outlives the last host with its tag, so that it can be switched off then, and what
// is said of a tag that nobody has names those that there are.
func TestAPlanOfATagThatNoHostHasAnyMore(t *testing.T) {
	w := newWorld(t)
	attic := w.host(t, "attic", 1, "web")
	w.plan(t, drills.OfTag, "web", Input{Enabled: new(true)})
	tags := []string{"db", "site=berlin"}
	if _, err := (&hosts.Settings{Store: w.Store}).Put(t.Context(), "test", attic, hosts.Input{Tags: &tags}); err != nil {
		t.Fatal(err)
	}
	w.plan(t, drills.OfTag, "web", Input{Enabled: new(false)})
	_, err := w.Put(t.Context(), "test", drills.OfTag, "wed", Input{})
	wrong := field.Errors{}
	if errors.As(err, &wrong); !strings.Contains(wrong["tag"], "+wed. Tags that hosts have: db, site=berlin.") {
		t.Errorf("it says %q", wrong["tag"])
	}
}
