package mirroring

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// asking is a jobs engine that queues what is asked.
type asking struct {
	willing
	s      *store.Store
	orders []jobs.Order
	full   map[topics.HostID]bool // places for which nobody can be asked
}

func (a *asking) AskAt(ctx context.Context, actor string, o jobs.Order) (job store.Job, fresh bool, err error) {
	if a.full[cmp.Or(o.Place, o.Host)] {
		return job, false, jobs.ErrQueueFull
	}
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

// TestASlotThatCouldNotBeAskedForIsTriedAgain, at the place that is missing, after a while; the
// others are not held up. In the end the next slot counts.
func TestASlotThatCouldNotBeAskedForIsTriedAgain(t *testing.T) {
	s, ctx := fleet(t), t.Context()
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "each-00001", Name: "each", Location: "rest:https://nas/each/{host}",
		Keeper: "attic-0001"}, store.RepositoryAccess{URL: "rest:https://nas/each/{host}", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	for _, host := range []topics.HostID{"attic-0001", "barn-00001"} {
		exec(t, s, `INSERT INTO places (repository, host, ready_at) VALUES ('each-00001', $1, 1)`, host)
	}
	a, now := &asking{s: s, full: map[topics.HostID]bool{"attic-0001": true}}, time.Now()
	service := &Service{Store: s, Jobs: a, Online: func(topics.HostID) bool { return true }, Changed: func(...topics.HostID) {},
		Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(), Now: func() time.Time { return now }}
	if err := service.Put(ctx, "anna", "each-00001", Input{To: new("near-00001"), Cron: new("0 * * * *"), Zone: new("UTC")}); err != nil {
		t.Fatal(err)
	}
	steps := func() {
		t.Helper()
		for range 4 {
			if err := service.Step(ctx); err != nil {
				t.Fatal(err)
			}
			exec(t, s, `UPDATE jobs SET state = 'succeeded', finished_at = 5 WHERE finished_at = 0`)
		}
	}
	m, err := s.Mirror(ctx, "each-00001")
	if err != nil {
		t.Fatal(err)
	}
	begun := m.Served
	now = now.Add(time.Hour)
	steps()
	m, err = s.Mirror(ctx, "each-00001")
	if err != nil || len(a.orders) != 1 || a.orders[0].Place != "barn-00001" || m.Served > begun || m.Attempt != 1 ||
		m.NextAttemptAt <= now.UnixMilli() {
		t.Fatalf("one place could not be asked for: %+v, %+v, %v", a.orders, m, err)
	}
	clear(a.full)
	steps()
	if len(a.orders) != 1 {
		t.Errorf("it is asked again at once: %+v", a.orders)
	}
	now = time.UnixMilli(m.NextAttemptAt)
	steps()
	if m, err = s.Mirror(ctx, "each-00001"); err != nil || m.Served <= begun || m.Attempt != 0 || m.Unasked ||
		!slices.ContainsFunc(a.orders, func(o jobs.Order) bool { return o.Place == "" }) {
		t.Errorf("after a while: %+v, %+v, %v", a.orders, m, err)
	}
	a.full["attic-0001"], a.full["barn-00001"] = true, true
	begun = m.Served
	for range 40 {
		now = now.Add(2 * time.Hour)
		steps()
	}
	if m, err = s.Mirror(ctx, "each-00001"); err != nil || m.Served <= begun {
		t.Errorf("a slot that never could be asked for holds up those after it: %+v, %v", m, err)
	}
}

// refusing is an engine that refuses what is asked.
type refusing struct {
	willing
	at  topics.HostID
	err error
}

func (r refusing) Permit(_ context.Context, o jobs.Order) error {
	if cmp.Or(o.Place, o.Host) == r.at {
		return r.err
	}
	return nil
}

// TestAMirrorThatCannotBeCopiedIsNotSet: its host may not read what is at one of the places, or
// restic cannot have both repositories open.
func TestAMirrorThatCannotBeCopiedIsNotSet(t *testing.T) {
	s, ctx := fleet(t), t.Context()
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "each-00001", Name: "each", Location: "rest:https://nas/each/{host}"},
		store.RepositoryAccess{URL: "rest:https://nas/each/{host}", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	for _, host := range []topics.HostID{"attic-0001", "barn-00001"} {
		exec(t, s, `INSERT INTO places (repository, host, ready_at) VALUES ('each-00001', $1, 1)`, host)
	}
	for _, c := range []struct {
		at    topics.HostID
		err   error
		field string
		words string
	}{
		{"barn-00001", &jobs.GivingError{Name: "attic"}, "host", "attic does not have"},
		{"attic-0001", &jobs.SharedError{Variable: "AWS_ACCESS_KEY_ID", Scheme: "s3"}, "to", "Restic has one AWS_ACCESS_KEY_ID for both"},
	} {
		service := &Service{Store: s, Jobs: refusing{at: c.at, err: c.err}, Changed: func(...topics.HostID) {}, Now: time.Now}
		err := service.Put(ctx, "anna", "each-00001", Input{To: new("near-00001")})
		var wrong field.Errors
		if !errors.As(err, &wrong) || !strings.Contains(wrong[c.field], c.words) {
			t.Errorf("%v at %s: %v", c.err, c.at, err)
		}
		if _, err := s.Mirror(ctx, "each-00001"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("it is set all the same: %v", err)
		}
	}
}
