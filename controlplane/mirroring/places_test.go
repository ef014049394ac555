package mirroring

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// asking is a jobs engine that queues what is asked.
type asking struct {
	willing
	s      *store.Store
	orders []jobs.Order
}

func (a *asking) AskAt(ctx context.Context, actor string, o jobs.Order) (job store.Job, fresh bool, err error) {
	a.orders = append(a.orders, o)
	return a.s.Ask(ctx, actor, store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: o.Host, Kind: o.Kind, Repository: o.Repository,
		Place: o.Place, Operation: store.JSON[topics.Operation]{V: &o.Operation}, NotAfter: 1 << 50})
}

func exec(t *testing.T, s *store.Store, query string, args ...any) {
	t.Helper()
	if err := s.SlotStep(t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		_, err := x.ExecContext(ctx, query, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsAtEachPlaceIsCopied: of a repository of which each host has one of its own, in the
// same slot, one after the other; and of one that all share, once.
func TestWhatIsAtEachPlaceIsCopied(t *testing.T) {
	for _, c := range []struct {
		what string
		url  topics.Secret
		want []topics.HostID
	}{
		{"a place for each host", "rest:https://nas/each/{host}", []topics.HostID{"attic-0001", "barn-00001"}},
		{"one for all", "rest:https://nas/all", []topics.HostID{"attic-0001"}},
	} {
		s, ctx := fleet(t), t.Context()
		if err := s.AddRepository(ctx, "test", store.Repository{ID: "each-00001", Name: "each", Location: c.url.Reveal(), Keeper: "attic-0001"},
			store.RepositoryAccess{URL: c.url, Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
		for host, at := range map[topics.HostID]int64{"attic-0001": 1, "barn-00001": 1, "cellar-0001": 0} {
			exec(t, s, `INSERT INTO places (repository, host, ready_at) VALUES ('each-00001', $1, $2)`, host, at)
		}
		a, now := &asking{s: s}, time.Now()
		service := &Service{Store: s, Jobs: a, Online: func(topics.HostID) bool { return true }, Changed: func(...topics.HostID) {},
			Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(), Now: func() time.Time { return now }}
		if err := service.Put(ctx, "anna", "each-00001", Input{To: new("near-00001"), Cron: new("* * * * *"), Zone: new("UTC")}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * time.Minute)
		for range 6 {
			if err := service.Step(ctx); err != nil {
				t.Fatal(err)
			}
			exec(t, s, `UPDATE jobs SET state = 'succeeded', finished_at = 5 WHERE finished_at = 0`)
		}
		var at []topics.HostID
		for _, o := range a.orders {
			if o.Host != "attic-0001" {
				t.Errorf("%s: %s copies", c.what, o.Host)
			}
			at = append(at, cmp.Or(o.Place, o.Host))
		}
		if !slices.Equal(at, c.want) {
			t.Errorf("%s: copied is at %v, want %v", c.what, at, c.want)
		}
		if m, err := s.Mirror(ctx, "each-00001"); err != nil || m.RunJob != "" || m.Served < now.Add(-time.Minute).UnixMilli() {
			t.Errorf("%s: the slot is not served: %+v, %v", c.what, m, err)
		}
	}
}
