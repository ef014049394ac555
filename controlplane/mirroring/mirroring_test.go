package mirroring

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// willing is a jobs engine that permits whatever is asked.
type willing struct{}

func (willing) AskAt(context.Context, string, jobs.Order) (job store.Job, fresh bool, err error) {
	return job, true, nil
}

func (willing) CopySelection(_ context.Context, _ topics.HostID, _ topics.RepositoryID, o topics.Operation) (topics.Operation, error) {
	return o, nil
}

func (willing) Permit(context.Context, jobs.Order) error { return nil }

// fleet is a database with three hosts and three repositories that all share.
func fleet(t *testing.T) *store.Store {
	t.Helper()
	s, ctx := storetest.Open(t, store.Open), t.Context()
	for _, h := range []topics.HostID{"attic-0001", "barn-00001", "cellar-0001"} {
		hash := sha256.Sum256([]byte(h))
		if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: "token-" + string(h), KeyHash: hash[:], CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Enroll(ctx, hash[:], store.Host{ID: h, SealKey: []byte("k"), Serial: string(h)}); err != nil {
			t.Fatal(err)
		}
	}
	for id, keeper := range map[topics.RepositoryID]topics.HostID{"first-0001": "", "near-00001": "attic-0001", "far-000001": "barn-00001"} {
		url := "rest:https://nas/" + string(id)
		if err := s.AddRepository(ctx, "test", store.Repository{ID: id, Name: string(id), Location: url, Keeper: keeper},
			store.RepositoryAccess{URL: topics.Secret(url), Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestTheKeeperCopiesUnlessSomebodyIsNamed, one change after the other.
func TestTheKeeperCopiesUnlessSomebodyIsNamed(t *testing.T) {
	s, ctx := fleet(t), t.Context()
	service := &Service{Store: s, Jobs: willing{}, Changed: func(...topics.HostID) {}, Now: time.Now}
	for _, c := range []struct {
		what string
		in   Input
		host topics.HostID
	}{
		{"nobody is named", Input{To: new("near-00001")}, "attic-0001"},
		{"somebody is", Input{Host: new("cellar-0001")}, "cellar-0001"},
		{"the hour is another", Input{Cron: new("0 7 * * *")}, "cellar-0001"},
		{"the keeper is wanted again", Input{Host: new("")}, "attic-0001"},
		{"another mirror", Input{To: new("far-000001")}, "barn-00001"},
		{"another mirror, and somebody", Input{To: new("near-00001"), Host: new("cellar-0001")}, "cellar-0001"},
		{"the same mirror", Input{To: new("near-00001")}, "cellar-0001"},
	} {
		if err := service.Put(ctx, "anna", "first-0001", c.in); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if m, err := s.Mirror(ctx, "first-0001"); err != nil || m.Host != c.host {
			t.Errorf("%s: %s copies, %v, want %s", c.what, m.Host, err, c.host)
		}
	}
}
