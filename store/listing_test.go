package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// listsInSteps reports parts of a listing, and then its end, in steps that have enough at
// once; between says what happens after each.
func listsInSteps(
	t testing.TB, s *Store, g SourceGroup, end topics.Finished, parts [][]int, between func(step int, tx *sqlx.Tx) error,
) (topics.JobID, int) {
	t.Helper()
	j, _, err := s.Ask(t.Context(), "test", Job{ID: topics.JobID(topics.NewID(time.Now())), Host: g.Host, Kind: topics.SnapshotsJob,
		Repository: g.Repository, NotAfter: 1 << 50})
	if err != nil {
		t.Fatal(err)
	}
	must(s.w.Exec(`UPDATE jobs SET state = 'running', accepted = 1 WHERE id = $1`, j.ID))
	now := s.Now() + 1000
	say := func(step int, e topics.Event) (left bool) {
		err := s.Steps(t.Context(), func(tx protocol.PlaneTx) error {
			place := must(tx.Received(g.Host))
			effects, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Arrived{Host: g.Host, Now: now,
				Enough: func() bool { return true },
				Events: topics.Events{Epoch: max(place.Epoch, 1), First: place.Seq + 1, Events: []topics.Event{e}}})
			left = slices.ContainsFunc(effects, func(e protocol.PlaneEffect) bool { _, is := e.(protocol.Left); return is })
			if step > 0 && err == nil {
				err = between(step, tx.(journal).tx)
			}
			return err
		})
		if errors.Is(err, errUndone) {
			return true
		}
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	for i, ns := range parts {
		say(0, topics.Event{Report: &topics.Report{Job: j.ID, Part: i + 1, Snapshots: snaps(ns...)}})
	}
	end.Job, end.State = j.ID, topics.Succeeded
	step := 1
	for say(step, topics.Event{Finished: &end}) {
		now++
		if step++; step > 1000 {
			t.Fatal("the end is never reached")
		}
	}
	return j.ID, step
}

var errUndone = errors.New("the power failed before the commit")

// TestAListingIsAppliedInSteps: its end waits, no step is long, what is undone is done
// again, and the outcome is the same.
func TestAListingIsAppliedInSteps(t *testing.T) {
	for _, undo := range []bool{false, true} {
		s := open(t)
		g := grouped(t, s, enrolled(t, s, "attic"))
		var parts [][]int
		for i := range 30 {
			var ns []int
			for n := range 70 {
				ns = append(ns, 70*i+n+1)
			}
			parts = append(parts, ns)
		}
		id, steps := listsInSteps(t, s, g, whole(30, 2100), parts, func(step int, _ *sqlx.Tx) error {
			if undo && step%3 == 0 {
				return errUndone
			}
			return nil
		})
		if got := held(s, g.Repository); len(got) != 1000 { // as many as it asks for
			t.Errorf("%d are there", len(got))
		}
		if n := must(s.SnapshotTallies(t.Context()))[g.Repository].Count; n != 2100 || steps < 40 {
			t.Errorf("%d are counted after %d steps", n, steps)
		}
		if n := must(get[int](t.Context(), s.r, `SELECT count(*) FROM snapshots n JOIN repositories r ON r.id = n.repository
			WHERE n.seen_at <> r.listed_at`)); n != 0 {
			t.Errorf("%d were not seen when the repository was listed: pages say that it does not list them", n)
		}
		if n := must(get[int](t.Context(), s.r, `SELECT count(*) FROM snapshots n JOIN repository_looks l ON l.repository = n.repository
			WHERE l.kind = 'list' AND n.seen_at <> l.good_at`)); n != 0 {
			t.Errorf("%d were not seen when their host's place was: pages say that it does not list them", n)
		}
		if j := must(s.Job(t.Context(), id)); j.State != topics.Succeeded || must(s.Repository(t.Context(), g.Repository)).ListedAt == 0 {
			t.Errorf("the job is %s", j.State)
		}
		if n := must(get[int](t.Context(), s.r, `SELECT count(*) FROM listing_progress`)); n != 0 {
			t.Errorf("%d listings are under way", n)
		}
		// The next one lacks all but three, and one that is not whole removes nothing.
		listsInSteps(t, s, g, whole(30, 2101), parts, nothing)
		listsInSteps(t, s, g, whole(2, 3), [][]int{{1, 2, 3}}, nothing)
		listsInSteps(t, s, g, topics.Finished{Result: &topics.Result{Parts: 1, Count: 4, Truncated: true}}, [][]int{{1, 2, 3, 5000}},
			nothing)
		if n := must(s.SnapshotTallies(t.Context()))[g.Repository].Count; n != 2100 {
			t.Errorf("after listings that are not whole %d are there", n)
		}
		must(s.w.Exec(`UPDATE snapshots SET seen_at = 1`)) // they were as late as their steps said
		listsInSteps(t, s, g, whole(1, 3), [][]int{{1, 2, 3}}, nothing)
		if got := held(s, g.Repository); !slices.Equal(got, wholeIDs(1, 2, 3)) {
			t.Errorf("there are %d", len(got))
		}
	}
}

// TestWhatIsRemovedBetweenTheStepsOfAListingStaysRemoved, whether it was entered before or not.
func TestWhatIsRemovedBetweenTheStepsOfAListingStaysRemoved(t *testing.T) {
	s := open(t)
	g := grouped(t, s, enrolled(t, s, "attic"))
	ran(t, s, Job{Host: g.Host, Kind: topics.SnapshotsJob, Repository: g.Repository, QueuedAt: 10}, 20, whole(1, 2),
		topics.Report{Snapshots: snaps(1, 100)})
	var ns []int
	for n := range 120 {
		ns = append(ns, n+1)
	}
	removed := int64(0)
	listsInSteps(t, s, g, whole(1, 120), [][]int{ns}, func(step int, tx *sqlx.Tx) (err error) {
		if step == 1 { // the first fifty are entered; the hundredth is not
			removed = s.Now() + 500
			_, err = tx.Exec(`UPDATE snapshots SET gone_at = $1 WHERE id IN ($2, $3)`, removed, id64(1), id64(100))
		}
		return err
	})
	for _, n := range []int{1, 100} {
		if n := must(s.SnapshotByID(t.Context(), g.Repository, id64(n))); n.GoneAt != removed || removed == 0 {
			t.Errorf("%s is gone since %d, want %d", n.ID, n.GoneAt, removed)
		}
	}
	if n := must(s.SnapshotTallies(t.Context()))[g.Repository].Count; n != 118 {
		t.Errorf("%d are there", n)
	}
}

func nothing(int, *sqlx.Tx) error { return nil }
