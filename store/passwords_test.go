package store

import (
	"errors"
	"slices"
	"testing"

	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/topics"
)

// TestACopyIntoARepositoryIsAtWorkWithItsPassword: the old key stays until it has ended, as
// for a job in the repository itself.
func TestACopyIntoARepositoryIsAtWorkWithItsPassword(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	second := topics.RepositoryID("mirror-0001")
	if err := s.AddRepository(ctx, "test", Repository{ID: second, Name: "mirror", Location: "rest:https://mirror/"},
		RepositoryAccess{URL: "rest:https://mirror/", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	c := must(s.BeginPassword(ctx, "anna", second, "another one", false))
	must(s.w.ExecContext(ctx, `INSERT INTO jobs (id, host, kind, source_group, repository, other, state, requested_by, queued_at, not_after)
		VALUES ('copy-1', $1, 'copy', '', $2, $3, 'running', 'anna', 1, 1 << 50)`, g.Host, g.Repository, second))
	if err := s.StepPassword(ctx, c.ID, func(l PasswordLook) (PasswordStep, error) {
		step := PasswordStep{Change: l.Change, Switch: true}
		step.Change.State = passwords.Switching
		return step, nil
	}); err != nil {
		t.Fatal(err)
	}
	if l := must(s.LookPassword(ctx, c.ID)); len(l.Busy) != 1 || l.Busy[0].ID != "copy-1" {
		t.Errorf("at work are %+v", l.Busy)
	}
}

// TestAPlaceKeepsThePasswordThatOpensIt: without it two changes went on, and what opens it is
// still what opened it before the first. Who is shown that is in the audit log.
func TestAPlaceKeepsThePasswordThatOpensIt(t *testing.T) {
	s, ctx := open(t), t.Context()
	host := enrolled(t, s, "attic").ID
	id := topics.RepositoryID("vault-0001")
	if err := s.AddRepository(ctx, "test", Repository{ID: id, Name: "vault", Location: "rest:https://nas/{host}/"},
		RepositoryAccess{URL: "rest:https://nas/{host}/", Password: "the first one"}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []topics.HostID{host, "gone-00001"} {
		must(s.w.ExecContext(ctx, `INSERT INTO places (repository, host, ready_at) VALUES ($1, $2, 1)`, id, h))
	}
	step := func(change string, do func(*PasswordStep, []passwords.Place)) {
		t.Helper()
		if err := s.StepPassword(ctx, change, func(l PasswordLook) (PasswordStep, error) {
			st := PasswordStep{Change: l.Change}
			do(&st, l.Places)
			return st, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	opens := func(want topics.Secret) {
		t.Helper()
		p, other, err := s.PasswordAt(ctx, id, "gone-00001")
		if err != nil || p != want || other != (want != "") {
			t.Errorf("the place is opened by %q, %v, %v, want %q", p.Reveal(), other, err, want.Reveal())
		}
	}
	var ids []string
	for _, next := range []topics.Secret{"the second one", "the third one"} {
		c := must(s.BeginPassword(ctx, "anna", id, next, false))
		ids = append(ids, c.ID)
		step(c.ID, func(st *PasswordStep, at []passwords.Place) {
			for i, p := range at {
				if p.Host == host {
					at[i].AddedAt, at[i].KeyID = 5, "aaaa0000"
				} else {
					at[i].LeftBy, at[i].LeftAt = "anna", 5
				}
			}
			st.Places = at
		})
		if next == "the second one" {
			opens("") // the row has it still
		}
		step(c.ID, func(st *PasswordStep, _ []passwords.Place) { st.Switch, st.Change.State = true, passwords.Switching })
		opens("the first one")
		step(c.ID, func(st *PasswordStep, _ []passwords.Place) { st.Change.State, st.Change.EndedAt = passwords.Done, 9 })
	}
	if _, other, err := s.PasswordAt(ctx, id, host); other || err != nil {
		t.Errorf("the place that was reached is opened by another password: %v", err)
	}
	if _, err := s.ShowPasswordAt(ctx, "bert", id, host); !errors.Is(err, passwords.ErrNone) {
		t.Errorf("of the place that was reached is shown: %v", err)
	}
	if p, err := s.ShowPasswordAt(ctx, "bert", id, "gone-00001"); err != nil || p != "the first one" {
		t.Errorf("shown is %q, %v", p.Reveal(), err)
	}
	if list := must(s.AuditEntries(ctx, AuditFilter{Action: "repository.password_shown"}, 10)); len(list) != 1 || list[0].Actor != "bert" {
		t.Errorf("the audit log says %+v", list)
	}
	// It is reached by the first change, and then by the second.
	for i, want := range []topics.Secret{"the second one", ""} {
		step(ids[i], func(st *PasswordStep, at []passwords.Place) {
			for k, p := range at {
				if p.Host == "gone-00001" {
					at[k].AddedAt, at[k].KeyID = 20, "bbbb0000"
				}
			}
			st.Places = at
		})
		opens(want)
	}
}

// TestWhoMayStillBackUpByAnOldConfigIsWaitedFor: a host whose source group was moved away, and
// that was not told yet, goes on with the repository and its password.
func TestWhoMayStillBackUpByAnOldConfigIsWaitedFor(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	other := enrolled(t, s, "barn") // never had it, and was not told something else
	second := topics.RepositoryID("second-0001")
	if err := s.AddRepository(ctx, "test", Repository{ID: second, Name: "second", Location: "rest:https://second/"},
		RepositoryAccess{URL: "rest:https://second/", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	must(s.w.ExecContext(ctx, `INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at,
			finished_at, not_after) VALUES ('backup-1', $1, 'backup', $2, $3, 'succeeded', 'anna', 1, 2, 1 << 50)`, g.Host, g.ID, g.Repository))
	must(s.w.ExecContext(ctx, `UPDATE source_groups SET repository = $1 WHERE id = $2 AND host = $3`, second, g.ID, g.Host))
	c := must(s.BeginPassword(ctx, "anna", g.Repository, "another one", false))
	for _, step := range []struct {
		what             string
		applied, revised int
		want             []topics.HostID
	}{
		{"it was not told", 3, 4, []topics.HostID{g.Host}},
		{"it was told", 4, 4, nil},
		{"it takes no configs, and so has no schedule", -1, 4, nil},
	} {
		must(s.w.ExecContext(ctx, `UPDATE hosts SET config_applied = $1, config_revision = $2 WHERE id IN ($3, $4)`, step.applied, step.revised,
			g.Host, other.ID))
		var got []topics.HostID
		for _, h := range must(s.LookPassword(ctx, c.ID)).Hosts {
			got = append(got, h.Host.Host)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s: %v are waited for, want %v", step.what, got, step.want)
		}
	}
}
