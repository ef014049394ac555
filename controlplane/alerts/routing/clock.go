package routing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/slots"
)

// Weekdays are what a weekly digest may come on.
var Weekdays = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// clock reads a time of day, "07:00".
func clock(text string) (hour, minute int, ok bool) {
	h, m, two := strings.Cut(text, ":")
	hour, err := strconv.Atoi(h)
	if err != nil || !two || len(h) != 2 || len(m) != 2 {
		return 0, 0, false
	}
	minute, err = strconv.Atoi(m)
	return hour, minute, err == nil && hour >= 0 && hour < 24 && minute >= 0 && minute < 60
}

func daily(at, zone string) (slots.Policy, error) { return policy(at, "*", zone) }

func policy(at, day, zone string) (slots.Policy, error) {
	hour, minute, ok := clock(at)
	if !ok {
		return slots.Policy{}, fmt.Errorf("%.20q is no time of day", at)
	}
	return slots.Parse(fmt.Sprintf("%d %d * * %s", minute, hour, day), zone, 0, "")
}

func (d Digest) policy() (slots.Policy, error) {
	if d.Every != Weekly {
		return daily(d.At, d.Zone)
	}
	day := slices.Index(Weekdays, d.Weekday)
	return policy(d.At, strconv.Itoa((day+1)%7), d.Zone)
}

// Next is when a digest comes first after a moment: each day has exactly one, also when
// the clock is changed. It is the zero time if the digest cannot be read.
func (d Digest) Next(after time.Time) time.Time {
	p, err := d.policy()
	if err != nil {
		return time.Time{}
	}
	return slots.Next(p, after)
}

// Due is the latest moment after last at which a digest was to come by now, the zero time
// if there is none: after a downtime one comes, and not those that were missed.
func (d Digest) Due(last, now time.Time) time.Time {
	p, err := d.policy()
	if err != nil {
		return time.Time{}
	}
	slot, _ := slots.Due(p, last, now)
	return slot
}

// Span is how far back a digest looks.
func (d Digest) Span() time.Duration {
	if d.Every == Weekly {
		return 7 * 24 * time.Hour
	}
	return 24 * time.Hour
}

// Key tells digests of different times apart.
func (d Digest) Key() string { return strings.Join([]string{d.Every, d.At, d.Weekday, d.Zone}, " ") }
