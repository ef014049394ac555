package process

import "time"

// Usage is what a program and its children have done since it was started, as far as
// the system tells. Every number only rises: what a child did counts after its end.
type Usage struct {
	CPU     time.Duration // user and system time of all of them
	Read    uint64        // bytes, of files and sockets
	Written uint64        // bytes to files and sockets, without what came to us through its output
	Reads   uint64        // calls that read
	Known   bool          // the system told of all of them; false says nothing about whether they work
}

// Sub is what was done between an earlier usage and this one.
func (u Usage) Sub(o Usage) Usage {
	return Usage{CPU: max(0, u.CPU-o.CPU), Read: less(u.Read, o.Read), Written: less(u.Written, o.Written), Reads: less(u.Reads, o.Reads),
		Known: u.Known && o.Known}
}

// less is a - b, or 0 if that would be below.
func less(a, b uint64) uint64 { return a - min(a, b) }

// watch calls x.Used with the usage of a group, now and again, until stop is closed.
// carried says how much of what was written came to us.
func watch(g group, x Spec, carried func() uint64, stop <-chan struct{}) {
	m := meter{group: g}
	tick := time.NewTicker(x.Every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		u := m.usage()
		u.Written = less(u.Written, carried())
		x.Used(u)
	}
}
