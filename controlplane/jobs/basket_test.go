package jobs

import (
	"errors"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// The same restore asked for twice is one job; any other basket, a dry run, another target
// or other owners is a job of its own. A run by a dry run goes where that went.
func TestWhichRestoresAreTheSame(t *testing.T) {
	w := newWorld(t)
	w.exec(`UPDATE hosts SET can = '["baskets"]'`)
	a, b := w.saved(w.host.ID, "vault-0001", "a"), w.saved(w.host.ID, "vault-0001", "b")
	admin := Actor{Name: "anna", Role: store.Admin}
	ask := func(o topics.Operation, dry topics.JobID) (store.Job, bool, error) {
		return w.engine.Start(t.Context(), admin, Request{Host: w.host.ID, Kind: topics.RestoreJob, Repository: "vault-0001", Operation: o,
			DryRunJob: dry})
	}
	two := func(of ...string) topics.Operation {
		return topics.Operation{Items: []topics.Item{{Snapshot: a[:8], Paths: of[:1]}, {Snapshot: b, Paths: of[1:]}}}
	}
	with := func(o topics.Operation, edit func(*topics.Operation)) topics.Operation {
		edit(&o)
		return o
	}
	seen, targets := map[topics.JobID]int{}, map[string]bool{}
	all := []topics.Operation{
		two("/x", "/y"),
		two("/x", "/z"),
		{Snapshot: a, Paths: []string{"/x"}},
		with(two("/x", "/y"), func(o *topics.Operation) { o.DryRun = true }),
		with(two("/x", "/y"), func(o *topics.Operation) { o.NoOwners = true }),
		with(two("/x", "/y"), func(o *topics.Operation) { o.Target = "/back" }),
		with(two("/x", "/y"), func(o *topics.Operation) { o.Target, o.Overwrite = "/back", "always" }),
	}
	for i, o := range all {
		j, fresh, err := ask(o, "")
		if err != nil || !fresh {
			t.Fatalf("%d: %t, %v", i, fresh, err)
		}
		seen[j.ID] = i
		if to := j.Operation.V.Target; j.Operation.V.Fresh && targets[to] {
			t.Errorf("%d has another's new folder, %s", i, to)
		} else {
			targets[to] = true
		}
	}
	for i, o := range all {
		if j, fresh, err := ask(o, ""); err != nil || fresh || seen[j.ID] != i {
			t.Errorf("%d again: %s, %t, %v", i, j.ID, fresh, err)
		}
	}

	dry, _, err := ask(with(two("/x", "/y"), func(o *topics.Operation) { o.DryRun = true }), "")
	if err != nil {
		t.Fatal(err)
	}
	var stale *restores.StaleError
	if _, _, err := ask(two("/x", "/y"), dry.ID); !errors.As(err, &stale) || !strings.Contains(stale.Why, "not ended") {
		t.Errorf("by a dry run that has not ended: %v", err)
	}
	w.connect()
	w.exec(`UPDATE hosts SET can = '["baskets"]'`) // its hello said nothing of it
	w.exec(`UPDATE jobs SET state = 'succeeded', finished_at = $1, result = $2 WHERE id = $3`, w.store.Now(),
		`{"restore":{"matched":2,"digest":"`+strings.Repeat("d", 64)+`"}}`, dry.ID)
	run, fresh, err := ask(two("/x", "/y"), dry.ID)
	if err != nil || !fresh || run.Operation.V.Target != dry.Operation.V.Target || !run.Operation.V.Fresh || run.Operation.V.Preview == nil ||
		run.Operation.V.Preview.Job != dry.ID || run.Operation.V.Preview.Digest != strings.Repeat("d", 64) {
		t.Fatalf("by the dry run: %+v, %t, %v", run.Operation.V, fresh, err)
	}
	if again, fresh, err := ask(two("/x", "/y"), dry.ID); err != nil || fresh || again.ID != run.ID {
		t.Errorf("by it again: %s, %t, %v", again.ID, fresh, err)
	}
	if _, _, err := ask(two("/x", "/z"), dry.ID); !errors.As(err, &stale) || !strings.Contains(stale.Why, "selection") {
		t.Errorf("of something else by it: %v", err)
	}
}

// What happens between a dry run and the restore that goes by it: each with what it comes
// to, nil where it is nothing to the restore.
func TestWhatHappensBetweenADryRunAndItsRun(t *testing.T) {
	stale := func(why string) func(error) bool {
		return func(err error) bool {
			var s *restores.StaleError
			return errors.As(err, &s) && strings.Contains(s.Why, why)
		}
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for what, c := range map[string]struct {
		change  string // in the database
		confirm string
		refused func(error) bool
	}{
		"nothing":                     {`UPDATE hosts SET name = name`, "attic", nil},
		"schedules were changed":      {`UPDATE schedules SET cron = '0 4 * * *'`, "attic", nil},
		"another snapshot was forgot": {`UPDATE snapshots SET gone_at = 5 WHERE id LIKE 'b%'`, "attic", nil},
		"the repository was renamed":  {`UPDATE repositories SET name = 'other' WHERE removed_at = 0`, "attic", nil},
		"the host was renamed":        {`UPDATE hosts SET name = 'loft'`, "loft", nil},
		"the host was renamed, and is confirmed by its old name": {`UPDATE hosts SET name = 'loft'`, "attic",
			func(err error) bool { return errors.As(err, new(*restores.ConfirmError)) }},
		"the host was removed":        {`UPDATE hosts SET removed_at = 5`, "attic", is(ErrNoHost)},
		"the repository was removed":  {`UPDATE repositories SET removed_at = 5`, "attic", is(ErrNoRepository)},
		"its snapshot was forgotten":  {`UPDATE snapshots SET gone_at = 5 WHERE id LIKE 'a%'`, "attic", isGone},
		"the dry run's job was swept": {`DELETE FROM jobs`, "attic", stale("There is no dry run")},
		"the agent was set back": {`UPDATE hosts SET can = '[]'`, "attic",
			func(err error) bool { return errors.As(err, new(*restores.OldAgentError)) }},
		"the policy forbids restores since": {`UPDATE hosts SET permits = '{"kinds":["backup"]}'`, "attic", is(ErrForbidden)},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.exec(`UPDATE hosts SET name = 'attic', can = '["baskets"]'`)
			a := w.saved(w.host.ID, "vault-0001", "a")
			w.saved(w.host.ID, "vault-0001", "b")
			w.schedule(func(*store.Schedule) {})
			ask := func(dry topics.JobID, confirm string) (store.Job, error) {
				j, _, err := w.engine.Start(t.Context(), Actor{Name: "anna", Role: store.Admin}, Request{Host: w.host.ID, Kind: topics.RestoreJob,
					Repository: "vault-0001", DryRunJob: dry, Confirm: confirm,
					Operation: topics.Operation{Snapshot: a, Paths: []string{"/x"}, InPlace: true, DryRun: dry == ""}})
				return j, err
			}
			dry, err := ask("", "")
			if err != nil {
				t.Fatal(err)
			}
			w.exec(`UPDATE jobs SET state = 'succeeded', finished_at = $1, result = $2 WHERE id = $3`, w.store.Now(),
				`{"restore":{"matched":1,"digest":"`+strings.Repeat("d", 64)+`"}}`, dry.ID)
			w.exec(c.change)
			j, err := ask(dry.ID, c.confirm)
			switch {
			case c.refused != nil && (err == nil || !c.refused(err)):
				t.Errorf("it is answered with %v", err)
			case c.refused == nil && (err != nil || j.Operation.V.Preview == nil):
				t.Errorf("it is refused: %v", err)
			}
		})
	}
}

func isGone(err error) bool { return errors.As(err, new(*GoneError)) }
