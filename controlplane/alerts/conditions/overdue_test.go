package conditions

import (
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
)

// promisedGroup is a group that was backed up last at a moment, as protection judges it.
func promisedGroup(now, last time.Time, f protection.Facts) Facts {
	if !last.IsZero() {
		f.Good = facts.Snapshot{ID: "s", Job: "j", Begun: last.UnixMilli(), Ended: last.Add(time.Minute).UnixMilli(), Files: 9, Bytes: 99,
			State: topics.Succeeded}
		f.Newest, f.Whole, f.Snapshots = f.Good, f.Good, 1
	}
	h := sampleHost(now.UnixMilli())
	g := &h.Groups[0]
	g.Said, g.LastGood, g.Schedules, g.CreatedAt, g.Enabled = protection.All(f, now), f.Good.Ended, len(f.Plans), f.CreatedAt, 0
	for _, p := range f.Plans {
		if p.Enabled {
			g.Enabled++
		}
	}
	h.Intermittent, h.Offline, h.SeenAt = f.Host.Intermittent, f.Host.Offline, now.UnixMilli()
	h.EnrolledAt = f.CreatedAt
	return Facts{Hosts: []Host{h}}
}

func daily(t *testing.T, line, zone string, since time.Time) protection.Plan {
	p, err := slots.Parse(line, zone, 0, "nightly")
	if err != nil {
		t.Fatal(err)
	}
	return protection.Plan{ID: "nightly", Name: "nightly", Policy: p, Enabled: true, Since: since.UnixMilli(), Made: since.UnixMilli()}
}

// The night in which a clock skips or repeats the hour of a slot opens nothing, as long as
// each slot that there is is served.
func TestTheNightsOfSummerTimeOpenNothing(t *testing.T) {
	for _, line := range []string{"30 2 * * *", "0 3 * * *", "0 * * * *"} {
		for _, day := range []time.Time{time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC)} {
			made := day.Add(-30 * 24 * time.Hour)
			plan := daily(t, line, "Europe/Berlin", made)
			last := day
			for now := day; now.Before(day.Add(72 * time.Hour)); now = now.Add(10 * time.Minute) {
				if next := slots.Next(plan.Policy, last); !next.After(now) {
					last = next.Add(time.Second)
				}
				f := promisedGroup(now, last, protection.Facts{CreatedAt: made.UnixMilli(), Plans: []protection.Plan{plan}})
				if got := found(f, nil, now); len(got) > 0 {
					t.Fatalf("%s at %s: %v", line, now, got)
				}
			}
		}
	}
}

// Overdue is judged from the last good snapshot: also when nothing ran, when no schedule
// is there, and whatever clock said something.
func TestOverdueIsJudgedFromTheLastGoodSnapshot(t *testing.T) {
	now := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	ago := func(days int) time.Time { return now.Add(time.Duration(-days) * 24 * time.Hour) }
	made := ago(60)
	plan := daily(t, "0 2 * * *", "UTC", made)
	paused := plan
	paused.Enabled, paused.PausedAt = false, ago(20).UnixMilli()
	weekly := daily(t, "0 2 * * 0", "UTC", made)
	for _, c := range []struct {
		what string
		last time.Time
		f    protection.Facts
		want []Name
	}{
		{"as promised", now.Add(-10 * time.Hour), protection.Facts{Plans: []protection.Plan{plan}}, nil},
		{"one slot missed", now.Add(-34 * time.Hour), protection.Facts{Plans: []protection.Plan{plan}}, []Name{SlotMissed}},
		{"nothing ran for a week", ago(7), protection.Facts{Plans: []protection.Plan{plan}}, []Name{Overdue, SlotMissed}},
		{"nothing ever ran", time.Time{}, protection.Facts{Plans: []protection.Plan{plan}}, []Name{Overdue, SlotMissed}},
		{"no schedule, within the limit", ago(1), protection.Facts{}, []Name{Unscheduled}},
		{"no schedule, beyond it", ago(7), protection.Facts{}, []Name{Overdue, Unscheduled}},
		{"paused by somebody", ago(7), protection.Facts{Plans: []protection.Plan{paused}}, nil},
		{"a weekly one whose slot is to come", ago(3), protection.Facts{Plans: []protection.Plan{weekly}}, nil},
		{"a laptop that sleeps within its limit", ago(5), protection.Facts{Plans: []protection.Plan{plan},
			Host: protection.Host{Intermittent: true, Offline: true, SeenAt: ago(5).UnixMilli(), AwayUntil: ago(5).UnixMilli()}}, nil},
		{"a laptop that sleeps beyond it", ago(9), protection.Facts{Plans: []protection.Plan{plan},
			Host: protection.Host{Intermittent: true, Offline: true, SeenAt: ago(9).UnixMilli(), AwayUntil: ago(9).UnixMilli()}}, []Name{Overdue}},
		{"a snapshot of next year is not believed", now.AddDate(1, 0, 0), protection.Facts{Plans: []protection.Plan{plan}}, []Name{Overdue}},
	} {
		c.f.CreatedAt = made.UnixMilli()
		got := found(promisedGroup(now, c.last, c.f), nil, now)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
