package retention

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store"
)

// A period is an interval in which a rule keeps one snapshot.
type period struct {
	word  string // as in "daily"
	every time.Duration
	of    func(time.Time) int // the number of the period that a time is in
}

const day = 24 * time.Hour

// The periods that restic knows. Weeks are those of ISO 8601.
var (
	hourly  = period{"hourly", time.Hour, func(t time.Time) int { return t.Year()*1_000_000 + int(t.Month())*10_000 + t.Day()*100 + t.Hour() }}
	daily   = period{"daily", day, func(t time.Time) int { return t.Year()*10_000 + int(t.Month())*100 + t.Day() }}
	weekly  = period{"weekly", 7 * day, func(t time.Time) int { y, w := t.ISOWeek(); return y*100 + w }}
	monthly = period{"monthly", 28 * day, func(t time.Time) int { return t.Year()*100 + int(t.Month()) }}
	yearly  = period{"yearly", 365 * day, time.Time.Year}
)

// Suggested is what a new repository is offered: a window of time first, in which nothing is
// removed whoever adds snapshots, and fewer of what is older.
var Suggested = store.Keep{Within: "14d", WithinDaily: "60d", WithinWeekly: "1y", WithinMonthly: "3y"}

// A rule keeps one snapshot per period: for a number of periods, or for those within
// a time before the newest snapshot.
type rule struct {
	period
	count  int
	within span
	text   string // the duration as it was entered
}

// rules are a parsed Keep.
type rules struct {
	window span // everything within it is kept
	text   string
	last   int
	list   []rule
}

func (r rules) none() bool { return r.window.zero() && r.last == 0 && len(r.list) == 0 }

// thins reports whether any rule counts snapshots.
func (r rules) counts() (names []string) {
	if r.last > 0 {
		names = append(names, "keep_last")
	}
	for _, b := range r.list {
		if b.count > 0 {
			names = append(names, "keep_"+b.word)
		}
	}
	return names
}

func parse(k store.Keep) (rules, error) {
	var errs []error
	read := func(field, text string) span {
		s, err := parseSpan(text)
		if err == nil && text != "" && s.zero() {
			err = fmt.Errorf("%q is no time at all; leave it out", text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
		return s
	}
	r := rules{window: read("keep_within", k.Within), text: k.Within, last: k.Last}
	if k.Last < 0 || k.Last > maxCount {
		errs = append(errs, fmt.Errorf("keep_last: a number from 0 to %d", maxCount))
	}
	for _, f := range []struct {
		period
		count  int
		within string
	}{{hourly, k.Hourly, k.WithinHourly}, {daily, k.Daily, k.WithinDaily}, {weekly, k.Weekly, k.WithinWeekly},
		{monthly, k.Monthly, k.WithinMonthly}, {yearly, k.Yearly, k.WithinYearly}} {
		if f.count < 0 || f.count > maxCount {
			errs = append(errs, fmt.Errorf("keep_%s: a number from 0 to %d", f.word, maxCount))
		}
		if f.count > 0 {
			r.list = append(r.list, rule{period: f.period, count: f.count})
		}
		if s := read("keep_within_"+f.word, f.within); !s.zero() {
			r.list = append(r.list, rule{period: f.period, within: s, text: f.within})
		}
	}
	return r, errors.Join(errs...)
}

const maxCount = 100_000

// Check returns an error for rules that cannot be parsed, and for counts on an
// append-only repository: whoever may add snapshots there could push genuine ones out
// of a count. Without rules everything is kept.
func Check(k store.Keep, appendOnly bool) error {
	r, err := parse(k)
	if err != nil {
		return err
	}
	if names := r.counts(); appendOnly && len(names) > 0 {
		return fmt.Errorf("%s: an append-only repository keeps by time, not by number, or whoever can add snapshots could push yours out; "+
			"use keep_within, and keep_within_daily and its like for thinning",
			strings.Join(names, ", "))
	}
	return nil
}

// Contradictions returns where rules have less effect than they seem to, if backups
// run once per interval. An interval of 0 is unknown.
func Contradictions(k store.Keep, interval time.Duration) (said []string) {
	r, err := parse(k)
	if err != nil {
		return nil
	}
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	if !r.window.zero() && interval > 0 && r.window.about() < interval {
		say("keep_within %s is shorter than the %s between two backups: it keeps none but the newest.", r.text, spell(interval))
	}
	for _, b := range r.list {
		switch {
		case b.count > 0 && interval > b.every:
			say("keep_%s %d counts backups, not periods: with one every %s it reaches back %s.", b.word, b.count, spell(interval),
				spell(time.Duration(b.count)*interval))
		case b.count > 0:
		case !r.window.zero() && b.within.about() <= r.window.about():
			say("keep_within_%s %s keeps nothing that keep_within %s does not keep anyway.", b.word, b.text, r.text)
		case interval > 0 && b.within.about() < interval:
			say("keep_within_%s %s is shorter than the %s between two backups: it keeps none but the newest.", b.word, b.text, spell(interval))
		case interval > b.every:
			say("keep_within_%s %s wants one for each period, and backups run only every %s: it keeps every one of them.",
				b.word, b.text, spell(interval))
		}
	}
	return said
}

// spell returns a duration in words.
func spell(d time.Duration) string {
	for _, u := range []struct {
		d    time.Duration
		word string
	}{{365 * day, "year"}, {day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := int(d / u.d); n >= 2 || n == 1 && d == u.d {
			if n == 1 {
				return u.word
			}
			return fmt.Sprintf("%d %ss", n, u.word)
		}
	}
	return d.String()
}
