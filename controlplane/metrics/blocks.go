package metrics

import (
	"bytes"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/topics"
)

// perBlock is how many hosts a block has, about.
const perBlock = 32

// blocks keeps what was written of hosts, some of them together: of a large fleet next to
// nothing changes between two scrapes. A host is always in the same block, so that one
// that comes or goes moves no others.
type blocks struct {
	list []block
	into [][]host // by block; kept to be filled again
}

// A block is some hosts, and what was written of them by family.
type block struct {
	hosts []host
	parts []*part
}

// update writes what changed, and returns the parts by family. Hosts come in an order
// that stays the same, whatever they are called.
func (b *blocks) update(entries []*fleet.Entry, alerts map[topics.HostID]int, now time.Time) [][]*part {
	n := 1
	for n*perBlock < len(entries) {
		n *= 2
	}
	if n != len(b.list) {
		b.list, b.into = make([]block, n), make([][]host, n)
	}
	for i := range b.into {
		b.into[i] = b.into[i][:0]
	}
	for _, e := range entries {
		if told(e) {
			at := spread(e.ID) % uint32(n)
			pause, _ := e.Paused(now.UnixMilli())
			b.into[at] = append(b.into[at], host{e, alerts[e.ID], pause.Until})
		}
	}
	out := make([][]*part, len(hostFamilies))
	l := lines{}
	for i := range b.list {
		b.list[i].write(b.into[i], &l)
		for f, p := range b.list[i].parts {
			if len(p.text) > 0 {
				out[f] = append(out[f], p)
			}
		}
	}
	return out
}

// write brings a block up to date. What reads as before stays the same part: it is
// compressed already.
func (b *block) write(list []host, l *lines) {
	if b.parts != nil && slices.Equal(b.hosts, list) {
		return
	}
	b.hosts = append(b.hosts[:0], list...)
	was := b.parts
	b.parts = make([]*part, len(hostFamilies))
	for i, f := range hostFamilies {
		l.b = l.b[:0]
		l.of(f.Family)
		for _, h := range list {
			f.put(l, h)
		}
		if was != nil && bytes.Equal(was[i].text, l.b) {
			b.parts[i] = was[i]
			continue
		}
		b.parts[i] = &part{text: bytes.Clone(l.b)}
	}
}

// spread is FNV-1a.
func spread(id topics.HostID) uint32 {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return h
}
