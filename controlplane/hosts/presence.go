// Package hosts tracks which hosts are connected and how well each is protected.
// These are independent: a sleeping laptop with a good backup of this morning is
// fine.
package hosts

import (
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/twins"
	"github.com/restic-manager/restic-manager/topics"
)

// Connection is whether a host's agent can be reached.
type Connection string

// The states of a connection. It is Unknown for a while after the control plane
// started, until agents have had time to reconnect.
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

	moved Bell // rings for hosts whose connection changed because of a message

	mu    sync.Mutex
	hosts map[topics.HostID]*presence
	held  map[topics.HostID]bool // nothing is sent to them
}

type presence struct {
	birth, death, hello topics.Session
	heard               time.Time // in the session of birth
	counter             uint64    // of the last unspooled message in it
	lastSeen            time.Time
	back                time.Time     // when it was heard of again after having been silent for a while
	clock               time.Duration // how far the host's clock is ahead of ours

	before  topics.Session // the one that birth followed here
	passed  uint64         // what counter was in it
	refused uint64         // how many messages the agent has refused in the session of birth
	counted bool           // refused counts from the session's beginning

	permits string // the digest of what the agent permits, as it said last

	room *topics.Disk // as the agent said last; nil is not known
	disk Disk         // what is wrong with it
	held time.Time    // nothing of it is received before then: so much was stored of it

	lanes map[int64]*presence // the machines that use the host's identity at once, by epoch; nil is the usual one
}

// NewPresence starts from the hosts as they are in the database.
func NewPresence(t Timing, now func() time.Time, rows []store.Host) *Presence {
	p := &Presence{timing: t, now: now, began: now(), hosts: map[topics.HostID]*presence{}}
	for _, h := range rows {
		p.hosts[h.ID] = &presence{birth: h.Birth(), death: h.Death(), hello: h.Hello(), lastSeen: time.UnixMilli(h.LastSeen),
			back: time.UnixMilli(h.BackAt)}
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

// in returns what is known of the machine that has a session: the host itself, or one
// of several.
func (p *Presence) in(id topics.HostID, s topics.Session) *presence {
	h := p.of(id)
	if h.lanes == nil {
		return h
	}
	l := h.lanes[s.Epoch]
	if l == nil {
		l = &presence{}
		h.lanes[s.Epoch] = l
	}
	return l
}

// Divide has each machine that uses a host's identity be followed by itself, from the
// sessions that are known; none of them is reachable. Dividing again changes nothing.
func (p *Presence) Divide(id topics.HostID, lanes []twins.Lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	if h.lanes != nil {
		return
	}
	was := *h
	h.lanes = map[int64]*presence{}
	for _, l := range lanes {
		if l.RefusedAt == 0 && l.Epoch == was.birth.Epoch {
			h.lanes[l.Epoch] = &was // the one that was welcomed last
		} else if l.RefusedAt == 0 {
			at := func(n uint64) topics.Session {
				if n == 0 { // there was none
					return topics.Session{}
				}
				return topics.Session{Epoch: l.Epoch, N: n}
			}
			h.lanes[l.Epoch] = &presence{birth: at(l.BirthN), death: at(l.DeathN), hello: at(l.HelloN), lastSeen: time.UnixMilli(l.HeardAt)}
		}
	}
	p.moved.Ring(id)
}

// Unite makes the machine with this epoch the host again.
func (p *Presence) Unite(id topics.HostID, epoch int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	if h.lanes == nil {
		return
	}
	stays := h.lanes[epoch]
	if stays == nil {
		stays = &presence{}
	}
	stays.back = h.back
	p.hosts[id] = stays
	p.moved.Ring(id)
}

// Divided reports whether several machines use a host's identity.
func (p *Presence) Divided(id topics.HostID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(id).lanes != nil
}

// Machine returns the newest session of one of several machines, by its epoch, and
// whether it has ended.
func (p *Presence) Machine(id topics.HostID, epoch int64) (s topics.Session, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id).lanes[epoch]
	if h == nil {
		return topics.Session{}, false
	}
	return h.birth, h.birth != (topics.Session{}) && !h.birth.After(h.death)
}

// Highest returns the highest session of a host that was heard, whichever machine's.
func (p *Presence) Highest(id topics.HostID) topics.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	high := h.birth
	for _, l := range h.lanes {
		if l.birth.After(high) {
			high = l.birth
		}
	}
	return high
}

// MachineConnection is Connection for one of several machines.
func (p *Presence) MachineConnection(id topics.HostID, epoch int64) (Connection, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.of(id).lanes[epoch]
	if l == nil {
		return Offline, time.Time{}
	}
	c, _ := p.connection(l)
	return c, l.lastSeen
}

// Born records an authenticated birth. It returns false for a birth that is not
// news: of an older session, or of one that has ended.
func (p *Presence) Born(id topics.HostID, s topics.Session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.in(id, s)
	if !s.After(h.birth) {
		return s == h.birth && !h.death.After(s) && h.death != s
	}
	h.before, h.passed, h.refused, h.counted = h.birth, h.counter, 0, true
	h.permits = ""
	h.birth, h.counter, h.heard = s, 0, time.Time{}
	p.moved.Ring(id)
	return true
}

// Died records an authenticated death. It reports whether the session is the
// current one.
func (p *Presence) Died(id topics.HostID, s topics.Session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.in(id, s)
	if s.After(h.death) {
		h.death = s
		p.moved.Ring(id)
	}
	return s == h.birth
}

// Heard records the stamp of an unspooled message. It returns false for a replay: a
// message of another session, or one whose number is not above the last.
func (p *Presence) Heard(id topics.HostID, stamp topics.Stamp) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.in(id, stamp.Session)
	if stamp.Session != h.birth || stamp.N <= h.counter {
		return false
	}
	was, _ := p.connection(h)
	now, before := p.now(), h.heard
	h.counter, h.heard = stamp.N, now
	h.seen(now)
	if whole := p.of(id); whole != h {
		whole.seen(now)
	}
	if was != Online || now.Before(before) { // a clock that was set back: it is online for less long than was said
		p.moved.Ring(id)
	}
	return true
}

// seen notes that the host is there.
func (h *presence) seen(now time.Time) {
	if now.Sub(h.lastSeen) > store.Silence {
		h.back = now
	}
	h.lastSeen = now
}

// Late reports whether a message belongs to the previous session and was not heard
// before. That happens because the old and the new connection are read side by side.
func (p *Presence) Late(id topics.HostID, stamp topics.Stamp) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.in(id, stamp.Session)
	if stamp.Session != h.before || stamp.N <= h.passed {
		return false
	}
	h.passed = stamp.N
	return true
}

// RefusedThere takes the number of messages the agent has refused in its session,
// and returns how many of them were not reported before.
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

// Clock records how far a host's clock is ahead of ours.
func (p *Presence) Clock(id topics.HostID, ahead time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of(id).clock = ahead
}

// Ahead returns how far a connected host's clock is ahead of ours, as it said last; 0 if it
// is not connected, or has not said yet.
func (p *Presence) Ahead(id topics.HostID) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	if c, _ := p.connection(h); c != Online {
		return 0
	}
	return h.clock
}

// Began is when hosts began to be heard.
func (p *Presence) Began() time.Time { return p.began }

// Greeted records that a session's hello was authenticated and committed, so that
// commands may be sent to it.
func (p *Presence) Greeted(id topics.HostID, s topics.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.in(id, s)
	h.hello = s
	if s == h.birth {
		h.heard = p.now()
		h.seen(h.heard)
		p.moved.Ring(id)
	}
}

// Permits records the digest of what a host permits now, "" if it does not say.
func (p *Presence) Permits(id topics.HostID, digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of(id).permits = digest
}

// Permit returns what a host permits, if it is certain that what is stored of it is so at
// this moment: the host is connected, tells every change, and all that it told was stored.
// Else it is nil. Then nothing should be refused by it: the host decides.
func (p *Presence) Permit(h store.Host) *topics.Permits {
	if p == nil { // on the command line nobody knows who is connected
		return nil
	}
	if !p.Reachable(h.ID) || h.Permits.V == nil || h.Permits.V.Digest == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of(h.ID).permits != h.Permits.V.Digest {
		return nil
	}
	return h.Permits.V
}

// Session returns the host's current session, which messages to it name.
func (p *Presence) Session(id topics.HostID) topics.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(id).birth
}

// Hold says to which hosts nothing is sent, all of them: since the control plane was
// restored from a copy, nobody has confirmed that they are trusted still.
func (p *Presence) Hold(hosts map[topics.HostID]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.held {
		if !hosts[id] {
			p.moved.Ring(id)
		}
	}
	for id := range hosts {
		if !p.held[id] {
			p.moved.Ring(id)
		}
	}
	p.held = hosts
}

// Unconfirmed reports whether nothing is sent to a host for that reason.
func (p *Presence) Unconfirmed(id topics.HostID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[id]
}

// Reachable reports whether commands may go to the host: it is online, this session's
// hello is committed, and it is not held.
func (p *Presence) Reachable(id topics.HostID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	c, _ := p.connection(h)
	return c == Online && h.hello == h.birth && h.lanes == nil && !p.held[id]
}

// Connection returns whether the host is connected, and when it was last heard of
// (the zero time: never).
func (p *Presence) Connection(id topics.HostID) (Connection, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	c, _ := p.connection(h)
	return c, h.lastSeen
}

// A Look is what is known of a host's connection at one moment.
type Look struct {
	Connection Connection
	Until      time.Time // when it may change without any message; the zero time is never
	Seen       time.Time // when the host was last heard of
	Back       time.Time // when it was last heard of again after some minutes of silence
	Disk       Disk      // what is wrong with its disk, while it is connected
	Never      bool      // it was not here yet since it was enrolled: whether its agent runs, nobody knows
}

// Look returns what is known of a host's connection now.
func (p *Presence) Look(id topics.HostID) Look {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[id]
	if h == nil {
		h = &presence{}
	}
	c, until := p.connection(h)
	look := Look{Connection: c, Until: until, Seen: h.lastSeen, Back: h.back, Never: c != Online && h.never()}
	if c == Online {
		look.Disk = h.disk
	}
	return look
}

// Watch starts collecting the hosts whose connection changed because of a message.
// Changes by the passing of time are not announced: see Look.
func (p *Presence) Watch() *Watch { return p.moved.Watch() }

func (p *Presence) connection(h *presence) (c Connection, until time.Time) {
	if h.lanes != nil { // as the one that is connected
		c = Offline
		for _, l := range h.lanes {
			switch lc, at := p.connection(l); {
			case lc == Online && (c != Online || at.After(until)), lc == Unknown && c == Offline:
				c, until = lc, at
			}
		}
		return c, until
	}
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

// never reports whether nothing was heard of a host but, at most, the birth of a session that
// is about to begin.
func (h *presence) never() bool {
	dawning := h.counted && h.birth.After(h.death) && h.heard.IsZero()
	return h.lanes == nil && h.lastSeen.UnixMilli() <= 0 && (h.birth == (topics.Session{}) || dawning)
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
