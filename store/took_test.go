package store

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// TestHowLongTheLastOneTook: of the same work alone, that succeeded.
func TestHowLongTheLastOneTook(t *testing.T) {
	p := began(t)
	ctx := context.Background()
	took := func(j Job) time.Duration {
		t.Helper()
		return time.Duration(must(p.s.Job(ctx, j.ID)).LastTook) * time.Millisecond
	}
	if d := took(p.backup(topics.Succeeded, 1, 9, 9)); d != 0 {
		t.Errorf("the first knows of one that took %v", d)
	}
	if d := took(p.backup(topics.Failed, 0, 0, 0)); d != 500*time.Millisecond {
		t.Errorf("the one before took %v, want 500ms", d)
	}
	if d := took(p.backup(topics.Succeeded, 2, 9, 9)); d != 500*time.Millisecond {
		t.Errorf("after one that failed: %v, want that of the one which succeeded", d)
	}
	other := p.g
	other.ID, other.Name = "other-group", "other"
	if _, err := p.s.PutSourceGroup(ctx, "test", other); err != nil {
		t.Fatal(err)
	}
	q := *p
	q.g = other
	if d := took(q.backup(topics.Succeeded, 3, 9, 9)); d != 0 {
		t.Errorf("another group's took %v, and it is said of this one", d)
	}
}

// TestTheProcessesOfAJob are kept, up to so many.
func TestTheProcessesOfAJob(t *testing.T) {
	p := began(t)
	ctx := context.Background()
	p.tick()
	j := asked(t, p.s, p.g)
	var want []int
	for pid := 1000; pid < 1000+maxPIDs+5; pid++ {
		if err := p.s.Steps(ctx, func(tx protocol.PlaneTx) error { return tx.Ran(protocol.PlaneJob{ID: j.ID}, pid) }); err != nil {
			t.Fatal(err)
		}
		want = append(want, pid)
	}
	if got := must(p.s.Job(ctx, j.ID)).PIDs.V; got == nil || !slices.Equal(*got, want[:maxPIDs]) {
		t.Errorf("its processes are %v, want the first %d", got, maxPIDs)
	}
}
