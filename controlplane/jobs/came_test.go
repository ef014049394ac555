package jobs

import (
	"testing"

	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

// TestWhoIsToldOfAHelloFindsItsEndingsCommitted: what is owed is drained then,
// and must not meet a job that the hello has just ended.
func TestWhoIsToldOfAHelloFindsItsEndingsCommitted(t *testing.T) {
	w := newWorld(t)
	job := topics.JobID("")
	found := make(chan topics.JobState, 8)
	w.engine.Came = func(h topics.HostID) {
		if h == w.host.ID && job != "" {
			found <- w.job(job).State
		}
	}
	w.connect()
	j := w.running()
	job = j.ID
	w.agent = protocoltest.NewAgent(2000) // it lost its disk, and with it the job
	w.connect()
	if state := <-found; state != topics.Interrupted {
		t.Errorf("the job is %s then", state)
	}
}
