package store

import (
	"testing"

	"github.com/restic-manager/restic-manager/store/promise"
	"github.com/restic-manager/restic-manager/topics"
)

func promised(t *testing.T, s *Store, g SourceGroup) promise.Group {
	t.Helper()
	for _, p := range must(s.FleetSince(t.Context(), -1, 0)).Groups[g.Host] {
		if p.ID == g.ID {
			return p
		}
	}
	t.Fatalf("nothing is promised to group %s", g.ID)
	return promise.Group{}
}

// TestAGroupThatJoinsAScheduleOwesNothingOfBefore: its slots of years were promised to
// others.
func TestAGroupThatJoinsAScheduleOwesNothingOfBefore(t *testing.T) {
	s := open(t)
	attic := enrolled(t, s, "attic")
	first, other := grouped(t, s, attic), grouped(t, s, attic)
	planned(t, s, attic, "nightly", first.ID)
	must(s.w.Exec(`UPDATE schedules SET since = 1000, paused_from = 900, owed = 800`))
	must(s.w.Exec(`UPDATE schedule_groups SET joined_at = 500`))
	before := s.Now()
	planned(t, s, attic, "nightly", first.ID, other.ID)
	if p := promised(t, s, first).Schedules; len(p) != 1 || p[0].Since != 1000 || p[0].PausedFrom != 900 || p[0].Owed != 800 {
		t.Errorf("the group that was there is promised %+v", p)
	}
	if p := promised(t, s, other).Schedules; len(p) != 1 || p[0].Since < before || p[0].PausedFrom != 0 || p[0].Owed != 0 {
		t.Errorf("the one that joined is promised %+v", p)
	}
}

// TestAGroupThatIsPointedElsewhereIsKnownToHaveSnapshots where it was backed up to
// before, until one is where it is backed up to now.
func TestAGroupThatIsPointedElsewhereIsKnownToHaveSnapshots(t *testing.T) {
	p := began(t)
	p.backup(topics.Succeeded, 1, 10, 100)
	p.backup(topics.Succeeded, 2, 10, 100)
	last, host := p.now, must(p.s.Host(t.Context(), p.g.Host))
	if g := promised(t, p.s, p.g); g.Elsewhere != 0 {
		t.Errorf("elsewhere are %d snapshots", g.Elsewhere)
	}
	was := p.g.Repository
	p.g.Repository = grouped(t, p.s, host).Repository
	must(p.s.PutSourceGroup(t.Context(), "test", p.g))
	if g := promised(t, p.s, p.g); g.Elsewhere != 2 || g.ElsewhereAt != last || g.Facts.Snapshots != 0 {
		t.Errorf("pointed elsewhere, it is %+v", g)
	}
	p.g.Repository = was
	must(p.s.PutSourceGroup(t.Context(), "test", p.g))
	if g := promised(t, p.s, p.g); g.Elsewhere != 0 || g.Facts.Good.ID != id64(2) {
		t.Errorf("pointed back, it is %+v", g)
	}
}

// TestAPastThatIsMadeUpWasPromised: what a demo's hosts missed in it counts.
func TestAPastThatIsMadeUpWasPromised(t *testing.T) {
	s := open(t)
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	planned(t, s, attic, "nightly", g.ID)
	if err := s.Backdate(t.Context(), attic.ID, Since{Created: 1000, Served: 2000}); err != nil {
		t.Fatal(err)
	}
	if p := promised(t, s, g).Schedules; len(p) != 1 || p[0].Since != 1000 {
		t.Errorf("promised is %+v", p)
	}
}
