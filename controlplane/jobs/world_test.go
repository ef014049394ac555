package jobs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is an engine over a real database, and one agent played by the test
// with the agent's own step function and seal. Nothing lies between them.
type world struct {
	t      *testing.T
	store  *store.Store
	engine *Engine
	hub    *Hub
	host   store.Host
	group  store.SourceGroup

	agent   *protocoltest.Agent
	channel *seal.Channel
	session topics.Session
	counter uint64
	can     []topics.Ability // of the agent

	mu   sync.Mutex
	sent []sent
}

type sent struct {
	topic topics.Topic
	plain []byte
}

func newWorld(t *testing.T) *world { return newWorldWith(t, func(*Timing) {}) }

// newWorldWith sets times and bounds before the engine runs.
func newWorldWith(t *testing.T, set func(*Timing)) *world {
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	planeKey, agentKey := must(seal.NewKey()), must(seal.NewKey())
	w := &world{t: t, store: s, hub: NewHub(), agent: protocoltest.NewAgent(1000), session: topics.Session{Epoch: 1000}}
	hash := sha256.Sum256([]byte("key"))
	if err := s.AddEnrollToken(ctx, store.EnrollToken{
		ID:        "token-0001",
		KeyHash:   hash[:],
		CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000,
	}); err != nil {
		t.Fatal(err)
	}
	w.host = must(s.Enroll(ctx, hash[:], store.Host{ID: "attic-0001", SealKey: agentKey.Public(), Hostname: "attic"}))
	w.channel = must(seal.NewChannel(agentKey, planeKey.Public(), seal.Agent, string(w.host.ID)))
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault"},
		store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	// It is there: what making one takes has tests of its own.
	if err := s.SlotStep(ctx, func(tx store.Slots) error {
		ctx, x := tx.Tx()
		return places.Found(ctx, x, "vault-0001", w.host.ID, "", 1)
	}); err != nil {
		t.Fatal(err)
	}
	w.group = must(s.PutSourceGroup(ctx, "test", store.SourceGroup{
		ID:         "group-0001",
		Host:       w.host.ID,
		Name:       "letters",
		Repository: "vault-0001",
		Paths:      store.List{"/letters"},
	}))

	timing := DefaultTiming()
	timing.Tick, timing.Receipt, timing.Revise = 10*time.Millisecond, time.Millisecond, time.Millisecond
	set(&timing)
	w.engine = New(Config{
		Store:    s,
		Key:      planeKey,
		Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, []store.Host{w.host}),
		Hub:      w.hub,
		Send:     w.hear,
		Log:      slog.New(slog.DiscardHandler),
		Timing:   timing,
		Now:      time.Now,
	})
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.engine.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// hear is the broker's place: what the engine sends to the agent.
func (w *world) hear(name string, payload []byte) error {
	plain, err := w.channel.Open(name, payload)
	if err != nil {
		return fmt.Errorf("the agent cannot open what came on %s: %w", name, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, sent{must(topics.Parse(name)), plain})
	return nil
}

// received finds the newest message of a kind that fits.
func received[T any](w *world, k topics.Kind, fits func(T) bool) T {
	w.t.Helper()
	var found T
	w.await(fmt.Sprintf("a message of kind %d", k), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.sent {
			if s.topic.Kind != k {
				continue
			}
			if v := must(topics.Decode[T](s.plain)); fits(v) {
				found = v
				return true
			}
		}
		return false
	})
	return found
}

func (w *world) count(k topics.Kind) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, s := range w.sent {
		if s.topic.Kind == k {
			n++
		}
	}
	return n
}

// await retries until a condition holds.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			w.t.Fatalf("waited in vain for %s", what)
		case <-again.C:
		}
	}
}

func (w *world) publish(k topics.Kind, job topics.JobID, payload []byte, sealed bool) {
	name := topics.Topic{Kind: k, Host: w.host.ID, Job: job}.String()
	if sealed {
		payload = w.channel.Seal(name, payload)
	}
	w.engine.Received(name, payload, topics.Topic{Kind: k}.Entry().Retained)
}

func (w *world) stamp() topics.Stamp {
	w.counter++
	return topics.Stamp{Session: w.session, N: w.counter}
}

// connect is an agent's birth, up to its hello.
func (w *world) connect() {
	w.session.N++
	w.counter = 0
	name := topics.Topic{Kind: topics.KindBirth, Host: w.host.ID}.String()
	w.publish(topics.KindBirth, "", topics.Encode(topics.Birth{Session: w.session, Protocol: topics.Protocol,
		MAC: w.channel.Sign(name, w.session.Signed(topics.Born))}), false)
	welcome := received(w, topics.KindWelcome, func(v topics.Welcome) bool { return v.Session == w.session })
	w.step(protocol.Welcomed{Received: welcome.Received, Session: w.session,
		Facts: topics.Facts{Hostname: "attic", Restic: "0.14.0", Can: w.can}})
	w.await("the host to be reachable", func() bool { return w.engine.Presence.Reachable(w.host.ID) })
}

// step takes an input into the agent's journal and sends what is new.
func (w *world) step(in protocol.AgentInput) []protocol.AgentEffect {
	after := w.agent.LastPlace.Seq
	effects := must(w.agent.Step(in))
	if b := w.agent.Batch(after, 100); len(b.Events) > 0 {
		w.publish(topics.KindEvent, "", topics.Encode(b), true)
	}
	return effects
}

func (w *world) print(id topics.JobID, texts ...string) {
	var lines []topics.Line
	for _, text := range texts {
		lines = append(lines, topics.Line{Level: topics.Info, Text: text})
	}
	w.step(protocol.Printed{Job: id, Lines: lines})
}

// running asks for a backup and has the agent start it.
func (w *world) running() store.Job {
	w.t.Helper()
	j, _, err := w.engine.AskBackup(w.t.Context(), "test", w.host.ID, "letters")
	if err != nil {
		w.t.Fatal(err)
	}
	c := received(w, topics.KindCommand, func(c topics.Command) bool { return c.Job == j.ID && c.Run != nil })
	w.step(protocol.Commanded{Command: c})
	w.step(protocol.Spawned{Job: j.ID, Restic: "0.14.0"})
	w.await("the job to run", func() bool { return w.job(j.ID).State == topics.Running })
	return j
}

func (w *world) job(id topics.JobID) store.Job {
	return must(w.store.Job(context.Background(), id))
}
