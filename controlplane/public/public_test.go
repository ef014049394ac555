package public

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type message struct {
	topic, payload string
	qos            byte
	retain         bool
}

// ear is the public broker's place.
type ear struct {
	mu   sync.Mutex
	said []message
}

func (e *ear) publish(topic string, payload []byte, qos byte, retain bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, message{topic, string(payload), qos, retain})
	return nil
}

// box is an outbox of which the ear hears everything.
func (e *ear) box(t *testing.T, s *store.Store) *outbox.Box {
	t.Helper()
	timing := outbox.DefaultTiming()
	timing.Look = 2 * time.Millisecond
	b := must(outbox.New(t.Context(), outbox.Config{Rows: s.Outbox(), Log: slog.New(slog.DiscardHandler), Timing: timing, Now: time.Now}))
	if err := b.Open(t.Context(), outbox.Dialect{Outlet: outbox.Public, Root: topics.Root}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- b.Follow(ctx, outbox.Public, outbox.Link{
			Send: func(_ context.Context, topic string, payload []byte, qos byte, retain bool) error {
				return e.publish(topic, payload, qos, retain)
			},
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	await(t, "the outlet to listen", func() bool { return b.Backlogs()[0].Followed }) // else there is nothing to settle
	return b
}

// settle waits until the ear has heard everything.
func settle(t *testing.T, p *Publisher) {
	t.Helper()
	p.put(t.Context())
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	p.Box.Settle(ctx)
	if ctx.Err() != nil {
		t.Fatal("not everything was said")
	}
}

func (e *ear) about(part string) []message {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []message
	for _, m := range e.said {
		if strings.Contains(m.topic, part) {
			found = append(found, m)
		}
	}
	return found
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, again := time.NewTimer(time.Minute), time.NewTicker(time.Millisecond)
	defer deadline.Stop()
	defer again.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		case <-again.C:
		}
	}
}

func TestABackupGoesByOnThePublicTopics(t *testing.T) {
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	hash := sha256.Sum256([]byte("key"))
	if err := s.AddEnrollToken(ctx, store.EnrollToken{
		ID:        "token-0001",
		KeyHash:   hash[:],
		CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000,
	}); err != nil {
		t.Fatal(err)
	}
	host := must(s.Enroll(ctx, hash[:], store.Host{ID: "attic-0001", SealKey: []byte("k"), Hostname: "attic"}))
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault"}, store.RepositoryAccess{}); err != nil {
		t.Fatal(err)
	}
	if err := s.SlotStep(ctx, func(tx store.Slots) error {
		ctx, x := tx.Tx()
		return places.Found(ctx, x, "vault-0001", host.ID, "", 1)
	}); err != nil {
		t.Fatal(err)
	}
	g := must(s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: "group-0001", Host: host.ID, Name: "letters", Repository: "vault-0001"}))

	e := &ear{}
	presence := hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil)
	timing := Timing{Quiet: time.Millisecond, Running: time.Millisecond, Look: 5 * time.Millisecond}
	p := New(Config{
		Store:    s,
		Presence: presence,
		Hub:      jobs.NewHub(),
		Box:      e.box(t, s),
		Log:      slog.New(slog.DiscardHandler),
		Timing:   timing,
		Now:      time.Now,
	})
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(run) }()

	state := func(fits func(topics.HostState) bool) func() bool {
		return func() bool {
			return slices.ContainsFunc(e.about("attic-0001/state"), func(m message) bool {
				var v topics.HostState
				return json.Unmarshal([]byte(m.payload), &v) == nil && m.retain && m.qos == 1 && fits(v)
			})
		}
	}
	await(t, "a host without a backup", state(func(v topics.HostState) bool {
		return v.Status == "no-backup-yet" && !v.Online && v.Name == "attic"
	}))

	presence.Born(host.ID, topics.Session{Epoch: 1, N: 1})
	presence.Greeted(host.ID, topics.Session{Epoch: 1, N: 1})
	p.Changed(host.ID)
	await(t, "the host to be online", func() bool {
		m := e.about("attic-0001/availability")
		return len(m) > 0 && m[len(m)-1].payload == topics.Online && m[len(m)-1].retain
	})

	j, _, err := s.Ask(ctx, "test", store.Job{
		ID:          "job-000001",
		Host:        host.ID,
		Kind:        topics.BackupJob,
		SourceGroup: g.ID,
		Repository:  g.Repository,
		NotAfter:    1 << 50,
	})
	if err != nil {
		t.Fatal(err)
	}
	step := func(in protocol.PlaneInput) {
		if err := s.Steps(ctx, func(tx protocol.PlaneTx) error {
			_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, in)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		p.Changed(host.ID)
	}
	step(protocol.Tick{Now: 1, Online: func(topics.HostID) bool { return true }})
	step(protocol.Arrived{Host: host.ID,
		Events: topics.Events{Epoch: 1, First: 1, Events: []topics.Event{{Started: &topics.Started{Job: j.ID}}}}, Now: time.Now().UnixMilli()})
	await(t, "the host to be running", state(func(v topics.HostState) bool { return v.Status == "running" && v.RunningJob == j.ID }))
	step(protocol.Arrived{Host: host.ID, Events: topics.Events{Epoch: 1, First: 2, Events: []topics.Event{{Finished: &topics.Finished{
		Job:      j.ID,
		State:    topics.Succeeded,
		Summary:  &topics.Summary{TotalFiles: 1, TotalBytes: 7},
		Snapshot: &topics.Snapshot{ID: "abc"},
	}}}}, Now: time.Now().UnixMilli()})
	// No schedule says that there will be another: it is not protected.
	await(t, "the host to be backed up", state(func(v topics.HostState) bool {
		return v.Status == "unscheduled" && v.Reason != "" && v.PromisedBy == "limit of 2 days" && v.LastResult == topics.Succeeded &&
			v.Snapshots == 1 && v.ProtectedBytes == 7 && v.LastGoodBackup != "" && v.RunningJob == ""
	}))
	await(t, "the end of the job", func() bool {
		return slices.ContainsFunc(e.about("job/job-000001"), func(m message) bool {
			return m.qos == 1 && !m.retain && strings.Contains(m.payload, `"state":"succeeded"`) &&
				strings.Contains(m.payload, `"snapshot_id":"abc"`)
		})
	})
	await(t, "the fleet to be counted", func() bool {
		m := e.about("fleet/state")
		return len(m) > 0 && strings.Contains(m[len(m)-1].payload, `"unscheduled":1`)
	})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	settle(t, p)
	plane := e.about("pub/plane/availability")
	if len(plane) != 2 || plane[0].payload != topics.Online || plane[1].payload != topics.Offline {
		t.Errorf("the plane said of itself: %v", plane)
	}
	last := map[string]string{}
	for _, m := range e.said {
		if last[m.topic] == m.payload {
			t.Errorf("%s was published twice in a row: %s", m.topic, m.payload)
		}
		last[m.topic] = m.payload
	}
}

func TestAHostsStateIsPublishedNoOftenerThanPromised(t *testing.T) {
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	hash := sha256.Sum256([]byte("key"))
	if err := s.AddEnrollToken(ctx, store.EnrollToken{
		ID:        "token-0001",
		KeyHash:   hash[:],
		CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000,
	}); err != nil {
		t.Fatal(err)
	}
	host := must(s.Enroll(ctx, hash[:], store.Host{ID: "attic-0001", SealKey: []byte("k"), Hostname: "attic"}))
	e := &ear{}
	now := time.UnixMilli(1_000_000)
	p := New(Config{Store: s, Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), Hub: jobs.NewHub(), Box: e.box(t, s),
		Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(), Now: func() time.Time { return now }})
	for i, c := range []struct {
		later, wait time.Duration
		want        int
	}{{0, 0, 1}, {400 * time.Millisecond, 100 * time.Millisecond, 1}, {100 * time.Millisecond, 0, 2}} {
		now = now.Add(c.later)
		step := topics.Events{Epoch: 1, First: uint64(i + 1),
			Events: []topics.Event{{Hello: &topics.Hello{Session: topics.Session{Epoch: 1, N: uint64(i + 1)},
				Facts: topics.Facts{Hostname: "attic", Agent: string(rune('a' + i))}}}}}
		if err := s.Steps(ctx, func(tx protocol.PlaneTx) error {
			_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Arrived{Host: host.ID, Events: step})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		wait, err := p.host(ctx, must(p.Fleet.Now(ctx)).Host(host.ID))
		settle(t, p)
		if n := len(e.about("attic-0001/state")); err != nil || wait != c.wait || n != c.want {
			t.Errorf("%d: %d states, waits for %s, %v", i, n, wait, err)
		}
	}
}

// attic is a database with one host.
func attic(t *testing.T) (s *store.Store, dir string, host topics.HostID) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	storetest.Make(t, dir, store.Open)
	s = must(store.Open(t.Context(), dir, ""))
	t.Cleanup(func() { _ = s.Close() })
	hash := sha256.Sum256([]byte("key"))
	if err := s.AddEnrollToken(t.Context(), store.EnrollToken{
		ID:        "token-0001",
		KeyHash:   hash[:],
		CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000,
	}); err != nil {
		t.Fatal(err)
	}
	return s, dir, must(s.Enroll(t.Context(), hash[:], store.Host{ID: "attic-0001", SealKey: []byte("k"), Hostname: "attic"})).ID
}

// hello has the host say which version its agent is.
func hello(t *testing.T, s *store.Store, host topics.HostID, seq uint64, version string) {
	t.Helper()
	if err := s.Steps(t.Context(), func(tx protocol.PlaneTx) error {
		_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Arrived{Host: host, Events: topics.Events{Epoch: 1, First: seq,
			Events: []topics.Event{{Hello: &topics.Hello{Session: topics.Session{Epoch: 1, N: seq},
				Facts: topics.Facts{Hostname: "attic", Agent: version}}}}}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// told reports whether the host's last state holds a text.
func (e *ear) told(text string) func() bool {
	return func() bool {
		m := e.about("attic-0001/state")
		return len(m) > 0 && strings.Contains(m[len(m)-1].payload, text)
	}
}

func running(t *testing.T, p *Publisher) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestTheEndOfEachOfSeveralJobsIsPublished: also of those that end together, of which
// the host's row names but one.
func TestTheEndOfEachOfSeveralJobsIsPublished(t *testing.T) {
	s, _, host := attic(t)
	e := &ear{}
	p := New(Config{Store: s, Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), Hub: jobs.NewHub(), Box: e.box(t, s),
		Log: slog.New(slog.DiscardHandler), Timing: Timing{Quiet: time.Millisecond, Running: time.Millisecond, Look: time.Hour}, Now: time.Now})
	var ids []topics.JobID
	for _, n := range []string{"one", "two", "three"} {
		repo := topics.RepositoryID("vault-" + n)
		if err := s.AddRepository(t.Context(), "test", store.Repository{ID: repo, Name: n}, store.RepositoryAccess{}); err != nil {
			t.Fatal(err)
		}
		j, _, err := s.Ask(t.Context(), "test", store.Job{ID: topics.JobID("job-" + n), Host: host, Kind: topics.CheckJob, Repository: repo,
			NotAfter: 1 << 50})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, j.ID)
	}
	told := func(in protocol.PlaneInput) {
		t.Helper()
		if err := s.Steps(t.Context(), func(tx protocol.PlaneTx) error {
			_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, in)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		p.Changed(host)
	}
	events := func(first uint64, of func(topics.JobID) topics.Event) protocol.Arrived {
		ev := topics.Events{Epoch: 1, First: first}
		for _, id := range ids {
			ev.Events = append(ev.Events, of(id))
		}
		return protocol.Arrived{Host: host, Events: ev, Now: 100}
	}
	told(protocol.Arrived{Host: host, Events: topics.Events{Epoch: 1, First: 1, Events: []topics.Event{{Hello: &topics.Hello{
		Session: topics.Session{Epoch: 1, N: 1}, Facts: topics.Facts{Hostname: "attic", Jobs: topics.MaxJobsAtOnce}}}}}})
	told(protocol.Tick{Now: 50, Online: func(topics.HostID) bool { return true }})
	told(events(2, func(id topics.JobID) topics.Event { return topics.Event{Started: &topics.Started{Job: id}} }))
	running(t, p)
	await(t, "the first of three at work", e.told(`"running_job":"job-one","percent":0,"running_more":2`))
	told(events(5, func(id topics.JobID) topics.Event {
		return topics.Event{Finished: &topics.Finished{Job: id, State: topics.Succeeded}}
	}))
	for _, id := range ids {
		await(t, "the end of "+string(id), func() bool {
			m := e.about("job/" + string(id))
			return len(m) > 0 && m[len(m)-1].qos == 1 && strings.Contains(m[len(m)-1].payload, `"succeeded"`)
		})
	}
}

// TestWhatRangIsToldAtOnce: nobody waits for the next look at everything, which is
// an hour away here.
func TestWhatRangIsToldAtOnce(t *testing.T) {
	s, _, host := attic(t)
	e := &ear{}
	presence := hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil)
	p := New(Config{Store: s, Presence: presence, Hub: jobs.NewHub(), Box: e.box(t, s), Log: slog.New(slog.DiscardHandler),
		Timing: Timing{Quiet: time.Millisecond, Running: time.Millisecond, Look: time.Hour}, Now: time.Now})
	running(t, p)
	await(t, "the first state", e.told(`"attic"`))
	hello(t, s, host, 1, "v7")
	p.Changed(host)
	await(t, "the agent's version", e.told("v7"))
	presence.Born(host, topics.Session{Epoch: 1, N: 2})
	presence.Greeted(host, topics.Session{Epoch: 1, N: 2})
	p.Changed(host)
	await(t, "the host to be online", e.told(`"online":true`))
}

// counted is a source that counts what it is asked.
type counted struct {
	fleet.Source
	marks, reads atomic.Int64
}

func (c *counted) FleetMark(ctx context.Context) (int64, error) {
	c.marks.Add(1)
	return c.Source.FleetMark(ctx)
}

func (c *counted) FleetSince(ctx context.Context, mark, ended int64) (store.FleetChange, error) {
	c.reads.Add(1)
	return c.Source.FleetSince(ctx, mark, ended)
}

// TestAFleetThatRestsIsNotReadAgain: looking costs one small question until
// somebody changes something, and then what changed is told although nobody rang:
// the command line does not.
func TestAFleetThatRestsIsNotReadAgain(t *testing.T) {
	s, dir, host := attic(t)
	e := &ear{}
	presence := hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil)
	source := &counted{Source: s}
	p := New(Config{
		Store:    s,
		Presence: presence,
		Fleet:    fleet.NewBoard(source, presence, time.Now),
		Hub:      jobs.NewHub(),
		Box:      e.box(t, s),
		Log:      slog.New(slog.DiscardHandler),
		Timing:   Timing{Quiet: time.Millisecond, Running: time.Millisecond, Look: time.Millisecond},
		Now:      time.Now,
	})
	running(t, p)
	await(t, "many looks", func() bool { return source.marks.Load() > 50 })
	if n := source.reads.Load(); n != 1 {
		t.Errorf("a fleet that rests was read %d times", n)
	}
	other := must(store.Open(t.Context(), dir, ""))
	defer other.Close()
	hello(t, other, host, 1, "v8")
	await(t, "what another process wrote", e.told("v8"))
	if n := source.reads.Load(); n != 2 {
		t.Errorf("after one change the fleet was read %d times", n)
	}
}

// TestAfterAStartNoHostIsToldOfflineThatMayNotBe: while it is unknown whether a host is
// connected, what was said last stands, and of a host that nothing was said of nothing is.
func TestAfterAStartNoHostIsToldOfflineThatMayNotBe(t *testing.T) {
	s, _, host := attic(t)
	e := &ear{}
	ctx, at := t.Context(), topics.Session{Epoch: 1, N: 1}
	started := func(rows []store.Host, now func() time.Time) (*Publisher, *hosts.Presence) {
		presence := hosts.NewPresence(hosts.DefaultTiming(), now, rows)
		return New(Config{Store: s, Presence: presence, Hub: jobs.NewHub(), Box: e.box(t, s), Log: slog.New(slog.DiscardHandler),
			Timing: DefaultTiming(), Now: now}), presence
	}
	p, presence := started(nil, time.Now)
	presence.Born(host, at)
	presence.Greeted(host, at)
	hello(t, s, host, 1, "v1")
	p.everything(ctx)
	settle(t, p)
	if m := e.about("attic-0001/availability"); len(m) != 1 || m[0].payload != topics.Online {
		t.Fatalf("a host that is connected: %v", m)
	}
	topic := topics.Topic{Kind: topics.KindHostAvailability, Host: host}
	for _, c := range []struct {
		what, told string
		clear      bool
	}{{"it was told", topics.Online, false}, {"nothing was told", "", true}} {
		if c.clear {
			p.Box.Put(ctx, outbox.Of(topic, nil, 1, true))
		}
		rows := must(s.Hosts(ctx))
		rows[0].BirthEpoch, rows[0].BirthN, rows[0].HelloEpoch, rows[0].HelloN = 1, 1, 1, 1
		now := time.Now()
		p, presence = started(rows, func() time.Time { return now }) // the control plane was started again
		before := len(e.about("attic-0001/availability"))
		p.everything(ctx)
		settle(t, p)
		if got := must(p.Box.Last(ctx, outbox.Both, topic.Below())); string(got) != c.told {
			t.Errorf("%s: after a start it is told %q", c.what, got)
		}
		if !e.told(`"online":` + map[bool]string{true: "true", false: "false"}[c.told != ""])() {
			t.Errorf("%s: after a start its state is %v", c.what, e.about("attic-0001/state"))
		}
		count := map[bool]string{true: `"online":1,`, false: `"online":0,`}[c.told != ""]
		if m := must(p.Box.Last(ctx, outbox.Both, "pub/fleet/state")); !strings.Contains(string(m), count) {
			t.Errorf("%s: after a start the fleet is %s", c.what, m)
		}
		for _, m := range e.about("attic-0001/availability")[before:] {
			if m.payload == topics.Offline {
				t.Errorf("%s: it was told that the host is offline", c.what)
			}
		}
		now = now.Add(time.Hour)
		p.everything(ctx)
		settle(t, p)
		if got := must(p.Box.Last(ctx, outbox.Both, topic.Below())); string(got) != topics.Offline {
			t.Errorf("%s: an hour later it is told %q", c.what, got)
		}
		presence.Born(host, topics.Session{Epoch: 1, N: 2})
		presence.Greeted(host, topics.Session{Epoch: 1, N: 2})
		p.everything(ctx)
		settle(t, p)
		if got := must(p.Box.Last(ctx, outbox.Both, topic.Below())); string(got) != topics.Online {
			t.Errorf("%s: once it is back it is told %q", c.what, got)
		}
	}
}

// TestOfAHostThatWasNeverHereNobodyIsToldThatItIsOffline: it was enrolled, and whether its
// agent runs is not known until it comes.
func TestOfAHostThatWasNeverHereNobodyIsToldThatItIsOffline(t *testing.T) {
	s, _, host := attic(t)
	e, ctx, now := &ear{}, t.Context(), time.Now()
	presence := hosts.NewPresence(hosts.DefaultTiming(), func() time.Time { return now }, must(s.Hosts(ctx)))
	p := New(Config{Store: s, Presence: presence, Hub: jobs.NewHub(), Box: e.box(t, s), Log: slog.New(slog.DiscardHandler),
		Timing: DefaultTiming(), Now: func() time.Time { return now }})
	topic := topics.Topic{Kind: topics.KindHostAvailability, Host: host}
	told := func(want string) {
		t.Helper()
		p.everything(ctx)
		settle(t, p)
		if got := must(p.Box.Last(ctx, outbox.Both, topic.Below())); string(got) != want {
			t.Errorf("it is told to be %q, not %q", got, want)
		}
	}
	told("")
	if m := e.about("attic-0001/availability"); len(m) > 0 {
		t.Errorf("of a host that was never here: %v", m)
	}
	if len(e.about("attic-0001/state")) == 0 {
		t.Error("it has no state")
	}
	p.Box.Put(ctx, outbox.Of(topic, []byte(topics.Offline), 1, true)) // as a version before this one said
	now = now.Add(time.Hour)
	p.Changed(host)
	p.due(ctx)
	told("")
	presence.Born(host, topics.Session{Epoch: 1, N: 1})
	presence.Greeted(host, topics.Session{Epoch: 1, N: 1})
	told(topics.Online)
	presence.Died(host, topics.Session{Epoch: 1, N: 1})
	told(topics.Offline)
}

// TestTheNextRunIsNoneThatAPauseLeavesOut: Home Assistant shows when the next backup really
// begins.
func TestTheNextRunIsNoneThatAPauseLeavesOut(t *testing.T) {
	s, _, host := attic(t)
	e, ctx := &ear{}, t.Context()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	p := New(Config{Store: s, Presence: hosts.NewPresence(hosts.DefaultTiming(), func() time.Time { return now }, nil), Hub: jobs.NewHub(),
		Box: e.box(t, s), Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(), Now: func() time.Time { return now }})
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault"}, store.RepositoryAccess{}); err != nil {
		t.Fatal(err)
	}
	group := must(s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: "group-0001", Host: host, Name: "home", Repository: "vault-0001",
		Paths: store.List{"/home"}}))
	must(s.PutSchedule(ctx, "test", host, "hourly", "hourly-0001", func(sc *store.Schedule) error {
		sc.Cron, sc.Zone, sc.Enabled, sc.Groups = "0 * * * *", "UTC", true, []topics.SourceGroupID{group.ID}
		return nil
	}))
	next := func(want string) {
		t.Helper()
		now = now.Add(time.Second)
		p.everything(ctx)
		p.Changed(host)
		p.due(ctx)
		settle(t, p)
		var state topics.HostState
		last := must(p.Box.Last(ctx, outbox.Both, topics.Topic{Kind: topics.KindHostState, Host: host}.Below()))
		if err := json.Unmarshal(last, &state); err != nil || state.NextRun != want {
			t.Errorf("the next run is told to be at %q, not at %s (%v)", state.NextRun, want, err)
		}
	}
	next("2026-11-30T13:00:00Z")
	until := time.Date(2026, 11, 30, 18, 0, 0, 0, time.UTC)
	must(s.PauseHost(ctx, "test", host, now.UnixMilli(), until.UnixMilli()))
	next("2026-11-30T18:00:00Z")
	_, _, err := s.ResumeHost(ctx, "test", host, now.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	next("2026-11-30T13:00:00Z")
}

// away is the presence of a host that was here and has gone.
func away(host topics.HostID) *hosts.Presence {
	p, at := hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), topics.Session{Epoch: 1, N: 1}
	p.Born(host, at)
	p.Greeted(host, at)
	p.Died(host, at)
	return p
}

// TestAfterAStartOnlyDifferencesAreSaid, and what went meanwhile is cleared.
func TestAfterAStartOnlyDifferencesAreSaid(t *testing.T) {
	s, _, host := attic(t)
	e, ctx := &ear{}, t.Context()
	newest := func() int64 { return must(s.Outbox().Newest(ctx)) }
	start := func() *Publisher {
		p := New(Config{Store: s, Presence: away(host), Hub: jobs.NewHub(), Box: e.box(t, s),
			Latest: second, Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(), Now: time.Now})
		p.everything(ctx)
		settle(t, p)
		return p
	}
	hello(t, s, host, 1, "v1")
	for _, id := range []topics.RepositoryID{"vault-0001", "vault-0002"} {
		if err := s.AddRepository(ctx, "test", store.Repository{ID: id, Name: string(id)}, store.RepositoryAccess{}); err != nil {
			t.Fatal(err)
		}
	}
	start()
	if !slices.ContainsFunc(e.about("attic-0001/update"), func(m message) bool {
		return m.retain && strings.Contains(m.payload, `"installed_version":"v1","latest_version":"v2"`)
	}) {
		t.Errorf("the versions of its agent: %v", e.about("update"))
	}
	n := newest()
	p := start()
	if newest() != n {
		t.Errorf("after a start %d rows were written although nothing changed", newest()-n)
	}
	p.Box.Put(ctx, outbox.Of(topics.Topic{Kind: topics.KindHostState, Host: "gone-host-1"}, []byte("{}"), 1, true),
		outbox.Of(topics.Topic{Kind: topics.KindAlert, Alert: "alert-0001"}, []byte("{}"), 1, true))
	if err := s.RemoveRepository(ctx, "test", "vault-0002", true); err != nil {
		t.Fatal(err)
	}
	p = New(Config{Store: s, Presence: p.Presence, Hub: p.Hub, Box: e.box(t, s), Latest: second, Log: p.Log, Timing: p.Timing, Now: time.Now,
		Alerts: &told{}})
	p.everything(ctx)
	settle(t, p)
	left := p.Box.Retained(outbox.Public, func(string) bool { return true })
	slices.Sort(left)
	want := []string{"pub/fleet/state", "pub/host/attic-0001/availability", "pub/host/attic-0001/state", "pub/host/attic-0001/update",
		"pub/repository/vault-0001/state"}
	if !slices.Equal(left, want) {
		t.Errorf("retained is\n%q, want\n%q", left, want)
	}
}

// TestAHostThatIsRetiredOrRevokedLeavesNoTopicBehind.
func TestAHostThatIsRetiredOrRevokedLeavesNoTopicBehind(t *testing.T) {
	s, _, host := attic(t)
	e, ctx := &ear{}, t.Context()
	p := New(Config{Store: s, Presence: away(host), Hub: jobs.NewHub(), Box: e.box(t, s),
		Log: slog.New(slog.DiscardHandler), Timing: Timing{}, Now: time.Now})
	left := func() []string {
		p.everything(ctx)
		settle(t, p)
		return p.Box.Retained(outbox.Public, func(topic string) bool { return strings.HasPrefix(topic, "pub/host/") })
	}
	hello(t, s, host, 1, "v1")
	if got := left(); len(got) != 3 {
		t.Fatalf("of a host there is %q", got)
	}
	must(s.PutHostSettings(ctx, "test", host, removal.HostSettings{Retired: new(true)}))
	if got := left(); len(got) != 0 {
		t.Errorf("of a host that was retired there is still %q", got)
	}
	must(s.PutHostSettings(ctx, "test", host, removal.HostSettings{Retired: new(false)}))
	if got := left(); len(got) != 3 {
		t.Errorf("of a host that is in use again there is %q", got)
	}
	must(s.Revoke(ctx, "test", host))
	if got := left(); len(got) != 0 {
		t.Errorf("of a host that was revoked there is still %q", got)
	}
}

// TestARemovedHostLeavesNoTopicBehind: its retained topics are cleared, and told anew
// when it is back, with the name it has then.
func TestARemovedHostLeavesNoTopicBehind(t *testing.T) {
	s, dir, host := attic(t)
	e := &ear{}
	p := New(Config{Store: s, Presence: away(host), Hub: jobs.NewHub(), Box: e.box(t, s),
		Log:    slog.New(slog.DiscardHandler),
		Timing: Timing{Quiet: time.Millisecond, Running: time.Millisecond, Look: time.Millisecond}, Now: time.Now})
	running(t, p)
	last := func(kind topics.Kind) string {
		list := e.about(topics.Topic{Kind: kind, Host: host}.String())
		if len(list) == 0 {
			return "nothing"
		}
		return list[len(list)-1].payload
	}
	await(t, "its state", func() bool { return strings.Contains(last(topics.KindHostState), `"name":"attic"`) })
	other := must(store.Open(t.Context(), dir, "")) // the command line
	defer other.Close()
	if err := other.RemoveHost(t.Context(), "test", host, removal.Keep); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []topics.Kind{topics.KindHostState, topics.KindHostAvailability} {
		await(t, "an end of "+topics.Topic{Kind: kind, Host: host}.String(), func() bool { return last(kind) == "" })
	}
	await(t, "a fleet without it", func() bool {
		list := e.about(topics.Topic{Kind: topics.KindFleetState}.String())
		return strings.Contains(list[len(list)-1].payload, `"hosts":0`)
	})
	must(other.Restore(t.Context(), "test", removal.Host, string(host), "old attic"))
	await(t, "its state under another name", func() bool { return strings.Contains(last(topics.KindHostState), `"name":"old attic"`) })
	await(t, "whether it can be reached", func() bool { return last(topics.KindHostAvailability) == topics.Offline })
}

// TestAfterARestoreFromACopyWhatIsSaidIsWhatTheCopyKnows: nothing of what was said since stays
// in the outbox, nothing is said for a second time, and no host is told to be offline.
func TestAfterARestoreFromACopyWhatIsSaidIsWhatTheCopyKnows(t *testing.T) {
	s, dir, host := attic(t)
	e, ctx := &ear{}, t.Context()
	start := func(s *store.Store, e *ear, p *hosts.Presence) *Publisher {
		pub := New(Config{Store: s, Presence: p, Hub: jobs.NewHub(), Box: e.box(t, s), Latest: second, Log: slog.New(slog.DiscardHandler),
			Timing: Timing{}, Now: time.Now})
		pub.everything(ctx)
		settle(t, pub)
		return pub
	}
	there := hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil)
	at := topics.Session{Epoch: 1, N: 1}
	there.Born(host, at)
	there.Greeted(host, at)
	if err := s.Born(ctx, host, at); err != nil {
		t.Fatal(err)
	}
	hello(t, s, host, 1, "v1")
	p := start(s, e, there)
	p.Box.Put(ctx, outbox.Message{Topic: "pub/do/home", Payload: []byte("waits"), QoS: 1})
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := s.CopyInto(ctx, copied); err != nil {
		t.Fatal(err)
	}

	// Since then a repository was added, and the host was renamed and removed.
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault"}, store.RepositoryAccess{}); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveHost(ctx, "test", host, removal.Keep); err != nil {
		t.Fatal(err)
	}
	p.everything(ctx)
	settle(t, p)
	if left := p.Box.Retained(outbox.Public, func(topic string) bool { return strings.HasPrefix(topic, "pub/host/") }); len(left) > 0 {
		t.Fatalf("of a host that was removed there is %q", left)
	}

	again := filepath.Join(t.TempDir(), "data")
	key := keyring.Source{File: dir + ".key"}
	must(store.RestoreFrom(ctx, store.Restoring{Copy: copied, Data: again, Key: key, Actor: "test"}))
	old := must(store.OpenWith(ctx, again, store.Options{Key: key}))
	t.Cleanup(func() { _ = old.Close() })
	e = &ear{}
	p = start(old, e, hosts.NewPresence(hosts.DefaultTiming(), time.Now, must(old.Hosts(ctx))))
	left := p.Box.Retained(outbox.Public, func(string) bool { return true })
	slices.Sort(left)
	want := []string{"pub/fleet/state", "pub/host/attic-0001/availability", "pub/host/attic-0001/state", "pub/host/attic-0001/update"}
	if !slices.Equal(left, want) {
		t.Errorf("retained is\n%q, want\n%q", left, want)
	}
	if m := e.about("availability"); len(m) != 1 || m[0].payload != topics.Online {
		t.Errorf("of the host it is told %v", m)
	}
	if m := e.about("pub/do"); len(m) > 0 {
		t.Errorf("what was said once is said again: %v", m)
	}
}

// second is the newest version of the agent for every host.
func second(store.Host) string { return "v2" }
