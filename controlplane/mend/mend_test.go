package mend

import (
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func job(id topics.JobID, kind topics.JobKind, state topics.JobState, at int64, o topics.Operation, r *topics.Result) store.Job {
	return store.Job{ID: id, Kind: kind, State: state, FinishedAt: at, Operation: store.JSON[topics.Operation]{V: &o},
		Result: store.JSON[topics.Result]{V: r}}
}

func states(w Way) (all []string) {
	for _, s := range w.Steps {
		all = append(all, string(s.State))
	}
	return all
}

// TestTheWayFromDamageToWhole walks it, job by job.
func TestTheWayFromDamageToWhole(t *testing.T) {
	broken, gone := strings.Repeat("a", 64), strings.Repeat("b", 64)
	checked := func(c topics.Checked) *topics.Result { return &topics.Result{Check: &c} }
	packs := topics.Operation{What: topics.RepairPacks, Packs: []string{broken}}
	index, dry := topics.Operation{What: topics.RepairIndex}, topics.Operation{What: topics.RepairSnapshots, DryRun: true}
	mended := topics.Operation{What: topics.RepairSnapshots, Snapshots: []string{broken}}
	did := &topics.Result{Repair: &topics.Repaired{Packs: 1}}
	var list []store.Job
	want := func(whole bool, want ...string) {
		t.Helper()
		if w := Find(list); w.Whole != whole || !slices.Equal(states(w), want) {
			t.Fatalf("whole %t, %v; want %t, %v\n%+v", w.Whole, states(w), whole, want, w)
		}
	}
	add := func(j store.Job) { list = append([]store.Job{j}, list...) }
	want(false, "now")
	add(job("check-1", topics.CheckJob, topics.Running, 0, topics.Operation{ReadData: true}, nil))
	want(false, "running")
	list[0] = job("check-1", topics.CheckJob, topics.Failed, 10, topics.Operation{ReadData: true},
		checked(topics.Checked{Errors: 2, Broken: []string{broken, gone}, Missing: []string{gone}}))
	want(false, "done", "now", "later", "later", "later", "later")
	if steps := Find(list).Steps; !slices.Equal(steps[1].Ask.Packs, []string{broken}) ||
		!strings.Contains(steps[0].Found, "1 pack that is not there") {
		t.Errorf("%+v", Find(list).Steps)
	}
	add(job("packs-1", topics.RepairJob, topics.Failed, 20, packs, did))
	want(false, "done", "now", "later", "later", "later", "later")
	add(job("packs-2", topics.RepairJob, topics.Succeeded, 30, packs, did))
	want(false, "done", "done", "now", "later", "later", "later")
	add(job("dry-0", topics.RepairJob, topics.Succeeded, 35, dry, &topics.Result{Remade: &topics.Remade{Changed: 9}}))
	add(job("index-1", topics.RepairJob, topics.Succeeded, 40, index, did))
	want(false, "done", "done", "done", "now", "later", "later") // what was seen before the index was made anew says nothing
	add(job("dry-1", topics.RepairJob, topics.Succeeded, 50, dry, &topics.Result{Remade: &topics.Remade{Changed: 2, Items: 3}}))
	want(false, "done", "done", "done", "done", "now", "later")
	if s := Find(list).Steps[4]; s.DryRun != "dry-1" {
		t.Errorf("it goes by %q", s.DryRun)
	}
	add(job("mend-1", topics.RepairJob, topics.Succeeded, 60, mended, &topics.Result{Remade: &topics.Remade{Changed: 2, Items: 3}}))
	want(false, "done", "done", "done", "done", "done", "now")
	if s := Find(list).Steps[5]; !s.Ask.ReadData {
		t.Error("a smaller check is to show that it is whole")
	}
	add(job("check-quick", topics.CheckJob, topics.Succeeded, 65, topics.Operation{}, checked(topics.Checked{})))
	want(false, "done", "done", "done", "done", "done", "now") // the data was damaged, and it has not looked at that
	add(job("check-2", topics.CheckJob, topics.Succeeded, 70, topics.Operation{ReadData: true}, checked(topics.Checked{})))
	want(true, "done")
}

// TestOnlyWhatIsNeededIsAsked: an index alone, and damage that takes nothing from a snapshot.
func TestOnlyWhatIsNeededIsAsked(t *testing.T) {
	check := job("check-1", topics.CheckJob, topics.Failed, 10, topics.Operation{},
		&topics.Result{Check: &topics.Checked{Errors: 1, Suggest: []string{"repair index"}, Snapshots: []string{"a58bf196"}}})
	w := Find([]store.Job{check})
	if !slices.Equal(states(w), []string{"done", "needless", "now", "later", "later", "later"}) || len(w.Unreadable) != 1 {
		t.Errorf("%v, %+v", states(w), w)
	}
	index := job("index-1", topics.RepairJob, topics.Succeeded, 20, topics.Operation{What: topics.RepairIndex},
		&topics.Result{Repair: &topics.Repaired{}})
	dry := job("dry-1", topics.RepairJob, topics.Succeeded, 30, topics.Operation{What: topics.RepairSnapshots, DryRun: true},
		&topics.Result{Remade: &topics.Remade{}})
	if w := Find([]store.Job{dry, index, check}); !slices.Equal(states(w), []string{"done", "needless", "done", "done", "needless", "now"}) {
		t.Errorf("%v", states(w))
	}
}
