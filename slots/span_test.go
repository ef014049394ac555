package slots

import (
	"testing"
	"time"
)

// What is left out are the slots that begin in a span, with their jitter; one at its very
// end counts.
func TestSlotsInASpanAreLeftOut(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		m, err := time.Parse("02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return m.AddDate(2026, 2, 0)
	}
	span := func(from, until string) Span { return Span{at(from).UnixMilli(), at(until).UnixMilli()} }
	for _, c := range []struct {
		what, line string
		jitter     time.Duration
		spans      []Span
		last, now  string
		next, due  string // "" is none
		n          int
	}{
		{"no span", "0 2 * * *", 0, nil, "01 02:00", "04 10:00", "02 02:00", "04 02:00", 3},
		{"a span without a slot", "0 2 * * *", 0, []Span{span("02 03:00", "02 22:00")}, "01 02:00", "04 10:00", "02 02:00", "04 02:00", 3},
		{"the next is in it", "0 2 * * *", 0, []Span{span("01 10:00", "02 10:00")}, "01 02:00", "04 10:00", "03 02:00", "04 02:00", 2},
		{"the latest is in it", "0 2 * * *", 0, []Span{span("03 10:00", "09 10:00")}, "01 02:00", "04 10:00", "02 02:00", "03 02:00", 2},
		{"all are in it", "0 2 * * *", 0, []Span{span("01 10:00", "08 10:00")}, "01 02:00", "04 10:00", "09 02:00", "", 0},
		{"at its beginning", "0 2 * * *", 0, []Span{span("02 02:00", "02 03:00")}, "01 02:00", "02 10:00", "03 02:00", "", 0},
		{"at its end", "0 2 * * *", 0, []Span{span("01 10:00", "02 02:00")}, "01 02:00", "02 10:00", "02 02:00", "02 02:00", 1},
		{"several", "0 2 * * *", 0, []Span{span("01 10:00", "02 10:00"), span("03 01:00", "03 03:00")}, "01 02:00", "05 10:00", "04 02:00",
			"05 02:00", 2},
		{"that overlap", "0 2 * * *", 0, []Span{span("01 10:00", "03 10:00"), span("02 01:00", "04 03:00")}, "01 02:00", "05 10:00",
			"05 02:00", "05 02:00", 1},
		{"every minute", "* * * * *", 0, []Span{span("01 02:30", "01 03:30")}, "01 02:29", "01 03:31", "01 03:30", "01 03:31", 2},
		{"more than are counted", "* * * * *", 0, []Span{span("01 02:30", "01 03:30"), span("03 10:00", "03 12:00")}, "01 02:29",
			"03 11:00", "01 03:30", "03 09:59", Many},
	} {
		t.Run(c.what, func(t *testing.T) {
			p, err := Parse(c.line, "UTC", c.jitter, "schedule")
			if err != nil {
				t.Fatal(err)
			}
			if got := NextBut(p, at(c.last), c.spans); !got.Equal(at(c.next)) {
				t.Errorf("the next is %s, want %s", got, c.next)
			}
			slot, n := DueBut(p, at(c.last), at(c.now), c.spans)
			if c.due == "" && (n != 0 || !slot.IsZero()) || c.due != "" && !slot.Equal(at(c.due)) || n != c.n {
				t.Errorf("due is %s, of %d; want %q, of %d", slot, n, c.due, c.n)
			}
		})
	}
}

// With a jitter, when a slot begins counts, not when it was planned.
func TestTheJitterCountsInASpan(t *testing.T) {
	p, err := Parse("0 2 * * *", "UTC", 4*time.Hour, "a schedule")
	if err != nil {
		t.Fatal(err)
	}
	slot := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	start := p.Start(slot)
	if start.Equal(slot) {
		t.Fatal("it has no jitter")
	}
	in := []Span{{start.UnixMilli(), start.UnixMilli() + 1}}
	if got := NextBut(p, slot.Add(-time.Hour), in); !got.Equal(slot.AddDate(0, 0, 1)) {
		t.Errorf("the next is %s", got)
	}
	if _, n := DueBut(p, slot.Add(-time.Hour), start.Add(time.Hour), in); n != 0 {
		t.Error("it is due")
	}
	before := []Span{{slot.UnixMilli() - 1000, start.UnixMilli()}}
	if got := NextBut(p, slot.Add(-time.Hour), before); !got.Equal(slot) {
		t.Errorf("it begins when the span has ended, and the next is %s", got)
	}
}
