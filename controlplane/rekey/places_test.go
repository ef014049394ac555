package rekey

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// queue takes orders, but none of a host whose queue is full.
type queue struct {
	full  topics.HostID
	asked []jobs.Order
}

func (q *queue) AskAt(_ context.Context, _ string, o jobs.Order) (j store.Job, fresh bool, err error) {
	if o.Host == q.full {
		return j, false, jobs.ErrQueueFull
	}
	q.asked = append(q.asked, o)
	return store.Job{ID: topics.JobID("job-" + o.Host)}, true, nil
}

// placed is a repository in which three hosts have places of their own, with keys.
func placed(t *testing.T) (*store.Store, *queue, *Service) {
	t.Helper()
	s, ctx, q := storetest.Open(t, store.Open), t.Context(), &queue{}
	exec := func(query string, args ...any) {
		t.Helper()
		if err := s.SlotStep(ctx, func(tx store.Slots) error {
			ctx, x := tx.Tx()
			_, err := x.ExecContext(ctx, query, args...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddRepository(ctx, "test", store.Repository{ID: vault, Name: "vault", Location: "rest:https://nas/{host}/"},
		store.RepositoryAccess{URL: "rest:https://nas/{host}/", Password: "the first one"}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []topics.HostID{"attic", "barn", "cellar"} {
		hash := sha256.Sum256([]byte(h))
		if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: "token-" + string(h), KeyHash: hash[:], CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Enroll(ctx, hash[:], store.Host{ID: h, Name: string(h), SealKey: []byte("k"), Serial: string(h)}); err != nil {
			t.Fatal(err)
		}
		exec(`UPDATE hosts SET can = $1, name = id WHERE id = $2`, `["`+topics.ChangesKeys+`"]`, h)
		exec(`INSERT INTO places (repository, host, ready_at, name) VALUES ($1, $2, 1, $2)`, vault, h)
		for key, opened := range map[string]bool{"aaaa": true, "cccc": false} {
			exec(`INSERT INTO repository_keys (repository, id, place, username, hostname, created, first_seen, trusted, opened)
				VALUES ($1, $2, $3, 'u', 'h', 1, 1, 1, $4)`, vault, key+string(h), h, opened)
		}
	}
	return s, q, New(Service{Store: s, Jobs: q, Log: slog.New(slog.DiscardHandler)})
}

const vault = topics.RepositoryID("vault-0001")

// TestAKeyForSomebodyIsNotLost: where a place gets no key, whoever asked for it learns the
// password that the others get, and which place it is. The password stays until each job that
// was asked for has ended.
func TestAKeyForSomebodyIsNotLost(t *testing.T) {
	s, q, service := placed(t)
	ctx := t.Context()
	q.full = "barn"
	k, err := service.AddKey(ctx, "anna", vault, KeyInput{User: "eve"})
	if err != nil || len(k.Jobs) != 2 || len(k.Unasked) != 1 || k.Unasked[0].Name != "barn" ||
		!errors.Is(k.Unasked[0].Err, jobs.ErrQueueFull) {
		t.Fatalf("two of three places get a key: %+v, %v", k, err)
	}
	for _, o := range q.asked {
		if p, err := s.KeyPassword(ctx, vault, o.Operation.Key.Of); err != nil || p != k.Password || p == "" {
			t.Errorf("of the job of %s the password is %q, %v, want %q", o.Host, p, err, k.Password)
		}
	}
	q.asked = nil
	again, err := service.AddKey(ctx, "anna", vault, KeyInput{User: "eve", Password: &k.Password})
	if err != nil || again.Password != k.Password {
		t.Errorf("once more with that password: %v", err)
	}
	s2, q2, service := placed(t)
	for _, h := range []topics.HostID{"attic", "barn", "cellar"} {
		if _, err := s2.Revoke(ctx, "test", h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := service.AddKey(ctx, "anna", vault, KeyInput{User: "eve"}); !errors.As(err, new(*BlockedError)) || len(q2.asked) > 0 {
		t.Errorf("where nobody can add it: %v", err)
	}
}

// TestAPatientChangeKeepsItsOwnKeys, and lets others be removed.
func TestAPatientChangeKeepsItsOwnKeys(t *testing.T) {
	s, q, service := placed(t)
	ctx := t.Context()
	b, err := service.Begin(ctx, "anna", vault, Input{Patient: true})
	if err != nil {
		t.Fatal(err)
	}
	remove := func(when, key string, want error) {
		t.Helper()
		q.asked = nil
		_, err := service.RemoveKey(ctx, "anna", vault, key)
		if !errors.Is(err, want) || (err == nil) != (len(q.asked) == 1) {
			t.Errorf("%s, removing %s: %v, want %v", when, key, err, want)
		}
	}
	remove("before the new key is there", "ccccattic", ErrGoing)
	if err := s.StepPassword(ctx, b.ID, func(l store.PasswordLook) (store.PasswordStep, error) {
		step := store.PasswordStep{Change: l.Change, Switch: true}
		step.Change.State = passwords.Removing
		for i := range l.Places {
			l.Places[i].AddedAt, l.Places[i].KeyID = 1, "bbbb"+string(l.Places[i].Host)
		}
		step.Places = l.Places
		return step, nil
	}); err != nil {
		t.Fatal(err)
	}
	service.Oldest = func() int64 { return 1 } // a copy that knows the old one alone
	remove("while the old key stays for a copy", "ccccattic", nil)
	remove("while the old key stays for a copy", "aaaaattic", ErrGoing)
	remove("while the old key stays for a copy", "ddddattic", ErrNoKey)
}

// TestAPasswordThatStillGoesSomewhereIsNotTakenAgain: a change that has ended without a place
// removes the former password's keys there later, also once that would be the one in use.
func TestAPasswordThatStillGoesSomewhereIsNotTakenAgain(t *testing.T) {
	for _, c := range []struct {
		what    string
		left    topics.HostID // without whose place it went on; "" is none
		refused bool
	}{{"one place is left", "barn", true}, {"it has been everywhere", "", false}} {
		s, _, service := placed(t)
		ctx := t.Context()
		first, second := topics.Secret("the first one"), topics.Secret("the second one")
		b, err := service.Begin(ctx, "anna", vault, Input{Password: &second})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.StepPassword(ctx, b.ID, func(l store.PasswordLook) (store.PasswordStep, error) {
			step := store.PasswordStep{Change: l.Change, Switch: true}
			step.Change.State, step.Change.EndedAt = passwords.Done, 2
			for i, p := range l.Places {
				if p.Host == c.left {
					l.Places[i].LeftBy, l.Places[i].LeftAt = "anna", 1
					continue
				}
				l.Places[i].AddedAt, l.Places[i].KeyID, l.Places[i].RemovedAt = 1, "bbbb"+string(p.Host), 2
			}
			step.Places = l.Places
			return step, nil
		}); err != nil {
			t.Fatal(err)
		}
		_, err = service.Begin(ctx, "anna", vault, Input{Password: &first})
		if wrong := field.Errors(nil); errors.As(err, &wrong) != c.refused || c.refused && wrong["password"] == "" || !c.refused && err != nil {
			t.Errorf("%s: back to the first one: %v", c.what, err)
		}
		if third := topics.Secret("a third one"); c.refused {
			if _, err := service.Begin(ctx, "anna", vault, Input{Password: &third}); err != nil {
				t.Errorf("%s: another: %v", c.what, err)
			}
		}
	}
}

// TestARetiredHostIsNotWaitedFor: its place is in the way of a change until somebody goes on
// without it; while it is connected it does the work.
func TestARetiredHostIsNotWaitedFor(t *testing.T) {
	s, _, service := placed(t)
	ctx := t.Context()
	connected := map[topics.HostID]bool{"attic": true, "cellar": true}
	service.Online = func(h topics.HostID) bool { return connected[h] }
	if err := s.SlotStep(ctx, func(tx store.Slots) error {
		ctx, x := tx.Tx()
		_, err := x.ExecContext(ctx, `UPDATE hosts SET retired_at = 1 WHERE id = 'barn'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Begin(ctx, "anna", vault, Input{}); err != nil {
		t.Fatal(err)
	}
	stuck := func() (at topics.HostID, why string) {
		t.Helper()
		st, err := service.Last(ctx, vault)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range st.Places {
			if said := st.Stuck(p); said != "" {
				at, why = at+p.Host, said
			}
		}
		return at, why
	}
	if at, why := stuck(); at != "barn" || why != "barn is retired, and not connected." {
		t.Errorf("%s is in the way: %s", at, why)
	}
	connected["barn"] = true
	if at, why := stuck(); at != "" {
		t.Errorf("%s is in the way: %s", at, why)
	}
	connected["barn"], connected["attic"] = false, false
	if at, why := stuck(); at != "atticbarn" || why == "" {
		t.Errorf("%s is in the way: %s", at, why)
	}
	if err := service.GoOn(ctx, "anna", vault, Without{Places: []topics.HostID{"barn"}}); err != nil {
		t.Fatal(err)
	}
	list, err := s.AuditEntries(ctx, store.AuditFilter{Action: "repository.password_waived"}, 10)
	if err != nil || len(list) != 1 || list[0].Detail != "without the place of barn (barn is retired, and not connected)" {
		t.Errorf("the audit log says %+v, %v", list, err)
	}
	if err := service.GoOn(ctx, "anna", vault, Without{Places: []topics.HostID{"cellar"}}); !errors.Is(err, ErrNone) {
		t.Errorf("of a place that is worked at: %v", err)
	}
}
