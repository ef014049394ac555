// Package pauses is when a host's schedules are paused: a column of its row. A pause is a
// span with an end, so that the clock alone ends it, here and at the agent. Those that are
// over are kept for a while, because slots that fell into them are neither missed nor
// caught up with.
package pauses

import (
	"github.com/restic-manager/restic-manager/slots"
)

// Kept is how many pauses of a host are kept. What fell into an older one counts as missed.
const Kept = 32

// A Pause is a time in which none of a host's schedules begins anything, in Unix
// milliseconds: from From until before Until.
type Pause struct {
	From  int64  `json:"from"`
	Until int64  `json:"until"` // or when it was ended by hand
	By    string `json:"by"`    // who asked for it last: "anna", "mqtt:home"
}

// A List is the pauses of a host, the oldest first, which do not overlap.
type List []Pause

// At returns the pause that a moment lies in.
func (l List) At(now int64) (Pause, bool) {
	for _, p := range l {
		if p.From <= now && now < p.Until {
			return p, true
		}
	}
	return Pause{}, false
}

// Later is the moment at which a limit that counts from another is over: while the host is
// paused it does not run down.
func (l List) Later(base, limit int64) int64 {
	over := base + limit
	for _, p := range l {
		if from := max(p.From, base); from < p.Until && from < over {
			over += p.Until - from
		}
	}
	return over
}

// Begin returns the list with a pause from now on. One that goes on already has another
// end, and is whoever's who asked last.
func (l List) Begin(by string, now, until int64) List {
	list := l.End(now)
	if n := len(list); n > 0 && list[n-1].Until == now {
		if _, going := l.At(now); going {
			list[n-1].Until, list[n-1].By = until, by
			return list
		}
	}
	list = append(list, Pause{From: now, Until: until, By: by})
	return list[max(0, len(list)-Kept):]
}

// End returns the list without anything paused from now on.
func (l List) End(now int64) (list List) {
	for _, p := range l {
		if p.Until = min(p.Until, now); p.From < p.Until {
			list = append(list, p)
		}
	}
	return list
}

// Spans are the pauses as schedules leave them out.
func (l List) Spans() (spans []slots.Span) {
	for _, p := range l {
		spans = append(spans, slots.Span{From: p.From, Until: p.Until})
	}
	return spans
}
