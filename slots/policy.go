// Package slots says when backups are due: pure functions of a plan and a
// moment, which both sides share. The control plane shows and checks by them,
// the agent fires by them.
//
// A slot is one of a schedule's planned instants, for one of its source groups.
package slots

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones are known wherever this runs

	"github.com/netresearch/go-cron"
)

// MaxJitter bounds a schedule's jitter.
const MaxJitter = 24 * time.Hour

// A Policy computes a schedule's slots. Parse makes one; the zero value is not valid.
type Policy struct {
	line   *cron.SpecSchedule // read on a clock that never jumps
	zone   *time.Location
	offset time.Duration
}

// An Invalid says which field of a schedule is wrong, why, and what would be right.
type Invalid struct {
	Field string // as the API names it
	Say   string
	Do    string
}

// Error implements error.
func (e *Invalid) Error() string { return e.Field + ": " + e.Say }

// The words for whole lines, and what they stand for.
var words = map[string]string{"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}

// parser reads five fields. Of day of month and day of week either is enough if
// both are given, as crontab(5) has it. A leap day may be eight years away.
var parser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom).WithMaxSearchYears(12)

const cronHelp = "Give five fields: minute, hour, day of month, month, day of week, for example 30 2 * * 1-5; or @hourly, @daily, " +
	"@weekly or @monthly."

// Parse reads a schedule. Its slots begin up to jitter late, each by the same
// while, which comes from the seed: the schedule's ID, so that a fleet's
// schedules spread and each stays predictable. What does not fit is an *Invalid.
func Parse(line, zone string, jitter time.Duration, seed string) (Policy, error) {
	var p Policy
	wrong := func(why string) error { return &Invalid{"cron", fmt.Sprintf("%.100q %s.", line, why), cronHelp} }
	text := strings.Join(strings.Fields(line), " ")
	if w, ok := words[strings.ToLower(text)]; ok {
		text = w
	}
	if strings.HasPrefix(text, "@") || strings.Contains(text, "=") || strings.Count(text, " ") != 4 {
		return p, wrong("is not a cron line of five fields")
	}
	parsed, err := parser.Parse(text)
	if err != nil {
		return p, wrong("is not a cron line: " + err.Error())
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return p, wrong("is not a cron line of five fields")
	}
	spec.Location = time.UTC
	if spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return p, wrong("names a day that never comes")
	}
	if jitter < 0 || jitter > MaxJitter {
		return p, &Invalid{"jitter_seconds", fmt.Sprintf("%d is not between 0 and %d.", int64(jitter.Seconds()), int64(MaxJitter.Seconds())),
			"Give seconds; 0 is none."}
	}
	p = Policy{line: spec}
	if p.zone, err = location(zone); err != nil {
		return Policy{}, &Invalid{"zone", fmt.Sprintf("%.100q is not a time zone.", zone), "Give an IANA name such as Europe/Berlin, or UTC."}
	}
	if jitter > 0 {
		sum := sha256.Sum256([]byte(seed))
		p.offset = time.Duration(binary.BigEndian.Uint64(sum[:8])%uint64(jitter.Seconds()+1)) * time.Second
	}
	return p, nil
}

// zones caches loaded time zones; there are a few hundred.
var zones sync.Map

var errLocal = errors.New("a name that every machine reads differently")

func location(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	if name == "" || strings.EqualFold(name, "local") {
		return nil, errLocal
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	zones.Store(name, z)
	return z, nil
}

// Grace is how late a slot may begin, on top of its jitter, until it counts as late, or
// as missed if nobody began it.
const Grace = time.Hour

// Start is when a slot begins: late by the schedule's jitter.
func (p Policy) Start(slot time.Time) time.Time { return slot.Add(p.offset) }

// Next is the first slot after a moment, in UTC.
//
// The cron line is read on the clock on the wall, each of its times once: a time
// that the wall skips, in spring, comes at the moment after the gap, together
// with whatever else falls there; of a time that the wall shows twice, in
// autumn, the first is meant. Libraries differ here, and the two we tried run
// twice in autumn and forget some gaps; so the library reads the line on a clock
// without jumps, and the jumps are ours.
func Next(p Policy, after time.Time) time.Time {
	for wall := p.wall(after); ; {
		if wall = p.line.Next(wall); wall.IsZero() {
			return time.Time{}
		}
		// While the clock repeats an hour, the slots of that hour have already passed.
		if slot := p.instant(wall); slot.After(after) {
			return slot
		}
	}
}

// Many is the number at which Due stops counting.
const Many = 1000

// Due is the latest slot after last that has begun by now, and how many slots
// there were since last, that one included; they are counted up to 1,000. None
// is the zero time and 0.
func Due(p Policy, last, now time.Time) (slot time.Time, slots int) {
	until := now.Add(-p.offset)
	for n := Next(p, last); !n.IsZero() && !n.After(until); n = Next(p, n) {
		slot = n
		if slots++; slots == Many {
			return p.latest(until), slots
		}
	}
	return slot, slots
}

// latest is the latest slot up to a moment, of which there are some.
func (p Policy) latest(until time.Time) time.Time {
	slot := p.instant(p.line.Prev(p.wall(until).Truncate(time.Second).Add(time.Second)))
	for n := Next(p, slot); !n.After(until); n = Next(p, n) {
		slot = n
	}
	return slot
}

// wall is what the clock on the wall shows, on a clock that never jumps.
func (p Policy) wall(t time.Time) time.Time { return onWall(t.In(p.zone)) }

func onWall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant is when the wall first shows a time, or the moment after the gap it
// falls into. It never decreases from one time to a later one.
func (p Policy) instant(wall time.Time) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, p.zone)
	begin, end := t.ZoneBounds()
	switch shown := onWall(t); {
	case shown.After(wall): // a gap, and t lies behind it
		return begin.UTC()
	case shown.Before(wall): // a gap, and t lies before it
		return end.UTC()
	}
	if !begin.IsZero() {
		_, offset := begin.Add(-1).Zone()
		if first := wall.Add(-time.Duration(offset) * time.Second); first.Before(begin) && p.wall(first).Equal(wall) {
			return first
		}
	}
	return t.UTC()
}
