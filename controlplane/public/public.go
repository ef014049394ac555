// Package public says how the fleet is: unencrypted, retained MQTT topics computed from
// the database, for Home Assistant and other consumers. It puts them into the outbox, which
// says them to every broker that is used. Agents cannot write them, and no other part of
// the control plane reads them.
package public

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Timing limits how often a host's state is published.
type Timing struct {
	Quiet   time.Duration // between two states of a host
	Running time.Duration // the same while a job runs
	Look    time.Duration // how often it is asked for changes that were not announced: a host that went silent, another process
	Whole   time.Duration // how often all of what is retained is compared with what there is
}

// DefaultTiming is what docs/TOPICS.md promises to consumers: what is retained says what
// the database does, a second later at most.
func DefaultTiming() Timing {
	return Timing{Quiet: 500 * time.Millisecond, Running: 500 * time.Millisecond, Look: 500 * time.Millisecond, Whole: time.Minute}
}

// breath is between two looks whether states that came too early may be published by now: each
// looks at all of them.
const breath = 50 * time.Millisecond

// Config holds what a publisher needs.
type Config struct {
	Store    *store.Store
	Presence *hosts.Presence
	Fleet    *fleet.Board // nil creates one
	Hub      *jobs.Hub
	Box      *outbox.Box // where it is said
	// Latest is the newest version that a host's agent may have by now; nil is the one it has.
	Latest func(store.Host) string
	// Space, if set, says how short of space the control plane's disk is, and how many
	// bytes are left, to some MiB.
	Space func() (level string, free uint64)
	// Alerts, if set, are what consumers hear of alerts.
	Alerts Alerts
	Log    *slog.Logger
	Timing Timing
	Now    func() time.Time
}

// A Publisher keeps the public topics up to date. Run does the work.
type Publisher struct {
	Config
	wake chan struct{}

	mu      sync.Mutex
	dirty   map[topics.HostID]bool
	alarmed bool // alerts changed
	newer   bool // another version of the agent may run now

	// Used by Run's goroutine only.
	batch        []outbox.Message                   // put, and not given to the box yet
	seen         map[topics.HostID]*fleet.Entry     // the last published entry of each host
	later        map[topics.HostID]bool             // changed, but too early to publish again
	soonest      time.Time                          // when the first of these may be
	at           map[topics.HostID]time.Time        // of the last state
	next         map[topics.HostID]int64            // when the state is another by time alone: its next run begins, or its pause is over
	up           map[topics.HostID]bool             // whether it was told to be connected; those of which it is known
	said         map[topics.JobID][sha256.Size]byte // the last progress of each job that is at work, as its hash
	open         map[topics.HostID][]topics.JobID   // which these are
	added        map[topics.HostID]added            // by the last backup
	whole        time.Time                          // when all was compared last
	repositories map[topics.RepositoryID]repository // what is known of each
	resized      map[topics.RepositoryID]bool       // take another room than what was said of their hosts
	mark         int64                              // of what changed about repositories; below zero: nothing was read
	read         time.Time                          // when all repositories were read last
	alerting     alerting                           // what is known of alerts
}

// New returns a publisher; Run starts it.
func New(c Config) *Publisher {
	if c.Fleet == nil {
		c.Fleet = fleet.NewBoard(c.Store, c.Presence, c.Now)
	}
	p := &Publisher{Config: c, wake: make(chan struct{}, 1), dirty: map[topics.HostID]bool{}, later: map[topics.HostID]bool{},
		seen: map[topics.HostID]*fleet.Entry{}, at: map[topics.HostID]time.Time{}, next: map[topics.HostID]int64{},
		up: map[topics.HostID]bool{}, added: map[topics.HostID]added{}, said: map[topics.JobID][sha256.Size]byte{},
		open:         map[topics.HostID][]topics.JobID{},
		repositories: map[topics.RepositoryID]repository{}, resized: map[topics.RepositoryID]bool{}, mark: -1}
	p.Box.OnEnded(p.Ended)
	return p
}

// Changed tells the publisher that something about a host changed. It never blocks.
func (p *Publisher) Changed(h topics.HostID) {
	p.mu.Lock()
	p.dirty[h] = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Newer has it say of all hosts which version of the agent they may have. It does not block.
func (p *Publisher) Newer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newer = true
}

// There says that the control plane is there. It is said before anybody can listen, so that
// nobody hears what was said at its end.
func (p *Publisher) There(ctx context.Context) {
	p.Box.Put(ctx, outbox.Of(topics.Topic{Kind: topics.KindPlaneAvailability}, []byte(topics.Online), 1, true))
}

// Run publishes until ctx ends, and says that the control plane is offline then.
func (p *Publisher) Run(ctx context.Context) error {
	p.There(ctx)
	defer func() {
		last, end := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer end()
		p.batch = nil // what was not put is put at the next start
		p.say(topics.Topic{Kind: topics.KindPlaneAvailability}, topics.Offline)
		p.put(last)
	}()
	p.everything(ctx)
	look, soon := time.NewTicker(p.Timing.Look), time.NewTimer(0)
	defer look.Stop()
	defer soon.Stop()
	for {
		if soon.Stop(); len(p.later) > 0 {
			soon.Reset(max(0, time.Until(p.soonest)))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			p.everything(ctx)
		case <-soon.C:
			p.soonest = time.Time{}
			p.mu.Lock()
			maps.Copy(p.dirty, p.later)
			p.mu.Unlock()
			p.due(ctx)
		case <-p.wake:
			p.Box.Stir() // a job may have ended
			p.mu.Lock()
			alarmed := p.alarmed
			p.mu.Unlock()
			if alarmed {
				p.alerts(ctx)
			}
			p.due(ctx)
		}
		p.put(ctx)
	}
}

// put gives the box what was said.
func (p *Publisher) put(ctx context.Context) {
	if len(p.batch) > 0 {
		p.Box.Put(ctx, p.batch...)
		p.batch = nil
	}
}

// say has a payload be retained; "" clears the topic.
func (p *Publisher) say(t topics.Topic, payload string) {
	p.batch = append(p.batch, outbox.Of(t, []byte(payload), 1, true))
}

// everything publishes every host that differs from what was published. It compares
// each entry; an unchanged host still has the same entry on the board.
func (p *Publisher) everything(ctx context.Context) {
	p.alerts(ctx) // before the hosts, which say how many they have
	p.repositoriesNow(ctx)
	m, err := p.Fleet.Now(ctx)
	if err != nil {
		p.complain(ctx, err)
		return
	}
	now := p.Now().UnixMilli()
	p.mu.Lock()
	for _, h := range m.ByName() {
		if next := p.next[h.ID]; p.newer || p.seen[h.ID] != h || next > 0 && now >= next || backsUpInto(h, p.resized) {
			p.dirty[h.ID] = true
		}
	}
	clear(p.resized)
	p.newer = false
	for id := range p.seen {
		if m.Host(id) == nil {
			p.dirty[id] = true
		}
	}
	p.mu.Unlock()
	p.due(ctx)
	p.fleet(m)
	if since := p.Now().Sub(p.whole); since >= p.Timing.Whole || since < 0 || p.whole.IsZero() {
		p.compare(m)
	}
	p.put(ctx)
}

// backsUpInto reports whether a host backs up into one of some repositories.
func backsUpInto(h *fleet.Entry, some map[topics.RepositoryID]bool) bool {
	return len(some) > 0 && slices.ContainsFunc(h.Groups, func(g fleet.Group) bool { return some[g.Facts.Repository] })
}

// compare clears what is retained of what is not there any more, whoever removed it and
// whenever: while nothing ran, or since the copy was made that was restored.
func (p *Publisher) compare(m *fleet.Moment) {
	if p.mark < 0 || p.Alerts != nil && !p.alerting.known {
		return // not everything is known yet
	}
	p.whole = p.Now()
	for _, name := range p.Box.Retained(outbox.Both, func(topic string) bool { return strings.HasPrefix(topic, "pub/") }) {
		t, err := topics.ParseBelow(name)
		there := err == nil
		switch t.Kind {
		case topics.KindHostAvailability, topics.KindHostState, topics.KindHostUpdate:
			there = there && shown(m.Host(t.Host))
		case topics.KindRepositoryState:
			there = there && p.repositories[t.Repository].known
		case topics.KindAlert:
			_, is := p.alerting.there[t.Alert]
			there = there && (is || p.Alerts == nil)
		}
		if !there {
			p.batch = append(p.batch, outbox.Cleared(outbox.Both, name))
		}
	}
}

// due publishes what changed, of each host no more often than Timing says.
func (p *Publisher) due(ctx context.Context) {
	p.mu.Lock()
	dirty := p.dirty
	p.dirty = map[topics.HostID]bool{}
	p.mu.Unlock()
	if len(dirty) == 0 {
		return
	}
	m, err := p.Fleet.Now(ctx)
	if err != nil {
		p.complain(ctx, err)
		for id := range dirty {
			p.waits(id, p.Timing.Running)
		}
		return
	}
	for id := range dirty {
		if ctx.Err() != nil {
			return
		}
		delete(p.later, id)
		h := m.Host(id)
		if !shown(h) {
			p.gone(id, h)
			continue
		}
		wait, err := p.host(ctx, h)
		if err != nil {
			p.complain(ctx, err)
			wait = p.Timing.Running
		}
		if wait > 0 || err != nil {
			p.waits(id, wait)
		}
		if len(p.batch) >= 256 { // what is large is not kept until all of it is there
			p.put(ctx)
		}
	}
}

// waits has a host be looked at again.
func (p *Publisher) waits(id topics.HostID, wait time.Duration) {
	p.later[id] = true
	if at := time.Now().Add(max(wait, breath)); p.soonest.IsZero() || at.Before(p.soonest) {
		p.soonest = at
	}
}

func (p *Publisher) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		p.Log.Error("publish the state of the fleet", "err", err)
	}
}

func (p *Publisher) fleet(m *fleet.Moment) {
	f := topics.FleetState{Hosts: m.Len(), Online: m.Online, ByStatus: map[string]int{}}
	for _, h := range m.ByName() { // while it is unknown, it is what was said last
		if h.Connection == hosts.Unknown && p.up[h.ID] {
			f.Online++
		}
	}
	for status, n := range m.Tally {
		f.ByStatus[string(status)] = n
		if status.Trouble() {
			f.Problems += n
		}
	}
	if p.Space != nil {
		f.PlaneDisk, f.PlaneFree = p.Space()
	}
	p.say(topics.Topic{Kind: topics.KindFleetState}, string(topics.Encode(f)))
}

func rfc3339(ms int64) string {
	if ms == 0 {
		return ""
	}
	return words.At(ms).UTC().Format(time.RFC3339)
}
