package store

import (
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
