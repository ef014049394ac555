package jobs

import "github.com/restic-manager/restic-manager/topics"

// short reports whether new jobs are held because the control plane has no room for
// what they tell.
func (e *Engine) short() bool { return e.Short != nil && e.Short() }

// fitting returns the events that there is room for: all of them, or, while logs and
// reports are not taken, those before the first one of these. What comes after it has to
// wait, because a stream has no holes; without a receipt its agent keeps it and sends it
// again.
func (e *Engine) fitting(events []topics.Event) []topics.Event {
	if e.Refuses == nil || !e.Refuses() {
		return events
	}
	for i, event := range events {
		if event.Log != nil || event.Report != nil {
			return events[:i]
		}
	}
	return events
}
