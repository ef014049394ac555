package hosts

import (
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// A Disk is what is wrong with the disk of an agent's state. The zero value is nothing.
type Disk struct {
	Full  bool   // the agent cannot write its journal, and begins nothing
	Low   bool   // it will be full before long
	Since int64  // since when it is so, by our clock, Unix milliseconds
	Error string // what the agent says of it, while it is full
}

// Disk records what a heartbeat says of the agent's disk; nil is nothing. ahead is how
// far the host's clock is ahead of ours. It reports whether something is wrong that was
// not, or the other way round.
func (p *Presence) Disk(id topics.HostID, d *topics.Disk, ahead time.Duration) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	h.room = d
	now := Disk{Full: d.Full(), Low: d.Low() && !d.Full(), Since: p.now().UnixMilli()}
	if d.Full() {
		now.Error = d.Error
		now.Since = min(now.Since, time.UnixMilli(d.Since).Add(-ahead).UnixMilli())
	}
	switch {
	case !now.Full && !now.Low:
		now = Disk{}
	case now.Full == h.disk.Full && now.Low == h.disk.Low:
		return false
	}
	if now == h.disk {
		return false
	}
	h.disk = now
	p.moved.Ring(id)
	return true
}

// Room returns how much room there is on the disk of a connected host's agent, as it said
// last, and what is wrong with that; nil is not known.
func (p *Presence) Room(id topics.HostID) (*topics.Disk, Disk) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	if c, _ := p.connection(h); c != Online {
		return nil, Disk{}
	}
	return h.room, h.disk
}

// Full reports whether a connected host begins nothing because its agent cannot write its
// journal.
func (p *Presence) Full(id topics.HostID) bool {
	_, d := p.Room(id)
	return d.Full
}

// Held records that nothing more of a host is received before a moment: as much of it was
// stored as may be within an hour.
func (p *Presence) Held(id topics.HostID, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.of(id)
	if h.held != until {
		h.held = until
		p.moved.Ring(id)
	}
}

// HeldUntil returns until when nothing more of a host is received, the zero time if it is.
func (p *Presence) HeldUntil(id topics.HostID) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.of(id); h.held.After(p.now()) {
		return h.held
	}
	return time.Time{}
}
