package web

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// an operation of each kind, as somebody may ask for it.
var anOperation = map[topics.JobKind]topics.Operation{
	topics.ForgetJob:  {Snapshots: []string{strings.Repeat("a", 64)}},
	topics.DiffJob:    {From: strings.Repeat("a", 64), To: strings.Repeat("b", 64)},
	topics.RestoreJob: {Snapshot: strings.Repeat("a", 64), Target: "/restored"},
	topics.FindJob:    {Pattern: "*.txt"},
	topics.CheckJob:   {Subset: "1/12"},
	topics.TagJob:     {Snapshots: []string{strings.Repeat("a", 64)}, Add: []string{"kept"}},
	topics.RewriteJob: {Snapshots: []string{strings.Repeat("a", 64)}, Exclude: []string{"*.iso"}},
	topics.RepairJob:  {What: topics.RepairIndex},
}

// kept is a repository with a keeper, an everyday and a maintenance credential.
func (w *world) kept(group store.SourceGroup, keeper topics.HostID) store.Repository {
	w.t.Helper()
	ctx := w.t.Context()
	r := must(w.store.Repository(ctx, group.Repository))
	r.Keeper, r.AppendOnly = keeper, true
	if err := w.store.ChangeRepository(ctx, "test", r, store.RepositoryAccess{URL: "rest:http://attic:everyday-canary@nas:8000/attic",
		Password: "secret of the vault",
		Maintenance: &store.Maintenance{URL: "rest:http://nas:8001/attic", Env: map[string]topics.Secret{
			"RESTIC_REST_USERNAME": "keeper",
			"RESTIC_REST_PASSWORD": "maintenance-canary",
		}}}); err != nil {
		w.t.Fatal(err)
	}
	return must(w.store.Repository(ctx, r.ID))
}

// What may delete reaches the keeper, and it only for maintenance.
func TestTheMaintenanceCredentialReachesNobodyButTheKeeper(t *testing.T) {
	w := newWorld(t)
	attic, nas := w.enrol("attic"), w.enrol("nas")
	attic.name, nas.name = "attic", "nas"
	group := attic.group("letters")
	r := w.kept(group, nas.id)
	for _, a := range []*agent{attic, nas} {
		a.can, a.restic = []topics.Ability{topics.RemakesSnapshots, topics.CopiesSnapshots}, "0.17.0"
	}
	copies := map[*agent]string{attic: string(attic.group("copies").Repository), nas: string(nas.group("copies").Repository)}
	attic.connect()
	nas.connect()
	for _, a := range []*agent{attic, nas} {
		for _, kind := range topics.Kinds {
			operation := anOperation[kind]
			if kind == topics.CopyJob {
				operation.To = copies[a]
			}
			var j store.Job
			var err error
			if kind == topics.BackupJob {
				if a == nas {
					continue // it has no source group
				}
				j, _, err = w.engine.AskBackup(t.Context(), "test", a.id, group.Name)
			} else {
				j, _, err = w.engine.Ask(t.Context(), "test", a.id, kind, r.ID, operation)
			}
			if a == attic && jobs.Maintains(kind) {
				if no := (*jobs.NotKeeperError)(nil); !errors.As(err, &no) || no.Keeper != nas.id {
					t.Errorf("%s on the endpoint: %v, want a refusal that names the keeper", kind, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s on %s: %v", kind, a.name, err)
			}
			run := a.told(j.ID)
			may := run.Repository.Env["RESTIC_REST_PASSWORD"] == "maintenance-canary" && run.Repository.URL == "rest:http://nas:8001/attic"
			everyday := []topics.JobKind{topics.BackupJob, topics.RestoreJob, topics.InitJob, topics.DrillJob, topics.CopyJob}
			looks := !slices.Contains(everyday, kind) // at the one address a keeper knows
			if want := a == nas && (jobs.Maintains(kind) || looks); may != want {
				t.Errorf("%s on %s may delete: %t, want %t", kind, a.name, may, want)
			}
			a.ran(j.ID, topics.Finished{State: topics.Succeeded, RepositoryReady: true})
			if kind == topics.UnlockJob {
				a.looks() // what it left
			}
		}
	}
	// Nor in anything else an endpoint is ever sent, or that lies in the database.
	if s := strings.Join(attic.heard(), "\n"); strings.Contains(s, "maintenance-canary") || strings.Contains(s, "nas:8001") ||
		!strings.Contains(s, "everyday-canary") {
		t.Error("the endpoint was sent the maintenance credential")
	}
	if strings.Contains(w.log.String(), "canary") {
		t.Error("the log holds a credential")
	}
	// The keeper of another repository is nobody here, and a change of keeper counts at once.
	r.Keeper = attic.id
	if err := w.store.ChangeRepository(t.Context(), "test", r, must(w.store.RepositoryAccess(t.Context(), r.ID))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.engine.Ask(t.Context(), "test", nas.id, topics.PruneJob, r.ID, topics.Operation{}); !errors.As(err,
		new(*jobs.NotKeeperError)) {
		t.Errorf("the keeper of before: %v", err)
	}
}

// What waits for a keeper when another one is chosen is for nobody.
func TestMaintenanceIsNotSentToAKeeperOfBefore(t *testing.T) {
	w := newWorld(t)
	attic, nas := w.enrol("attic"), w.enrol("nas")
	r := w.kept(attic.group("letters"), nas.id)
	ask := func(kind topics.JobKind) topics.JobID {
		j, _, err := w.engine.Ask(t.Context(), "test", nas.id, kind, r.ID, topics.Operation{})
		if err != nil {
			t.Fatal(err)
		}
		return j.ID
	}
	waits, list := ask(topics.PruneJob), ask(topics.SnapshotsJob)
	keeper := func(id topics.HostID) {
		r.Keeper = id
		if err := w.store.ChangeRepository(t.Context(), "anna", r, must(w.store.RepositoryAccess(t.Context(), r.ID))); err != nil {
			t.Fatal(err)
		}
	}
	keeper(attic.id)
	if j := must(w.store.Job(t.Context(), waits)); j.State != topics.Cancelled || j.CancelledBy != "anna" ||
		!strings.Contains(j.Message, "chose another keeper") {
		t.Errorf("what waited is %s by %q: %s", j.State, j.CancelledBy, j.Message)
	}
	// A listing is any host's that has the repository. This one has it no more, which a tick
	// may have noticed by now.
	if j := must(w.store.Job(t.Context(), list)); j.State != topics.Queued && j.Cause != topics.CauseNotOwn {
		t.Errorf("a listing of a host that was the keeper is %s: %s", j.State, j.Message)
	}
	keeper(nas.id)
	nas.connect()
	nas.ran(ask(topics.SnapshotsJob), topics.Finished{State: topics.Succeeded})
	sent := ask(topics.CheckJob)
	await(t, "the check to be sent", func() error {
		if j := must(w.store.Job(context.Background(), sent)); j.State != topics.Dispatched {
			return fmt.Errorf("it is %s", j.State)
		}
		return nil
	})
	keeper(attic.id)
	if j := must(w.store.Job(t.Context(), sent)); !j.CancelAsked || j.State != topics.Dispatched {
		t.Errorf("what was sent, and not begun, is %s; cancel asked: %t", j.State, j.CancelAsked)
	}
}

// asked awaits an open job of a kind on a host.
func (a *agent) asked(kind topics.JobKind) store.Job {
	a.w.t.Helper()
	var found store.Job
	await(a.w.t, fmt.Sprintf("%s to be asked of %s", kind, a.name), func() error {
		for _, j := range must(a.w.store.OpenJobs(context.Background(), a.id)) {
			if j.Kind == kind {
				found = j
				return nil
			}
		}
		return errors.New("it is not")
	})
	return found
}

// leftLock has the agent die in the middle of a backup, and answers with the lock
// it leaves.
func (a *agent) leftLock(w *world) topics.Lock {
	id := w.backup(a)
	a.start(id)
	lock := topics.Lock{ID: strings.Repeat("c", 64), Time: time.Now().UnixMilli(), Host: a.name, User: "root", PID: 4121}
	a.connect() // and its hello knows of no job
	w.awaitState(id, topics.Interrupted)
	return lock
}

func TestALockThatIsOursAndDeadGivesWayToAnExclusiveJob(t *testing.T) {
	w := newWorld(t)
	attic, nas := w.enrol("attic"), w.enrol("nas")
	attic.name, nas.name = "attic", "nas"
	r := w.kept(attic.group("letters"), nas.id)
	attic.connect()
	nas.connect()
	lock := attic.leftLock(w)

	check, _, err := w.engine.Ask(t.Context(), "test", nas.id, topics.CheckJob, r.ID, topics.Operation{})
	if err != nil {
		t.Fatal(err)
	}
	nas.looks(lock) // it cannot say whether the process of another host lives
	dead := false
	lock.Alive = &dead
	attic.looks(lock)
	unlock := attic.asked(topics.UnlockJob)
	if unlock.RequestedBy != store.Plane || unlock.Operation.V.All {
		t.Errorf("asked for %+v by %s", unlock.Operation.V, unlock.RequestedBy)
	}
	if j := must(w.store.Job(t.Context(), check.ID)); j.State != topics.Queued {
		t.Errorf("the check is %s before the lock is removed", j.State)
	}
	attic.ran(unlock.ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Unlocked: 1}})
	attic.looks()
	nas.ran(check.ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Check: &topics.Checked{}}})
	if holders := must(jobs.Holders(t.Context(), w.store, r.ID)); len(holders) != 0 {
		t.Errorf("still locked: %+v", holders)
	}
}

func TestALockThatMayBeAliveIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	attic, nas := w.enrol("attic"), w.enrol("nas")
	attic.name, nas.name = "attic", "nas"
	r := w.kept(attic.group("letters"), nas.id)
	attic.connect()
	nas.connect()
	lock := attic.leftLock(w)
	stranger := topics.Lock{ID: strings.Repeat("d", 64), Time: lock.Time, Host: "somebodys-laptop", PID: 7}
	check, _, err := w.engine.Ask(t.Context(), "test", nas.id, topics.CheckJob, r.ID, topics.Operation{})
	if err != nil {
		t.Fatal(err)
	}
	nas.looks(lock, stranger)
	seen, dead := lock, false
	seen.Alive = &dead
	attic.looks(seen, stranger)
	// One is dead, the other is nobody's we know: the check meets it, and fails.
	nas.ran(check.ID, topics.Finished{State: topics.Failed, Cause: topics.CauseLocked, Message: "locked"})
	nas.looks(lock, stranger)
	var kinds []topics.JobKind
	for _, j := range must(w.store.JobsSince(t.Context(), r.ID, 0)) {
		kinds = append(kinds, j.Kind)
	}
	if slices.Contains(kinds, topics.UnlockJob) {
		t.Errorf("a stranger's lock was removed: %v", kinds)
	}
	holders := must(jobs.Holders(t.Context(), w.store, r.ID))
	if len(holders) != 2 || holders[0].Verdict != jobs.Dead || holders[1].Verdict != jobs.Foreign {
		t.Errorf("the verdicts: %+v", holders)
	}
	if open := must(w.store.OpenJobs(t.Context(), "")); len(open) != 0 {
		t.Errorf("it goes on looking: %+v", open)
	}
}
