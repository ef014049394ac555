package jobs

import (
	"errors"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestEveryKindHasItsRow(t *testing.T) {
	for _, k := range topics.AllKinds {
		row, ok := kinds[k]
		if !ok || row.cancelled == "" {
			t.Errorf("%s: %+v", k, row)
		}
		if row.failed == "" && k != topics.BackupJob {
			t.Errorf("%s does not say what it means for the data that it failed", k)
		}
		if row.looks && (row.maintains || k.Exclusive()) || k.Exclusive() && !row.maintains {
			t.Errorf("%s: it looks %t, maintains %t, is alone in the repository %t", k, row.looks, row.maintains, k.Exclusive())
		}
	}
	if len(kinds) != len(topics.AllKinds) {
		t.Errorf("%d rows for %d kinds", len(kinds), len(topics.AllKinds))
	}
}

// What takes away what nobody can put back is for administrators; what pages grey out
// is what asking would refuse.
func TestMayAskSaysWhatStartWouldRefuse(t *testing.T) {
	admin, operator, viewer := Actor{"anna", store.Admin}, Actor{"olga", store.Operator}, Actor{"vera", store.Viewer}
	free := store.Host{ID: "attic-0001", Name: "attic"}
	bound := store.Host{ID: "nas-000001", Name: "nas", Policy: "backup", Permits: store.JSON[topics.Permits]{V: &topics.Permits{
		Kinds: []topics.JobKind{topics.BackupJob, topics.RestoreJob}, RestoreRoots: []string{"/back"}}}}
	kept := &store.Repository{ID: "vault-0001", Keeper: bound.ID}
	var role *RoleError
	var keeper *NotKeeperError
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	fine := func(err error) bool { return err == nil }
	another := func(err error) bool { return errors.As(err, &role) }
	elsewhere := func(err error) bool { return errors.As(err, &keeper) }
	for _, c := range []struct {
		what  string
		actor Actor
		host  store.Host
		kind  topics.JobKind
		where *store.Repository
		right func(error) bool
	}{
		{"an operator backs up", operator, free, topics.BackupJob, nil, fine},
		{"a viewer does not", viewer, free, topics.BackupJob, nil, another},
		{"nor does nobody", Actor{}, free, topics.BackupJob, nil, another},
		{"an operator removes no snapshots", operator, free, topics.ForgetJob, nil, another},
		{"an administrator does", admin, free, topics.ForgetJob, nil, fine},
		{"a host's policy forbids", admin, bound, topics.PruneJob, nil, is(ErrForbidden)},
		{"and allows, wherever it restores to", operator, bound, topics.RestoreJob, nil, fine},
		{"another host looks after it", admin, free, topics.PruneJob, kept, elsewhere},
		{"everybody may look", operator, free, topics.StatsJob, kept, fine},
		{"it is gone", operator, free, topics.StatsJob, &store.Repository{ID: "x", RemovedAt: 1}, is(ErrNoRepository)},
		{"a kind that nobody knows", operator, free, "of a later version", nil, another},
	} {
		if err := MayAsk(c.actor, c.host, c.kind, c.where); !c.right(err) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// Whatever asked for it, a job that takes away what nobody can put back does not
// begin for somebody who is no administrator.
func TestStartLooksAtTheRole(t *testing.T) {
	w := newWorld(t)
	groups, err := w.store.SourceGroups(t.Context(), w.host.ID)
	if err != nil || len(groups) == 0 {
		t.Fatal(groups, err)
	}
	forget := topics.Operation{Snapshots: []string{strings.Repeat("a", 64)}}
	for _, r := range []Request{
		{Kind: topics.ForgetJob, Operation: forget},
		{Kind: topics.UnlockJob, Operation: topics.Operation{All: true}},
		{Kind: topics.UnlockJob},
		{Kind: topics.PruneJob},
		{Kind: topics.CheckJob},
		{Kind: topics.RestoreJob, Operation: topics.Operation{Snapshot: strings.Repeat("a", 8), Target: "/"}, Confirm: "attic"},
		{Kind: topics.RestoreJob, Operation: topics.Operation{Snapshot: strings.Repeat("a", 8), Target: "/back", Overwrite: "always"}},
		{Kind: topics.RestoreJob, Operation: topics.Operation{Snapshot: strings.Repeat("a", 8), Target: "/back", Overwrite: "never"}},
		{Kind: topics.StatsJob},
		{Kind: topics.BackupJob},
	} {
		if r.Host = w.host.ID; r.Kind != topics.BackupJob {
			r.Repository = groups[0].Repository
		}
		right := rights.Of(rights.Job{Kind: r.Kind, Operation: r.Operation, Outside: r.Operation.Target != "", Another: true})
		for _, role := range store.Roles {
			a := Actor{Name: "olga", Role: role}
			var lacks *RoleError
			_, _, err := w.engine.Start(t.Context(), a, r)
			if errors.As(err, &lacks) == rights.May(role, right) || rights.May(role, right) && err != nil {
				t.Errorf("%s asks for %s %+v: %v", role, r.Kind, r.Operation, err)
			}
		}
	}
}

func TestAgainAsksForTheSame(t *testing.T) {
	w := newWorld(t)
	operator, restorer, admin := Actor{"olga", store.Operator}, Actor{"rita", store.Restorer}, Actor{"anna", store.Admin}
	whole := strings.Repeat("a", 64)
	ended := func(kind topics.JobKind, o topics.Operation) store.Job {
		t.Helper()
		groups, err := w.store.SourceGroups(t.Context(), w.host.ID)
		if err != nil || len(groups) == 0 {
			t.Fatal(groups, err)
		}
		q := Request{Host: w.host.ID, Kind: kind, Operation: o}
		if kind == topics.BackupJob {
			q.SourceGroup = groups[0].Name
		} else {
			q.Repository = groups[0].Repository
		}
		j, fresh, err := w.engine.Start(t.Context(), admin, q)
		if err != nil || !fresh {
			t.Fatal(fresh, err)
		}
		if err := w.engine.Cancel(t.Context(), "test", j.ID); err != nil {
			t.Fatal(err)
		}
		if j, err = w.store.Job(t.Context(), j.ID); err != nil || !j.State.Ended() {
			t.Fatal(j.State, err)
		}
		return j
	}
	var role *RoleError
	for _, c := range []struct {
		what  string
		kind  topics.JobKind
		o     topics.Operation
		actor Actor
		right func(error) bool
	}{
		{"a backup", topics.BackupJob, topics.Operation{}, operator, func(err error) bool { return err == nil }},
		{"a restore", topics.RestoreJob, topics.Operation{Snapshot: whole, Target: "/back"}, restorer, func(err error) bool {
			return err == nil
		}},
		{"a restore to any place by an operator", topics.RestoreJob, topics.Operation{Snapshot: whole, Target: "/back"}, operator,
			func(err error) bool { return errors.As(err, &role) }},
		{"a forget", topics.ForgetJob, topics.Operation{Snapshots: []string{whole}}, admin, func(err error) bool { return err == nil }},
		{"a forget by an operator", topics.ForgetJob, topics.Operation{Snapshots: []string{whole}}, operator,
			func(err error) bool { return errors.As(err, &role) }},
		{"an unlock", topics.UnlockJob, topics.Operation{}, operator, func(err error) bool { return err == nil }},
		{"an unlock of all", topics.UnlockJob, topics.Operation{All: true}, admin, func(err error) bool { return errors.Is(err, ErrNotAgain) }},
		{"an unlock of all by an operator", topics.UnlockJob, topics.Operation{All: true}, operator,
			func(err error) bool { return errors.As(err, &role) }},
	} {
		j := ended(c.kind, c.o)
		_, may := w.engine.Again(t.Context(), c.actor, j, false)
		again, fresh, err := w.engine.RunAgain(t.Context(), c.actor, j.ID, false)
		if !c.right(may) || (may == nil) != (err == nil) {
			t.Errorf("%s: it may %v, and is answered %v", c.what, may, err)
			continue
		}
		if err != nil {
			continue
		}
		if !fresh || again.Kind != j.Kind || again.SourceGroup != j.SourceGroup || again.Repository != j.Repository ||
			again.RequestedBy != c.actor.Name ||
			string(topics.Encode(again.Operation)) != string(topics.Encode(j.Operation)) {
			t.Errorf("%s: asked for %+v after %+v", c.what, again, j)
		}
		if err := w.engine.Cancel(t.Context(), "test", again.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.engine.RunAgain(t.Context(), admin, "nothing-01", false); !errors.Is(err, ErrNoJob) {
		t.Errorf("an unknown job: %v", err)
	}
}

// Where a page offers to run a job again is data: no remedy says so in words alone.
func TestRemediesSayWhetherTheyRunItAgain(t *testing.T) {
	for _, kind := range topics.Kinds {
		for cause := range explanations {
			for _, r := range Explain(kind, cause, topics.Failed).Remedies {
				words := strings.ToLower(r.Text)
				if said := strings.Contains(words, "run it again") || strings.Contains(words, "run the backup again"); said != r.RunAgain ||
					strings.Contains(words, "{") {
					t.Errorf("%s, %s: %+v", kind, cause, r)
				}
			}
		}
	}
}
