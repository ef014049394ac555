// Package succession decides which identity of the control plane a host is to use while
// one follows another. An identity is a CA and a sealing key, and has a generation.
//
// For the time of a plan both are accepted. Each host is told the next one over the
// channel it trusts, gets a certificate of it, and has moved once it has shown that.
// When the plan ends, the identity that is left is accepted no more. A plan that was
// called off leads back the same way.
//
// The package knows no key, no clock and no database.
package succession

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Overlap is how long both identities are accepted unless somebody says otherwise:
// a machine that is away for a month's holiday comes back in time.
const Overlap = 30 * 24 * time.Hour

// Bounds of how long a plan may last from now.
const (
	Shortest = time.Hour
	Longest  = 366 * 24 * time.Hour
)

// A Generation numbers identities; 0 is the first. None is used twice.
type Generation = int64

// A Plan is one identity following another.
type Plan struct {
	From  Generation `json:"from"`
	To    Generation `json:"to"`
	Began int64      `json:"began"`          // Unix milliseconds, as Until
	Until int64      `json:"until"`          // when the one that is left is accepted no more
	Back  bool       `json:"back,omitempty"` // called off: who has moved is to come back
}

// Errors of what is asked of a plan.
var (
	ErrUnderWay = errors.New("the identity is being changed already")
	ErrNone     = errors.New("the identity is not being changed")
	ErrTurned   = errors.New("the change of the identity goes that way already")
	ErrTime     = errors.New("both identities are accepted for an hour at least and a year at most")
)

// Begin is the plan that starts now. Last is the highest generation there ever was.
func Begin(current, last Generation, now time.Time, overlap time.Duration) (Plan, error) {
	if overlap < Shortest || overlap > Longest {
		return Plan{}, ErrTime
	}
	return Plan{From: current, To: last + 1, Began: now.UnixMilli(), Until: now.Add(overlap).UnixMilli()}, nil
}

// Target is the identity that stays, and Leaves the one that ends.
func (p Plan) Target() Generation {
	if p.Back {
		return p.From
	}
	return p.To
}

// Leaves is the identity that ends with the plan.
func (p Plan) Leaves() Generation {
	if p.Back {
		return p.To
	}
	return p.From
}

// Serves is the identity that the control plane itself shows. It is the earlier one to
// the end: hosts that have moved know it as well, and no other host knows the later one.
func (p Plan) Serves() Generation { return p.From }

// Over reports whether the plan has ended.
func (p Plan) Over(now time.Time) bool { return now.UnixMilli() >= p.Until }

// Signs is the identity that gives a host its next certificate. A host that did not ask
// for the one that stays would not know what to do with it.
func (p Plan) Signs(uses Generation, asksForTarget bool) Generation {
	if asksForTarget || uses != p.Leaves() {
		return p.Target()
	}
	return uses
}

// PutOff has the plan end at another time.
func (p Plan) PutOff(until, now time.Time) (Plan, error) {
	if left := until.Sub(now); left < Shortest || left > Longest {
		return p, ErrTime
	}
	p.Until = until.UnixMilli()
	return p, nil
}

// CallOff has the identity before stay, or the next one after all.
func (p Plan) CallOff() Plan {
	p.Back = !p.Back
	return p
}

// A Host is what counts of one.
type Host struct {
	ID, Name, Agent string
	Generation      Generation
	Online          bool
}

// A Progress is how many hosts use the identity that stays, and which do not, those
// that are connected first: what keeps them is not that they are away.
type Progress struct {
	Moved, All int
	Left       []Host
}

// Progress counts hosts.
func (p Plan) Progress(hosts []Host) Progress {
	r := Progress{All: len(hosts)}
	for _, h := range hosts {
		if h.Generation == p.Target() {
			r.Moved++
		} else {
			r.Left = append(r.Left, h)
		}
	}
	slices.SortFunc(r.Left, func(a, b Host) int {
		if a.Online != b.Online {
			if a.Online {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return r
}
