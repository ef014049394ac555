package jobs

import (
	"crypto/sha256"
	"testing"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatAReplacedMachineHasOnItsWayCountsNoMore: its keys are another's from the enrolment
// on, also for what was opened before anybody has dropped them.
func TestWhatAReplacedMachineHasOnItsWayCountsNoMore(t *testing.T) {
	w := newWorld(t)
	w.connect()
	j := w.running()
	w.print(j.ID, "one")
	w.await("the line", func() bool { return w.job(j.ID).Lines == 1 })

	ctx := t.Context()
	hash := sha256.Sum256([]byte("another"))
	if _, err := w.store.BeginReplacement(ctx, "anna", "replacement-1", w.host.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.store.AddEnrollToken(ctx, store.EnrollToken{ID: "token-0002", KeyHash: hash[:], ForHost: w.host.ID, CreatedBy: "anna",
		ExpiresAt: w.store.Now() + 60_000}); err != nil {
		t.Fatal(err)
	}
	refused := func() uint64 { return must(w.store.Host(ctx, w.host.ID)).Refused }
	before := refused()
	must(w.store.Enroll(ctx, hash[:], store.Host{ID: w.host.ID, SealKey: must(seal.NewKey()).Public(), Serial: "2", Hostname: "attic-2"}))
	// The engine still has the keys of before.
	w.print(j.ID, "two")
	slot := topics.Slot{Schedule: "nightly-0001", At: 60_000}
	w.step(protocol.Ended{Job: j.ID, End: topics.Finished{State: topics.Succeeded}})
	w.publish(topics.KindEvent, "", topics.Encode(topics.Events{Epoch: w.session.Epoch, First: w.agent.LastPlace.Seq + 1,
		Events: []topics.Event{{At: 60_000, Fired: &topics.Fired{Job: "fired-00001", Group: w.group.ID, Repository: w.group.Repository,
			Slot: slot}}}}), true)
	w.await("what came since to be refused and counted", func() bool { return refused() >= before+3 })
	if j = w.job(j.ID); j.State != topics.Interrupted || j.Cause != topics.CauseReplaced || j.Lines != 1 {
		t.Errorf("the job in its hands is %s of %q with %d lines", j.State, j.Cause, j.Lines)
	}
	if _, err := w.store.Job(ctx, "fired-00001"); err == nil {
		t.Error("what it began since is known")
	}
	if err := w.engine.Expel(ctx, w.host.ID); err != nil {
		t.Fatal(err)
	}
	w.publish(topics.KindHeartbeat, "", topics.Encode(topics.Heartbeat{Stamp: w.stamp()}), true)
	w.await("what its keys do not open to be refused", func() bool { return refused() >= before+4 })
}
