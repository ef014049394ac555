package rekey

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAPasswordThatGoesIsNotTakenAgain: while its keys are being removed, it opens, and soon
// does not.
func TestAPasswordThatGoesIsNotTakenAgain(t *testing.T) {
	ctx, s := t.Context(), storetest.Open(t, store.Open)
	id := topics.RepositoryID("vault-0001")
	if err := s.AddRepository(ctx, "test", store.Repository{ID: id, Name: "vault", Location: "rest:https://nas/vault"},
		store.RepositoryAccess{URL: "rest:https://nas/vault", Password: "the first one"}); err != nil {
		t.Fatal(err)
	}
	service := New(Service{Store: s, Log: slog.New(slog.DiscardHandler)})
	begin := func(password topics.Secret) (Begun, error) {
		return service.Begin(ctx, "anna", id, Input{Password: &password})
	}
	begun, err := begin("the second one")
	if err != nil {
		t.Fatal(err)
	}
	to := func(state passwords.State) {
		t.Helper()
		if err := s.StepPassword(ctx, begun.ID, func(l store.PasswordLook) (store.PasswordStep, error) {
			step := store.PasswordStep{Change: l.Change, Switch: state == passwords.Switching}
			step.Change.State = state
			return step, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	to(passwords.Switching)
	if _, err := begin("the first one"); !errors.Is(err, ErrGoing) {
		t.Errorf("while hosts come to have another: %v", err)
	}
	to(passwords.Removing)
	_, err = begin("the first one")
	if wrong := field.Errors(nil); !errors.As(err, &wrong) || wrong["password"] == "" {
		t.Errorf("while its keys are removed: %v", err)
	}
	if _, err := begin("a third one"); err != nil {
		t.Errorf("another: %v", err)
	}
}
