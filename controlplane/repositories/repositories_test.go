package repositories_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAnAddressStaysWhileTheRepositoryIsMadeThere: who makes it does not hear of another
// one, and another row that takes the place could be given to another host.
func TestAnAddressStaysWhileTheRepositoryIsMadeThere(t *testing.T) {
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	token := sha256.Sum256([]byte("attic"))
	err = errors.Join(
		s.AddEnrollToken(ctx, store.EnrollToken{ID: "token", KeyHash: token[:], CreatedBy: "test", ExpiresAt: s.Now() + 60_000}),
		second(s.Enroll(ctx, token[:], store.Host{ID: "attic-0001", SealKey: key.Public(), Hostname: "attic"})),
		s.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault", Location: "rest:https://nas/vault", CreatedAt: 1},
			store.RepositoryAccess{URL: "rest:https://nas/vault", Password: "correct horse"}),
		second(s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: "group-0001", Host: "attic-0001", Name: "letters",
			Repository: "vault-0001", Paths: store.List{"/letters"}})),
	)
	if err != nil {
		t.Fatal(err)
	}
	service := &repositories.Service{Store: s}
	move := func(to string) error {
		url := topics.Secret(to)
		_, err := service.Change(ctx, "anna", "vault-0001", repositories.Input{URL: &url})
		return err
	}
	name := "attic"
	rename := func() error {
		_, err := service.Change(ctx, "anna", "vault-0001", repositories.Input{Name: &name})
		return err
	}
	if err := move("rest:https://nas/attic"); err != nil {
		t.Fatalf("before anybody makes it: %v", err)
	}
	job := begin(ctx, t, s)
	var wrong field.Errors
	if err := move("rest:https://nas/cellar"); !errors.As(err, &wrong) || !strings.Contains(wrong["url"], string(job)) ||
		!strings.Contains(wrong["url"], "The host attic") {
		t.Errorf("while it is made: %v", err)
	}
	if err := errors.Join(move("rest:https://nas/attic"), move("rest:https://anna:x@nas/attic"), rename()); err != nil {
		t.Errorf("what does not move it, while it is made: %v", err)
	}
	if err := s.Steps(ctx, func(tx protocol.PlaneTx) error {
		_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Released{Job: job, By: "anna", Now: s.Now()})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := move("rest:https://nas/cellar"); err != nil {
		t.Errorf("after it was released: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// begin has a host make the repository of its group, and returns the job.
func begin(ctx context.Context, t *testing.T, s *store.Store) (id topics.JobID) {
	t.Helper()
	backup := store.Job{ID: topics.JobID(topics.NewID(time.UnixMilli(s.Now()))), Host: "attic-0001", Kind: topics.BackupJob,
		SourceGroup: "group-0001", Repository: "vault-0001", NotAfter: s.Now() + 60_000}
	if _, _, err := s.Ask(ctx, "anna", backup); err != nil {
		t.Fatal(err)
	}
	if err := s.Steps(ctx, func(tx protocol.PlaneTx) error {
		_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Tick{Now: s.Now(), Online: func(topics.HostID) bool { return true }})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	by, err := s.Beginning(ctx, "vault-0001")
	if err != nil {
		t.Fatalf("nobody makes it: %v", err)
	}
	return by.Job
}
