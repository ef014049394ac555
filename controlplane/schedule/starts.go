package schedule

import (
	"iter"
	"time"

	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
)

// Starts yields when a schedule's future runs begin, in UTC, earliest first.
//
// A run begins its jitter's offset after its slot, so the slot of the next run may
// have passed already. Slots before Since, slots that fired and those that fall into a pause
// of the host are left out. It does
// not matter whether the schedule is enabled. It returns a *slots.Invalid for a
// schedule that cannot be parsed.
func Starts(sc store.Schedule, now time.Time) (iter.Seq[time.Time], error) {
	p, err := Of(sc)
	if err != nil {
		return nil, err
	}
	after := now.Add(-Offset(p))
	if done := time.UnixMilli(max(sc.LastSlot, sc.Since)); done.After(after) {
		after = done
	}
	return func(yield func(time.Time) bool) {
		for slot := slots.NextBut(p, after, sc.Skips); !slot.IsZero(); slot = slots.NextBut(p, slot, sc.Skips) {
			if !yield(p.Start(slot)) {
				return
			}
		}
	}, nil
}

// NextStarts returns when the next n runs of a schedule begin, or fewer if there are
// no more. The result is never nil.
func NextStarts(sc store.Schedule, now time.Time, n int) ([]time.Time, error) {
	starts := []time.Time{}
	next, err := Starts(sc, now)
	if err != nil || n <= 0 {
		return starts, err
	}
	for start := range next {
		if starts = append(starts, start); len(starts) == n {
			break
		}
	}
	return starts, nil
}

// Offset returns how long after its slot each run of a policy begins, its share of
// the jitter.
func Offset(p slots.Policy) time.Duration { return p.Start(time.Time{}).Sub(time.Time{}) }
