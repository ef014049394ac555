package views_test

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

func TestACalendarIsAYearOfWholeWeeks(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	santiago, err := time.LoadLocation("America/Santiago")
	if err != nil {
		t.Fatal(err)
	}
	// Sunday the 29th and Monday the 30th of March 2026: the clocks went forward that night.
	for _, now := range []time.Time{time.Date(2026, 3, 29, 23, 30, 0, 0, berlin), time.Date(2026, 3, 30, 0, 30, 0, 0, berlin),
		time.Date(2028, 2, 29, 12, 0, 0, 0, berlin),
		time.Date(2026, 11, 20, 0, 10, 0, 0, santiago)} { // where the 6th of September had no midnight
		ctx := words.WithZone(t.Context(), now.Location())
		today := now.Format(time.DateOnly)
		every := map[string]int{}
		for d := range 400 {
			every[time.Date(now.Year(), now.Month(), now.Day()-d, 12, 0, 0, 0, now.Location()).Format(time.DateOnly)] = d + 1
		}
		every[today] = 1
		c := views.NewCalendar(ctx, every, nil, now)
		for i, d := range c.Days {
			if d.Title == "" || i > 0 && d.Title == c.Days[i-1].Title {
				t.Errorf("%s: day %d of %d is %q", now, i, len(c.Days), d.Title)
			}
		}
		first := strings.Fields(c.Days[0].Title)
		begin := views.CalendarBegin(ctx, now).Add(24 * time.Hour)
		if first[0]+" "+first[1] != begin.Format("2 Jan:") {
			t.Errorf("%s: it begins with %q, and is asked for from %s", now, c.Days[0].Title, begin)
		}
		last := c.Days[len(c.Days)-1]
		if begin.Weekday() != time.Monday || last.Class != "c1" || last.X != 52*19 || last.Y != 18+19*((int(now.Weekday())+6)%7) {
			t.Errorf("%s: from %s to %+v", now, begin, last)
		}
		if want := 52*7 + (int(now.Weekday())+6)%7 + 1; len(c.Days) != want {
			t.Errorf("%s: %d days, want %d", now, len(c.Days), want)
		}
		if n := len(c.Months); n < 11 || n > 12 {
			t.Errorf("%s: %d months have a name: %v", now, n, c.Months)
		}
	}
}

func TestACalendarSaysWhatIsKeptAndWhatFailed(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	c := views.NewCalendar(t.Context(), map[string]int{
		"2026-11-20": 8,
		"2026-11-19": 7,
		"2026-11-18": 1,
		"2020-01-01": 3,
	}, map[string]int{"2026-11-19": 2, "2026-11-17": 1, "2026-11-16": 4}, now)
	var got []string
	for _, d := range c.Days[len(c.Days)-5:] {
		got = append(got, d.Class+" "+d.Title)
	}
	if want := "cx 16 Nov: 4 runs failed, none kept|cx 17 Nov: 1 run failed, none kept|c1 18 Nov: 1 kept|c2 19 Nov: 7 kept, 2 runs " +
		"failed|c3 20 Nov: 8 kept"; strings.Join(got, "|") != want {
		t.Errorf("the last days are\n%s, want\n%s", strings.Join(got, "|"), want)
	}
	if want := "Snapshots of ours kept by the day they were taken, over the last year: 16 of 3 days. Runs failed and nothing is kept " +
		"of 16 Nov, 17 Nov."; c.Label != want {
		t.Errorf("in words: %s", c.Label)
	}
}

func TestAChartMarksWhatHappened(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var points []views.Point
	for d := range 101 {
		points = append(points, views.Point{At: begin.AddDate(0, 0, d), Value: uint64(d)})
	}
	at := func(d int) views.Event { return views.Event{At: begin.AddDate(0, 0, d), Word: "prune"} }
	c := views.NewChart(t.Context(), points, at(-1), at(10), at(12), at(50), at(101))
	var got []string
	for _, m := range c.Events {
		got = append(got, m.Place+" "+m.Text)
	}
	if want := "74 prune|88.8 |370 prune"; strings.Join(got, "|") != want {
		t.Errorf("marks at %q, want %q", got, want)
	}
}
