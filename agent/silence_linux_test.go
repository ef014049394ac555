package agent

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// TestAJobThatDoesNothingIsEndedAndTheNextOneRuns also sees that heartbeats tell of it
// before, and that the lock it may have left is removed.
func TestAJobThatDoesNothingIsEndedAndTheNextOneRuns(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.patience = 6 * time.Second // an honest restic, too, does nothing while it waits for the processor
	w.enroll()
	w.run()
	w.write("restic.sh.silent", "")
	id := w.order(w.backup())
	w.seen("a heartbeat that tells of it", func() bool {
		return slices.ContainsFunc(w.quiet, func(q topics.Silence) bool { return q.Job == id && q.Seconds > 0 && q.Limit == 6 })
	})
	end := w.awaitEnd(id)
	if end.State != topics.Failed || end.Cause != topics.CauseStalled || !strings.Contains(end.Message, "did nothing for ") {
		t.Errorf("it ended %s, %s: %s", end.State, end.Cause, end.Message)
	}
	await(t, "its processes to be gone", func() error { return left(id) })
	if !slices.Contains(w.ledger(), "unlock") {
		t.Errorf("no lock was removed: restic was asked for %v", w.ledger())
	}
	if err := os.Remove(w.program + ".silent"); err != nil {
		t.Fatal(err)
	}
	if end = w.awaitEnd(w.order(w.backup())); end.State != topics.Succeeded {
		t.Errorf("the next one ended %s: %s", end.State, end.Message)
	}
}
