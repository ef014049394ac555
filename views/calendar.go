package views

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

// A Calendar is a year of days, a column for each week from Monday on, drawn on
// the server.
type Calendar struct {
	Months []Mark
	Days   []CalendarDay
	Label  string // for who cannot see it
}

// A CalendarDay is a square of an SVG of 1007 by 151.
type CalendarDay struct {
	X, Y  int
	Class string // c0 to c3 by how many were kept, cx for runs that failed
	Title string // "12 Nov: 3 kept"; "" for a day without anything
}

// Failed reports whether runs failed on that day and nothing of it was kept.
func (d CalendarDay) Failed() bool { return d.Class == "cx" }

const (
	calendarWeeks = 53
	calendarStep  = 19 // from a square to the next
	calendarTop   = 18
)

// monday is the first day of the calendar that ends with now, at noon in now's zone.
func monday(now time.Time) time.Time {
	this := now.Day() - (int(now.Weekday())+6)%7
	return time.Date(now.Year(), now.Month(), this-7*(calendarWeeks-1), 12, 0, 0, 0, now.Location())
}

// CalendarBegin is a moment before the first day of the calendar that ends with
// now, by less than a day.
func CalendarBegin(ctx context.Context, now time.Time) time.Time {
	return monday(now.In(words.Zone(ctx))).Add(-24 * time.Hour)
}

// NewCalendar draws how many snapshots are kept of each day, and the days whose
// runs failed with nothing kept. Both are counted by the date in the zone of ctx, as
// [words.Date] has it.
func NewCalendar(ctx context.Context, kept, failed map[string]int, now time.Time) Calendar {
	now = now.In(words.Zone(ctx))
	var c Calendar
	var total, days int
	var bad []string
	begin := monday(now)
	for i := range calendarWeeks * 7 {
		at := time.Date(begin.Year(), begin.Month(), begin.Day()+i, 12, 0, 0, 0, now.Location()) // there is a noon on every day
		date, day := words.Date(ctx, at), CalendarDay{X: i / 7 * calendarStep, Y: calendarTop + i%7*calendarStep}
		if at.Day() == 1 && i/7 < calendarWeeks-1 {
			c.Months = append(c.Months, Mark{strconv.Itoa(day.X), words.Month(ctx, at)})
		}
		switch n := kept[date]; {
		case n >= 8:
			day.Class = "c3"
		case n >= 2:
			day.Class = "c2"
		case n == 1:
			day.Class = "c1"
		case failed[date] > 0:
			day.Class, day.Title = "cx", words.DayOfYear(ctx, at)+": "+words.Count(uint64(failed[date]), "run", "runs")+" failed, none kept"
			bad = append(bad, words.DayOfYear(ctx, at))
		default:
			day.Class = "c0"
		}
		if n := kept[date]; n > 0 {
			total, days = total+n, days+1
			day.Title = words.DayOfYear(ctx, at) + ": " + words.Number(uint64(n)) + " kept"
			if failed[date] > 0 {
				day.Title += ", " + words.Count(uint64(failed[date]), "run", "runs") + " failed"
			}
		}
		if c.Days = append(c.Days, day); date == words.Date(ctx, now) {
			break
		}
	}
	c.Label = fmt.Sprintf("Snapshots of ours kept by the day they were taken, over the last year: %s of %s.", words.Number(uint64(total)),
		words.Count(uint64(days), "day", "days"))
	if n := len(bad); n > 0 {
		c.Label += " Runs failed and nothing is kept of " + strings.Join(bad[max(0, n-5):], ", ")
		if n > 5 {
			c.Label += fmt.Sprintf(" and %d days before", n-5)
		}
		c.Label += "."
	}
	return c
}
