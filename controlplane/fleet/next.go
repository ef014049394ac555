package fleet

import (
	"time"

	"github.com/restic-manager/restic-manager/slots"
)

// NextRun is when the next backup of the host's schedules begins, after a moment, in Unix
// milliseconds; 0 if none does. What would begin while the host is paused does not.
func (e *Entry) NextRun(now time.Time) (next int64) {
	paused := e.AllPauses().Spans()
	for _, g := range e.Groups {
		for _, p := range g.plans {
			late := p.Policy.Start(now).Sub(now) // its jitter
			slot := slots.NextBut(p.Policy, now.Add(-late), paused)
			if !p.Enabled || slot.IsZero() {
				continue
			}
			if at := slot.Add(late).UnixMilli(); next == 0 || at < next {
				next = at
			}
		}
	}
	return next
}
