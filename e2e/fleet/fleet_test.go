package fleet

import (
	"path/filepath"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/chain"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestAGeneratedFleetIsOneThatTheStoreKnows(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "data")
	if err := Make(ctx, dir, Size{Hosts: 50, Days: 40}); err != nil {
		t.Fatal(err)
	}
	s := must(store.Open(ctx, dir, ""))
	t.Cleanup(func() { _ = s.Close() })
	must(s.VerifyAudit(ctx, chain.Head{}))
	last := map[topics.JobState]int{}
	laptops, offline := 0, 0
	for _, h := range must(s.Hosts(ctx)) {
		last[h.LastState]++
		if h.Intermittent {
			laptops++
		}
		if h.LastSeen < s.Now()-24*3600*1000 {
			offline++
		}
		if h.LastJob == "" {
			continue
		}
		if j := must(s.Job(ctx, h.LastJob)); j.Host != h.ID || j.State != h.LastState {
			t.Errorf("%s ended last as %s with the job %+v", h.Name, h.LastState, j)
		}
	}
	if last[topics.Failed] == 0 || last[topics.Warnings] == 0 || last[""] != 1 ||
		last[topics.Succeeded] < 40 || laptops != 5 || offline != 2 {
		t.Errorf("last jobs ended as %v, %d laptops, %d offline", last, laptops, offline)
	}
	list := must(s.JobList(ctx, store.JobFilter{}, "", 100))
	for i, j := range list {
		if _, err := topics.ParseJobID(string(j.ID)); err != nil {
			t.Error(err)
		}
		if i > 0 && list[i-1].QueuedAt < j.QueuedAt {
			t.Errorf("%s is listed before %s", list[i-1].ID, j.ID)
		}
	}
	if open := must(s.OpenJobs(ctx, "")); len(open) != 2 {
		t.Errorf("%d jobs are open", len(open))
	}
	for _, r := range must(s.Repositories(ctx)) {
		if access := must(s.RepositoryAccess(ctx, r.ID)); access.Password == "" {
			t.Errorf("%s cannot be opened", r.Name)
		}
		if tally := must(s.SnapshotTallies(ctx))[r.ID]; tally.Count < 200 {
			t.Errorf("%s holds %d snapshots", r.Name, tally.Count)
		}
	}
}
