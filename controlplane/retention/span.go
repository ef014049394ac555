package retention

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A span is one of restic's durations: calendar units, so not a fixed number of
// hours.
type span struct{ hours, days, months, years int }

func (s span) zero() bool { return s == span{} }

// before returns the time that lies the span before t.
func (s span) before(t time.Time) time.Time {
	return t.AddDate(-s.years, -s.months, -s.days).Add(-time.Duration(s.hours) * time.Hour)
}

// about returns the approximate duration, ignoring leap days.
func (s span) about() time.Duration {
	const day = 24 * time.Hour
	return time.Duration(s.hours)*time.Hour + time.Duration(s.days)*day + time.Duration(s.months)*30*day + time.Duration(s.years)*365*day
}

// parseSpan parses restic's form, as in 1y2m3d4h. "" is the empty span.
func parseSpan(text string) (s span, err error) {
	wrong := fmt.Errorf("%.20q is no duration, as in 30d or 1y6m: numbers with y, m, d or h", text)
	seen := ""
	for rest := text; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i < 1 || i > 5 || strings.Contains(seen, rest[i:i+1]) {
			return span{}, wrong
		}
		n, err := strconv.Atoi(rest[:i])
		if err != nil {
			return span{}, wrong
		}
		unit := map[byte]*int{'y': &s.years, 'm': &s.months, 'd': &s.days, 'h': &s.hours}[rest[i]]
		if unit == nil {
			return span{}, wrong
		}
		*unit, seen, rest = n, seen+rest[i:i+1], rest[i+1:]
	}
	if s.years+s.months/12+s.days/365+s.hours/8760 > 200 { // time.Duration overflows at 292
		return span{}, fmt.Errorf("%.20q is longer than anybody keeps anything", text)
	}
	return s, nil
}
