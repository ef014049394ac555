package fleet

import (
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAHostIsShownByTheJobThatHasBeenAtWorkTheLongest, with how many more there are.
func TestAHostIsShownByTheJobThatHasBeenAtWorkTheLongest(t *testing.T) {
	job := func(id topics.JobID, state topics.JobState, started int64) store.Job {
		return store.Job{ID: id, State: state, StartedAt: started}
	}
	for name, c := range map[string]struct {
		open   []store.Job // by when they were asked for
		busy   topics.JobID
		beside int
	}{
		"nothing":                 {nil, "", 0},
		"one waits":               {[]store.Job{job("a", topics.Queued, 0), job("b", topics.Queued, 0)}, "a", 0},
		"one was sent, one waits": {[]store.Job{job("a", topics.Queued, 0), job("b", topics.Dispatched, 0)}, "b", 0},
		"one runs, one was sent":  {[]store.Job{job("a", topics.Dispatched, 0), job("b", topics.Running, 9)}, "b", 0},
		"the second began first":  {[]store.Job{job("a", topics.Running, 8), job("b", topics.Running, 7)}, "b", 1},
		"three run and one waits": {[]store.Job{job("w", topics.Queued, 0), job("a", topics.Running, 3), job("b", topics.Running, 4),
			job("c", topics.Running, 5)}, "a", 2},
		"those of a moment, in order":   {[]store.Job{job("a", topics.Running, 3), job("b", topics.Running, 3)}, "a", 1},
		"a sent one is not at work yet": {[]store.Job{job("a", topics.Running, 3), job("b", topics.Dispatched, 0)}, "a", 0},
	} {
		e := Entry{Open: c.open}
		got := topics.JobID("")
		if b := e.Busy(); b != nil {
			got = b.ID
		}
		if got != c.busy || e.Beside() != c.beside {
			t.Errorf("%s: %q and %d more, want %q and %d", name, got, e.Beside(), c.busy, c.beside)
		}
	}
}
