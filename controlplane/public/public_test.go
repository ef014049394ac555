package public

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
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
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
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
		Publish:  e.publish,
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
	p := New(Config{Store: s, Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), Hub: jobs.NewHub(), Publish: e.publish,
		Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(), Now: func() time.Time { return now }})
	for i, c := range []struct {
		later time.Duration
		again bool
		want  int
	}{{0, false, 1}, {9 * time.Second, true, 1}, {time.Second, false, 2}} {
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
		again, err := p.host(ctx, must(p.Fleet.Now(ctx)).Host(host.ID))
		if n := len(e.about("attic-0001/state")); err != nil || again != c.again || n != c.want {
			t.Errorf("%d: %d states, waits %t, %v", i, n, again, err)
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
	p := New(Config{Store: s, Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), Hub: jobs.NewHub(), Publish: e.publish,
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
	p := New(Config{Store: s, Presence: presence, Hub: jobs.NewHub(), Publish: e.publish, Log: slog.New(slog.DiscardHandler),
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
		Publish:  e.publish,
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

// TestWhatCouldNotBePublishedIsSaidAgain: a broker that refuses for a moment does not
// leave consumers with an old state.
func TestWhatCouldNotBePublishedIsSaidAgain(t *testing.T) {
	s, _, host := attic(t)
	e := &ear{}
	var deaf atomic.Bool
	publish := func(topic string, payload []byte, qos byte, retain bool) error {
		if deaf.Load() {
			return errors.New("not now")
		}
		return e.publish(topic, payload, qos, retain)
	}
	p := New(Config{Store: s, Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), Hub: jobs.NewHub(), Publish: publish,
		Log: slog.New(slog.DiscardHandler), Timing: Timing{Quiet: time.Millisecond, Running: time.Millisecond, Look: time.Hour}, Now: time.Now})
	running(t, p)
	await(t, "the first state", e.told(`"attic"`))
	deaf.Store(true)
	hello(t, s, host, 1, "v9")
	p.Changed(host)
	await(t, "it to be taken", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.dirty) == 0 })
	deaf.Store(false)
	await(t, "the version in the end", e.told("v9"))
}

// TestARemovedHostLeavesNoTopicBehind: its retained topics are cleared, and told anew
// when it is back, with the name it has then.
func TestARemovedHostLeavesNoTopicBehind(t *testing.T) {
	s, dir, host := attic(t)
	e := &ear{}
	p := New(Config{Store: s, Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, nil), Hub: jobs.NewHub(), Publish: e.publish,
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
