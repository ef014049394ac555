package drills

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

func TestTheNearestPlanCounts(t *testing.T) {
	host := store.Host{ID: "attic-0001", Tags: store.List{"a", "b"}}
	own := drills.Plan{Kind: drills.OfHost, Subject: "attic-0001", Files: 1}
	a, b := drills.Plan{Kind: drills.OfTag, Subject: "a", Files: 2}, drills.Plan{Kind: drills.OfTag, Subject: "b", Files: 3}
	all := drills.Plan{Kind: drills.OfFleet, Files: 5}
	other := drills.Plan{Kind: drills.OfHost, Subject: "cellar-0001", Files: 4}
	for _, c := range []struct {
		what  string
		plans []drills.Plan
		files int
		said  bool
	}{
		{"none", nil, topics.DrillFiles, false},
		{"another host's", []drills.Plan{other}, topics.DrillFiles, false},
		{"a tag's", []drills.Plan{b, other}, 3, true},
		{"of two tags the first", []drills.Plan{b, a}, 2, true},
		{"the fleet's", []drills.Plan{all, other}, 5, true},
		{"a tag's before the fleet's", []drills.Plan{all, b}, 3, true},
		{"its own", []drills.Plan{all, a, b, own}, 1, true},
	} {
		if p, said := Nearest(host, c.plans); p.Files != c.files || said != c.said {
			t.Errorf("%s: %+v, %t", c.what, p, said)
		}
	}
}

func TestOnlyTheLatestSlotIsDue(t *testing.T) {
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := drills.Plan{Cron: "0 3 * * *", Zone: "UTC", Enabled: true, Since: since.UnixMilli()}
	day := func(n int) time.Time { return time.Date(2026, 1, n, 3, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		what   string
		served int64
		now    time.Time
		off    bool
		want   int64
	}{
		{"before the first", 0, day(1).Add(-time.Minute), false, 0},
		{"the first", 0, day(1).Add(Jitter), false, day(1).UnixMilli()},
		{"served", day(1).UnixMilli(), day(1).Add(2 * Jitter), false, 0},
		{"three missed", day(1).UnixMilli(), day(4).Add(Jitter), false, day(4).UnixMilli()},
		{"switched off", 0, day(4).Add(Jitter), true, 0},
	} {
		p := p
		p.Enabled = !c.off
		if got := due(store.Host{ID: "attic-0001"}, p, c.served, c.now); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, time.UnixMilli(got).UTC(), time.UnixMilli(c.want).UTC())
		}
	}
}
