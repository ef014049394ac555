package evil

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/restic-manager/restic-manager/agent"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// meddle is a broker that plays with every message: it delivers it twice, sends
// the one before again after it, holds every third back behind its successor,
// and puts altered copies in between, on other topics and in other hosts' names.
type meddle struct {
	mu       sync.Mutex
	others   []topics.HostID
	held     *message
	previous *message
	first    *message
	n        int
	injected int
}

func (m *meddle) act(topic string, payload []byte, pass func(string, []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	forge := func(topic string, payload []byte) {
		m.injected++
		pass(topic, payload)
	}
	if m.held != nil { // reordered
		pass(topic, payload)
		pass(m.held.topic, m.held.payload)
		m.held = nil
	} else if m.n%3 == 0 && strings.HasSuffix(topic, "/event") {
		m.held = &message{topic, payload}
	} else {
		pass(topic, payload)
	}
	forge(topic, payload) // again
	altered := slices.Clone(payload)
	altered[len(altered)/2] ^= 0x40
	forge(topic, altered)
	forge(topic, payload[:len(payload)/2])
	forge(topic, nil)
	if t, err := topics.Parse(topic); err == nil {
		for _, e := range topics.Catalogue { // in another topic of the same direction
			if e.Kind != t.Kind && e.From == t.Entry().From && e.To == t.Entry().To {
				other := topics.Topic{Kind: e.Kind, Host: t.Host, Job: t.Job}
				if other.Job == "" {
					other.Job = "job-of-nobody"
				}
				forge(other.String(), payload)
			}
		}
		for _, host := range m.others { // in another's name
			if host != t.Host {
				forge(topics.Topic{Kind: t.Kind, Host: host, Job: t.Job}.String(), payload)
			}
		}
	}
	if m.previous != nil {
		forge(m.previous.topic, m.previous.payload)
		forge(m.first.topic, m.first.payload)
	}
	m.previous = &message{topic, payload}
	if m.first == nil {
		m.first = m.previous
	}
}

// TestABrokerThatMeddlesChangesNothing runs backups of two hosts through a broker
// that allows everything and does its worst in both directions.
func TestABrokerThatMeddlesChangesNothing(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	const secret = "a-password-nobody-may-read"
	a, b := h.enrol("attic", agent.Policy{}), h.enrol("cellar", agent.Policy{})
	up, down := &meddle{others: []topics.HostID{a.id, b.id}}, &meddle{others: []topics.HostID{a.id, b.id}}
	h.mu.Lock()
	h.up, h.down = up.act, down.act
	h.mu.Unlock()
	for _, m := range []*machine{a, b} {
		m.write("home/the-diary-of-anna.txt", strings.Repeat("dear diary ", 1000))
		m.start()
		id := topics.NewID(h.desk.CA.Certificate.NotBefore)
		if err := h.store.AddRepository(t.Context(), "test", store.Repository{ID: topics.RepositoryID(id), Name: "vault of " + string(m.id),
			Location: m.at("vault")},
			store.RepositoryAccess{URL: topics.Secret(m.at("vault")), Password: secret}); err != nil {
			t.Fatal(err)
		}
		e2e.Must(h.store.PutSourceGroup(t.Context(), "test", store.SourceGroup{ID: topics.SourceGroupID(id), Host: m.id, Name: "home",
			Repository: topics.RepositoryID(id), Paths: store.List{m.at("home")}}))
	}
	for _, m := range []*machine{a, b} {
		for round := range 3 {
			j := m.backup()
			if j.State != topics.Succeeded || j.SnapshotID == "" {
				t.Fatalf("backup %d of %s %s: %s", round, m.id, j.State, j.Message)
			}
			if ran := strings.Count(m.ran(), "arg backup\n"); ran != round+1 {
				t.Errorf("restic made %d backups for %d jobs", ran, round+1)
			}
			if lines := e2e.Must(h.store.Log(t.Context(), j.ID, 0, 10_000)); len(lines) != j.Lines ||
				slices.ContainsFunc(lines, func(l store.LogEntry) bool {
					return l.GapTo > 0
				}) {
				t.Errorf("%d lines of %d, or with holes", len(lines), j.Lines)
			}
		}
		if n := len(e2e.Must(h.store.Snapshots(t.Context(), m.id, 100))); n != 3 {
			t.Errorf("%d snapshots after 3 backups", n)
		}
	}
	for _, m := range []*machine{a, b} {
		e2e.Await(t, "refusals to be counted on both sides, and audited", func() error {
			if row := h.host(m.id); row.Refused == 0 || row.RefusedThere == 0 || h.audited("message.refused", string(m.id)) != 1 {
				return fmt.Errorf("%d here, %d there, %d entries", row.Refused, row.RefusedThere, h.audited("message.refused", string(m.id)))
			}
			return nil
		})
		row := h.host(m.id)
		t.Logf("%s: %d refused by the control plane, %d by the agent", m.id, row.Refused, row.RefusedThere)
	}

	// What went by tells nothing.
	for _, word := range []string{secret, "the-diary-of-anna", a.at("home"), a.at("vault"), "\"backup\"", "home"} {
		for _, m := range h.recorded() {
			if bytes.Contains(m.payload, []byte(word)) {
				t.Errorf("%q is in a message on %s", word, m.topic)
				break
			}
		}
	}
	up.mu.Lock()
	down.mu.Lock()
	t.Logf("forged on the way up %d, on the way down %d", up.injected, down.injected)
	up.mu.Unlock()
	down.mu.Unlock()
}

// TestWhatWasRecordedIsWorthNothingLater replays a whole day's traffic after the
// agent has begun another session, and after the control plane has.
func TestWhatWasRecordedIsWorthNothingLater(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	m := h.enrol("attic", agent.Policy{})
	m.start()
	m.group()
	if j := m.backup(); j.State != topics.Succeeded {
		t.Fatalf("the backup %s: %s", j.State, j.Message)
	}
	m.stop()
	tape := h.recorded()
	m.start()
	before := h.host(m.id)
	ran := m.ran()
	for range 3 {
		for _, old := range tape {
			if strings.Contains(old.topic, "/ctl/") {
				_ = h.broker.Publish(old.topic, old.payload, 1, false)
				continue
			}
			parsed := e2e.Must(topics.Parse(old.topic))
			h.engine.Received(old.topic, old.payload, parsed.Entry().Retained)
		}
	}
	if j := m.backup(); j.State != topics.Succeeded {
		t.Errorf("a backup after it: %s: %s", j.State, j.Message)
	}
	after := h.host(m.id)
	if after.Birth() != before.Birth() || !h.engine.Presence.Reachable(m.id) {
		t.Errorf("the session was ended by an old message: %v, %v", before.Birth(), after.Birth())
	}
	if n := strings.Count(strings.TrimPrefix(m.ran(), ran), "arg backup\n"); n != 1 {
		t.Errorf("restic made %d backups, want the one that was asked for", n)
	}
	if n := len(e2e.Must(h.store.Snapshots(t.Context(), m.id, 100))); n != 2 {
		t.Errorf("%d snapshots", n)
	}
	events := 0
	for _, old := range tape {
		if parsed := e2e.Must(topics.Parse(old.topic)); parsed.Kind == topics.KindEvent {
			events++
		}
	}
	e2e.Await(t, "the replays to be counted", func() error {
		if n := int(h.host(m.id).Refused - before.Refused); n < 3*events || events == 0 {
			return fmt.Errorf("%d are, and of events alone there were three times %d", n, events)
		}
		return nil
	})
	t.Logf("%d messages recorded and replayed three times; %d refused here, %d there", len(tape), h.host(m.id).Refused,
		h.host(m.id).RefusedThere)
}
