package views

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

// A Day is what happened to a host on one day: the worst run counts.
type Day byte

// The days of a strip. The letters are also what the browser reads for its tooltip.
const (
	DayNone      Day = 'n' // no run
	DayPaused    Day = 'p'
	DayAsleep    Day = 'z' // missed by a host that is not always on
	DaySucceeded Day = 's'
	DayRunning   Day = 'r'
	DayWarnings  Day = 'w'
	DayMissed    Day = 'm'
	DayFailed    Day = 'f'
)

// StripDays is the width of a strip.
const StripDays = 30

// dayOrder ranks days, mildest first. Running never hides a failure.
const dayOrder = "npzsrwmf"

// JobDay is the day a job's ending makes: succeeded, warnings, running (also for
// a job that waits), failed (also interrupted and abandoned). A cancelled job
// says nothing about protection and counts as none.
func JobDay(state string) Day {
	switch state {
	case "succeeded":
		return DaySucceeded
	case "warnings":
		return DayWarnings
	case "failed", "interrupted", "abandoned":
		return DayFailed
	case "running", "dispatched", "queued", "stalled":
		return DayRunning
	}
	return DayNone
}

// SlotDay is the day that a slot makes for which nothing was begun. What was planned to
// be so is calm; a day on which something ran shows that.
func SlotDay(outcome string) Day {
	switch outcome {
	case "missed-paused", "missed-hours":
		return DayPaused
	case "missed-asleep":
		return DayAsleep
	case "waiting":
		return DayNone
	}
	return DayMissed
}

// A Run is one backup or one slot for a strip: when it was and what it made of its day.
type Run struct {
	At  time.Time
	Day Day
}

// A Strip is thirty days as one path per state: hardly two nodes a host.
type Strip struct {
	Days  string      // thirty letters, oldest first
	Label string      // for people who do not see it
	Last  string      // the date of the last day, "2026-11-20"
	Paths []StripPath // in a fixed order
}

// A StripPath draws all days of one state.
type StripPath struct{ Class, D string }

// NewStrip draws the thirty days that end with now's own, in ctx's zone. Runs
// outside them are ignored; of several runs on one day the worst is shown.
func NewStrip(ctx context.Context, runs []Run, now time.Time) Strip {
	days := []byte(strings.Repeat(string(rune(DayNone)), StripDays))
	zone := words.Zone(ctx)
	y, m, d := now.In(zone).Date()
	// Noon to noon, so that a day of 23 or 25 hours is still one day.
	today := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
	for _, r := range runs {
		y, m, d := r.At.In(zone).Date()
		i := StripDays - 1 - int(today.Sub(time.Date(y, m, d, 12, 0, 0, 0, time.UTC))/(24*time.Hour))
		if i < 0 || i >= StripDays {
			continue
		}
		if strings.IndexByte(dayOrder, byte(r.Day)) > strings.IndexByte(dayOrder, days[i]) {
			days[i] = byte(r.Day)
		}
	}
	return DrawStrip(string(days), today)
}

var dayWords = []struct {
	day   Day
	words string
}{
	{DaySucceeded, "succeeded"}, {DayWarnings, "with warnings"}, {DayFailed, "failed"},
	{DayMissed, "missed"}, {DayRunning, "running now"}, {DayPaused, "paused"}, {DayAsleep, "asleep"}, {DayNone, "without a run"},
}

// DrawStrip draws days, one letter each and oldest first, of which last is the
// date of the newest, in UTC.
func DrawStrip(days string, last time.Time) Strip {
	s := Strip{Days: days, Last: words.Date(context.Background(), last)}
	var said []string
	for _, w := range dayWords {
		var b strings.Builder
		n := 0
		for i := range len(days) {
			if days[i] == byte(w.day) {
				b.WriteString(mark(w.day, i*6+3))
				n++
			}
		}
		if n > 0 {
			s.Paths = append(s.Paths, StripPath{Class: string(rune(w.day)), D: b.String()})
			said = append(said, strconv.Itoa(n)+" "+w.words)
		}
	}
	s.Label = fmt.Sprintf("Last %d days: %s", len(days), strings.Join(said, ", "))
	return s
}

func mark(d Day, x int) string {
	switch d {
	case DaySucceeded, DayRunning:
		return fmt.Sprintf("M%d 11v7", x)
	case DayWarnings:
		return fmt.Sprintf("M%d 6v2.5M%d 14.5v3.5", x, x)
	case DayFailed:
		return fmt.Sprintf("M%d 2v16", x)
	case DayMissed:
		return fmt.Sprintf("M%d.4 3.5h3.2v15h-3.2z", x-2)
	case DayPaused, DayAsleep:
		return fmt.Sprintf("M%d 16v3", x)
	}
	return fmt.Sprintf("M%d 19v0", x)
}
