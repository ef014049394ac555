package gather

import (
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/topics"
)

// A backup that made no snapshot does not say that the warnings are over, and the next with
// them is not the first again.
func TestAFailureBetweenWarningsEndsNoStreak(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.backup(topics.Warnings, topics.CauseUnreadable, w.usual())
	}
	w.decided("the third", conditions.BackupWarnings)
	w.backup(topics.Failed, topics.CauseHook, nil)
	w.decided("a failure", conditions.BackupFailed, conditions.BackupWarnings)
	w.backup(topics.Warnings, topics.CauseUnreadable, w.usual())
	w.decided("the fourth", conditions.BackupWarnings)
	w.backup(topics.Failed, topics.CauseHook, nil)
	w.backup(topics.Succeeded, "", w.usual())
	w.decided("without")
}

// What failed at a place that nobody looks after any more is not told for ever.
func TestWhatFailedAtAPlaceThatIsNoMoreIsOver(t *testing.T) {
	ctx := t.Context()
	told := func(w *world) bool {
		t.Helper()
		f := must(w.Facts(ctx))
		holds, _ := conditions.Judge(f, nil, w.now)
		return slices.ContainsFunc(holds, func(f conditions.Finding) bool { return f.Condition == string(conditions.ForgetFailed) })
	}
	address := func(w *world, to string) {
		t.Helper()
		r := must(w.Store.Repository(ctx, "vault"))
		a := must(w.Store.RepositoryAccess(ctx, "vault"))
		a.URL, r.Location = topics.Secret(to), to
		if err := w.Store.ChangeRepository(ctx, "anna", r, a); err != nil {
			t.Fatal(err)
		}
	}
	for what, change := range map[string]func(w *world){
		"the address is one for all": func(w *world) { address(w, "rest:https://vault.example/") },
		"the host is retired": func(w *world) {
			must(w.Store.PutHostSettings(ctx, "anna", w.host, removal.HostSettings{Retired: new(true)}))
		},
	} {
		w := newWorld(t)
		w.backup(topics.Succeeded, "", w.usual())
		address(w, "rest:https://vault.example/{host}/")
		w.ends(store.Job{Kind: topics.ForgetJob, Operation: store.JSON[topics.Operation]{V: &topics.Operation{}}},
			topics.Finished{State: topics.Failed, Cause: topics.CausePermission})
		w.now = w.now.Add(time.Hour)
		if !told(w) {
			t.Fatalf("%s: a forget that failed is not told", what)
		}
		if change(w); told(w) {
			t.Errorf("%s, and the forget is still told", what)
		}
	}
}
