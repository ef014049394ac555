package outbox

import (
	"cmp"
	"slices"
	"time"
)

// A Backlog is what of the retained an outlet has still to be given.
type Backlog struct {
	Outlet   Outlet
	Followed bool // it is connected; else it gets everything when it is
	Messages int
	Oldest   time.Time // since when the oldest of them waits for this connection; the zero time if none does
}

// Backlogs lists what the outlets that are used have still to be given, by their names.
func (b *Box) Backlogs() []Backlog {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Backlog, 0, len(b.outlets))
	for name := range b.outlets {
		log, from := Backlog{Outlet: name}, (*follower)(nil)
		for f := range b.followers {
			if f.name == name && (from == nil || f.at > from.at) {
				from = f
			}
		}
		if log.Followed = from != nil; !log.Followed {
			from = &follower{}
		}
		oldest := int64(0)
		for k, one := range b.index {
			if k.outlet != Both && k.outlet != name || one.n <= from.at {
				continue
			}
			log.Messages++
			if oldest == 0 || one.at < oldest {
				oldest = one.at
			}
		}
		if log.Followed && oldest > 0 { // what is older is only said again
			log.Oldest = time.UnixMilli(max(oldest, from.began.UnixMilli()))
		}
		list = append(list, log)
	}
	slices.SortFunc(list, func(x, y Backlog) int { return cmp.Compare(x.Outlet, y.Outlet) })
	return list
}
