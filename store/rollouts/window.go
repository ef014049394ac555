package rollouts

import "time"

// Always reports whether updates begin at any time.
func (p Plan) Always() bool { return p.From == p.Until }

// Opens reports whether updates begin at a moment, and when that is over, or begins: the
// zero time if it is always so. Hours that go past midnight belong together.
func (p Plan) Opens(now time.Time) (until time.Time, open bool) {
	if p.Always() {
		return time.Time{}, true
	}
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		zone = time.UTC
	}
	now = now.In(zone)
	at := func(day, minute int) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()+day, 0, minute, 0, 0, zone)
	}
	length := p.Until
	if p.Until < p.From {
		length += 24 * 60
	}
	for day := -1; ; day++ {
		switch from, end := at(day, p.From), at(day, length); {
		case now.Before(from):
			return from, false
		case now.Before(end):
			return end, true
		}
	}
}
