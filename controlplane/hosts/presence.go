// Package hosts knows which hosts are connected and how well protected each one
// is. The two are different things: a sleeping laptop with a good backup of
// this morning is not in trouble.
package hosts

import (
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Connection is whether a host's agent can be reached.
type Connection string

// The three answers. Unknown is said for a while after the control plane began,
// until agents have had time to come back.
const (
	Online  Connection = "online"
	Offline Connection = "offline"
	Unknown Connection = "unknown"
)

// Timing holds the durations of presence.
type Timing struct {
	Fresh time.Duration // a heartbeat older than this does not count
	Grace time.Duration // how long after the start hosts are unknown instead of offline
}

// DefaultTiming is three missed heartbeats, and two minutes.
func DefaultTiming() Timing { return Timing{Fresh: 100 * time.Second, Grace: 2 * time.Minute} }

// Presence follows births, deaths and heartbeats. A host is online if and only
// if its highest birth is above its highest death and it was heard in that very
// session not long ago; so a late last will can only end an older session. It
// is safe for concurrent use.
type Presence struct {
	timing Timing
	now    func() time.Time
	began  time.Time

	moved Bell // rings for hosts whose connection became another by what was heard

	mu    sync.Mutex
	hosts map[topics.HostID]*presence
}

type presence struct {
	birth, death, hello topics.Session
	heard               time.Time // in the session of birth
	counter             uint64    // of the last unspooled message in it
	lastSeen            time.Time
	clock               time.Duration // how far the host's clock is ahead of ours

	before  topics.Session // the one that birth followed here
	passed  uint64         // what counter was in it
	refused uint64         // how many messages the agent has refused in the session of birth
	counted bool           // refused counts from the session's beginning
}

// NewPresence begins with what the database knows.
func NewPresence(t Timing, now func() time.Time, rows []store.Host) *Presence {
	p := &Presence{timing: t, now: now, began: now(), hosts: map[topics.HostID]*presence{}}
	for _, h := range rows {
		p.hosts[h.ID] = &presence{birth: h.Birth(), death: h.Death(), hello: h.Hello(), lastSeen: time.UnixMilli(h.LastSeen)}
	}
	return p
}

func (p *Presence) of(id topics.HostID) *presence {
	h := p.hosts[id]
	if h == nil {
		h = &presence{}
		p.hosts[id] = h
	}
	return h
}

// Born notes a proven birth. It answers whether it is news: an older session,
// or the same again, is not.
func (p *Presence) Born(id topics.HostID, s topics.Session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	if !s.After(h.birth) {
		return s == h.birth && !h.death.After(s) && h.death != s
	}
	h.before, h.passed, h.refused, h.counted = h.birth, h.counter, 0, true
	h.birth, h.counter, h.heard = s, 0, time.Time{}
	p.moved.Ring(id)
	return true
}

// Died notes a proven death. It answers whether that ended the current session.
func (p *Presence) Died(id topics.HostID, s topics.Session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	if s.After(h.death) {
		h.death = s
		p.moved.Ring(id)
	}
	return s == h.birth
}

// Heard takes an unspooled message's stamp: it counts only in the current
// session, and only if its number rises. What does not is a replay.
func (p *Presence) Heard(id topics.HostID, stamp topics.Stamp) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	if stamp.Session != h.birth || stamp.N <= h.counter {
		return false
	}
	was, _ := p.connection(h)
	h.counter, h.heard = stamp.N, p.now()
	h.lastSeen = h.heard
	if was != Online {
		p.moved.Ring(id)
	}
	return true
}

// Late reports whether a message is one of the session before the current one
// that was still on its way, and not heard then: the old connection and the new
// one are read side by side.
func (p *Presence) Late(id topics.HostID, stamp topics.Stamp) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	if stamp.Session != h.before || stamp.N <= h.passed {
		return false
	}
	h.passed = stamp.N
	return true
}

// RefusedThere takes how many messages the agent says it has refused in its
// session, and answers with how many of them are news.
func (p *Presence) RefusedThere(id topics.HostID, n uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	news := n - min(n, h.refused)
	if !h.counted { // of a session older than this process
		news = 0
	}
	h.refused, h.counted = n, true
	return news
}

// Clock notes how far a host's clock is ahead of ours.
func (p *Presence) Clock(id topics.HostID, ahead time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of(id).clock = ahead
}

// Greeted notes that a session's hello is committed: it is proven, and commands
// may go to it.
func (p *Presence) Greeted(id topics.HostID, s topics.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	h.hello = s
	if s == h.birth {
		h.heard = p.now()
		h.lastSeen = h.heard
		p.moved.Ring(id)
	}
}

// Session is the host's current session, the one messages to it name.
func (p *Presence) Session(id topics.HostID) topics.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(id).birth
}

// Reachable reports whether commands may go to the host: it is online, and this
// session's hello is committed.
func (p *Presence) Reachable(id topics.HostID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	c, _ := p.connection(h)
	return c == Online && h.hello == h.birth
}

// Connection says whether the host is connected, and when it was last heard of
// (the zero time: never).
func (p *Presence) Connection(id topics.HostID) (Connection, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	c, _ := p.connection(h)
	return c, h.lastSeen
}

// Look says whether the host is connected, and from when on that is to be asked
// again although nothing was heard; the zero time is never.
func (p *Presence) Look(id topics.HostID) (c Connection, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[id]
	if h == nil {
		h = &presence{}
	}
	return p.connection(h)
}

// Watch begins to collect the hosts whose connection became another by what was
// heard of them. Time alone rings for nobody: see Look.
func (p *Presence) Watch() *Watch { return p.moved.Watch() }

func (p *Presence) connection(h *presence) (c Connection, until time.Time) {
	now := p.now()
	dead := !h.birth.After(h.death)
	switch {
	case !dead && !h.heard.IsZero() && now.Sub(h.heard) < p.timing.Fresh:
		return Online, h.heard.Add(p.timing.Fresh)
	case h.birth != (topics.Session{}) && h.heard.IsZero() && now.Sub(p.began) < p.timing.Grace:
		return Unknown, p.began.Add(p.timing.Grace)
	}
	return Offline, time.Time{}
}

// LastSeen lists when hosts were last heard of, in Unix milliseconds.
func (p *Presence) LastSeen() map[topics.HostID]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[topics.HostID]int64{}
	for id, h := range p.hosts {
		if !h.lastSeen.IsZero() {
			seen[id] = h.lastSeen.UnixMilli()
		}
	}
	return seen
}

// Online counts connected hosts.
func (p *Presence) Online() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, h := range p.hosts {
		if c, _ := p.connection(h); c == Online {
			n++
		}
	}
	return n
}
