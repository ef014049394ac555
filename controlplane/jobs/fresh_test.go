package jobs

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestARestoreWithoutATargetGetsADirectoryOfItsOwn(t *testing.T) {
	w := newWorld(t)
	groups, err := w.store.SourceGroups(t.Context(), w.host.ID)
	if err != nil || len(groups) == 0 {
		t.Fatal(groups, err)
	}
	admin := Actor{Name: "anna", Role: store.Admin}
	ask := func(o topics.Operation) (store.Job, bool) {
		t.Helper()
		j, fresh, err := w.engine.Start(t.Context(), admin, Request{Host: w.host.ID, Kind: topics.RestoreJob, Repository: groups[0].Repository,
			Operation: o})
		if err != nil {
			t.Fatal(err)
		}
		return j, fresh
	}
	id := strings.Repeat("a", 64)
	first, fresh := ask(topics.Operation{Snapshot: id})
	if o := first.Operation.V; !fresh || !o.Fresh ||
		!strings.HasPrefix(o.Target, "/var/lib/restic-manager-agent/restored/"+w.host.Name+"-aaaaaaaa-") {
		t.Errorf("the first: %+v", o)
	}
	if again, fresh := ask(topics.Operation{Snapshot: id}); fresh || again.ID != first.ID { // a double click
		t.Errorf("the same, while it waits: %+v", again.Operation.V)
	}
	other, fresh := ask(topics.Operation{Snapshot: id, Paths: []string{"/home"}})
	if !fresh || other.Operation.V.Target == first.Operation.V.Target {
		t.Errorf("another: %+v", other.Operation.V)
	}
	if named, _ := ask(topics.Operation{Snapshot: id, Target: "/back", Fresh: true}); named.Operation.V.Fresh {
		t.Errorf("a named one says that it is not: %+v", named.Operation.V)
	}
	if err := w.engine.Cancel(t.Context(), "anna", first.ID); err != nil {
		t.Fatal(err)
	}
	second, fresh, err := w.engine.RunAgain(t.Context(), admin, first.ID, false)
	if err != nil || !fresh || second.Operation.V.Target == first.Operation.V.Target || !second.Operation.V.Fresh {
		t.Errorf("once more, into another: %+v, %v", second.Operation.V, err)
	}
	named, _ := ask(topics.Operation{Snapshot: id, Target: "/back", DryRun: true})
	if err := w.engine.Cancel(t.Context(), "anna", named.ID); err != nil {
		t.Fatal(err)
	}
	elsewhere, _, err := w.engine.RunAgain(t.Context(), admin, named.ID, true)
	if err != nil || !elsewhere.Operation.V.Fresh || !elsewhere.Operation.V.DryRun {
		t.Errorf("the button: %+v, %v", elsewhere.Operation.V, err)
	}
}

func TestATargetThatHoldsFilesIsNoMatterOfPolicy(t *testing.T) {
	for _, c := range []struct {
		cause   topics.Cause
		message string
		taken   bool
	}{
		{topics.CausePolicy, `"/back" is not empty, and this host's policy backup lets no restore write over files that are there.`, true},
		{topics.CausePolicy, `"/back" is not empty, and who asked for this may not write over files that are there.`, true},
		{topics.CauseUsage, "3 files would be overwritten at the target, the first is /a: restic 0.14.0 cannot leave them alone.", true},
		{topics.CausePolicy, "This host's policy backup lets restores write below /back only, and \"/x\" is not there.", false},
		{topics.CauseUsage, "the snapshot holds no /home/anna", false},
	} {
		e := ExplainJob(store.Job{Kind: topics.RestoreJob, State: topics.Failed, Cause: c.cause, Message: c.message})
		if offered := e.Remedies[0].Cure == CureElsewhere; offered != c.taken {
			t.Errorf("%q: %+v", c.message, e)
		}
	}
}

// What the first sample did not take may be what is broken.
func TestADrillThatRunsAgainDrawsAnotherSample(t *testing.T) {
	w := newWorld(t)
	j := store.Job{Host: w.host.ID, Kind: topics.DrillJob, Repository: "vault-0001"}
	j.Operation.V = &topics.Operation{Drill: &topics.Drill{Seed: 7, Files: 3, Bytes: 4}}
	r, _ := w.engine.Again(t.Context(), Actor{"anna", store.Admin}, j, false)
	d := Drawn(r.Operation.Drill)
	if d.Seed == 7 || d.Files != 3 || d.Bytes != 4 || j.Operation.V.Drill.Seed != 7 {
		t.Errorf("it is asked for %+v, and the first had %+v", d, j.Operation.V.Drill)
	}
}
