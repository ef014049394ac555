package schedule

import (
	"errors"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
)

func moments(texts ...string) (out []time.Time) {
	for _, text := range texts {
		out = append(out, must(time.Parse(time.RFC3339, text)))
	}
	return out
}

func TestNextStartsCountsTheJittersOffset(t *testing.T) {
	ms := func(text string) int64 { return moments(text)[0].UnixMilli() }
	jittered := store.Schedule{ID: "nightly-0001", Cron: "0 * * * *", Zone: "UTC", JitterSeconds: 3600}
	late := Offset(must(Of(jittered)))
	if late < time.Minute || late > 58*time.Minute {
		t.Fatalf("the offset is %s; the test wants one inside the hour", late)
	}
	inside := moments("2026-03-01T10:00:00Z")[0].Add(late / 2) // the slot of 10:00 has passed, its run has not begun
	with := func(edit func(*store.Schedule)) store.Schedule {
		sc := jittered
		edit(&sc)
		return sc
	}
	plain := func(cron, zone string) store.Schedule {
		return store.Schedule{ID: "plain-0001", Cron: cron, Zone: zone}
	}
	for _, c := range []struct {
		what string
		sc   store.Schedule
		now  time.Time
		late time.Duration
		want []time.Time // slots
	}{
		{"a run whose slot has passed is next", jittered, inside, late, moments("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z")},
		{"one that fired is not", with(func(s *store.Schedule) { s.LastSlot = ms("2026-03-01T10:00:00Z") }), inside, late,
			moments("2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z")},
		{"one before the plan was changed is not", with(func(s *store.Schedule) { s.Since = inside.UnixMilli() }), inside, late,
			moments("2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z")},
		{"what was saved long ago does not matter", with(func(s *store.Schedule) { s.Since, s.LastSlot = 1, 1 }), inside, late,
			moments("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z")},
		{"that it is paused does not matter", with(func(s *store.Schedule) { s.Enabled = false }), inside, late,
			moments("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z")},
		{"a slot in the gap of spring begins after it", plain("30 2 * * *", "Europe/Berlin"), moments("2026-03-28T12:00:00Z")[0], 0,
			moments("2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z")},
		{"a slot that autumn shows twice begins once", plain("30 2 * * *", "Europe/Berlin"), moments("2026-10-24T12:00:00Z")[0], 0,
			moments("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z")},
		{"a zone of half an hour", plain("@hourly", "Asia/Kolkata"), moments("2026-03-01T10:00:00Z")[0], 0,
			moments("2026-03-01T10:30:00Z", "2026-03-01T11:30:00Z")},
	} {
		got, err := NextStarts(c.sc, c.now, len(c.want))
		if err != nil || len(got) != len(c.want) {
			t.Errorf("%s: %v, %v", c.what, got, err)
			continue
		}
		for i, slot := range c.want {
			if want := slot.Add(c.late); !got[i].Equal(want) || got[i].Location() != time.UTC {
				t.Errorf("%s: run %d begins at %s, want %s", c.what, i, got[i], want)
			}
		}
	}
	if got, err := NextStarts(jittered, inside, 0); err != nil || got == nil || len(got) != 0 {
		t.Errorf("none asked for: %v, %v", got, err)
	}
	var invalid *slots.Invalid
	if _, err := NextStarts(plain("61 * * * *", "UTC"), inside, 1); !errors.As(err, &invalid) || invalid.Field != "cron" {
		t.Errorf("a line that is none: %v", err)
	}
}

// A slot is due, for the runner and for agents, from the moment NextStarts names.
func TestASlotIsDueWhenNextStartsSaysSo(t *testing.T) {
	now := moments("2026-03-01T10:00:00Z")[0]
	sc := store.Schedule{ID: "nightly-0001", Cron: "0 * * * *", Zone: "UTC", JitterSeconds: 3600, Since: now.UnixMilli()}
	start := must(NextStarts(sc, now, 1))[0]
	p := must(Of(sc))
	last := time.UnixMilli(sc.Since)
	if _, n := slots.Due(p, last, start.Add(-time.Millisecond)); n != 0 {
		t.Errorf("%d slots are due a moment before %s", n, start)
	}
	if slot, n := slots.Due(p, last, start); n != 1 || !p.Start(slot).Equal(start) {
		t.Errorf("at %s %d slots are due, the latest of %s", start, n, slot)
	}
}
