package words

import (
	"context"
	"time"
)

type zoneKey struct{}

// WithZone returns a context in whose zone moments are told to a viewer.
func WithZone(ctx context.Context, zone *time.Location) context.Context {
	return context.WithValue(ctx, zoneKey{}, zone)
}

// Zone is the zone in which moments are told to whoever a context is of; UTC if
// nobody said.
func Zone(ctx context.Context) *time.Location {
	if zone, ok := ctx.Value(zoneKey{}).(*time.Location); ok && zone != nil {
		return zone
	}
	return time.UTC
}

// The functions below are all there is to put a moment into words. They take the
// zone out of the context, so that everything a viewer sees is in the same one.

// Clock is t as a clock or calendar near now would say it: the time alone for
// today, the weekday with it inside a week, then the date.
func Clock(ctx context.Context, t, now time.Time) string {
	if odd(t) {
		return OutOfRange
	}
	t, now = t.In(Zone(ctx)), now.In(Zone(ctx))
	y, m, d := now.Date()
	midnight := time.Date(y, m, d, 0, 0, 0, 0, now.Location())
	switch {
	case !t.Before(midnight) && t.Before(midnight.AddDate(0, 0, 1)):
		return t.Format("15:04")
	case t.Before(midnight) && !t.Before(midnight.AddDate(0, 0, -6)):
		return t.Format("Mon 15:04")
	case t.Year() == y:
		return t.Format("2 Jan 15:04")
	}
	return t.Format("2 Jan 2006")
}

// ClockSeconds is the time of day to the second: what a log line shows.
func ClockSeconds(ctx context.Context, t time.Time) string { return in(ctx, t, "15:04:05") }

// Entry is t to the second, with as much of its date as now does not share: what a
// line of the audit log shows.
func Entry(ctx context.Context, t, now time.Time) string {
	if odd(t) {
		return OutOfRange
	}
	t, now = t.In(Zone(ctx)), now.In(Zone(ctx))
	switch {
	case t.Year() != now.Year():
		return t.Format("2 Jan 2006 15:04:05")
	case t.YearDay() != now.YearDay():
		return t.Format("2 Jan 15:04:05")
	}
	return t.Format("15:04:05")
}

// Stamp is t to the minute with its whole date, "2 Jan 2006 15:04".
func Stamp(ctx context.Context, t time.Time) string { return in(ctx, t, "2 Jan 2006 15:04") }

// Ahead is a moment within the coming year, "Mon 2 Jan, 15:04".
func Ahead(ctx context.Context, t time.Time) string { return in(ctx, t, "Mon 2 Jan, 15:04") }

// Day is the date of t, "2 Jan 2006".
func Day(ctx context.Context, t time.Time) string { return in(ctx, t, "2 Jan 2006") }

// DayOfYear is the date of t without its year, "2 Jan".
func DayOfYear(ctx context.Context, t time.Time) string { return in(ctx, t, "2 Jan") }

// Month is the month of t, "Jan", and MonthOfYear "Jan 2006".
func Month(ctx context.Context, t time.Time) string       { return in(ctx, t, "Jan") }
func MonthOfYear(ctx context.Context, t time.Time) string { return in(ctx, t, "Jan 2006") }

// Hour is the hour of the day that a clock shows at t.
func Hour(ctx context.Context, t time.Time) int { return t.In(Zone(ctx)).Hour() }

// Date is the date of t as a program writes it, "2006-01-02".
func Date(ctx context.Context, t time.Time) string { return in(ctx, t, time.DateOnly) }

// Typed is t as a browser's field for a moment has it, and ParseTyped reads it.
func Typed(ctx context.Context, t time.Time) string { return in(ctx, t, typed) }
func ParseTyped(ctx context.Context, text string) (time.Time, error) {
	return time.ParseInLocation(typed, text, Zone(ctx))
}

const typed = "2006-01-02T15:04"

// ParseDate reads a date as [Date] writes it: the moment at which it begins.
func ParseDate(ctx context.Context, text string) (time.Time, error) {
	return time.ParseInLocation(time.DateOnly, text, Zone(ctx))
}

// Full is all of a moment, with its zone: what is shown on hover.
// "Mon 2 Jan 2006 15:04:05 Europe/Berlin, UTC+01:00".
func Full(ctx context.Context, t time.Time) string {
	if odd(t) {
		return OutOfRange
	}
	return in(ctx, t, "Mon 2 Jan 2006 15:04:05 ") + ZoneWords(Zone(ctx), t)
}

// ZoneWords names a zone and how it is ahead of UTC at t: "Europe/Berlin, UTC+01:00".
func ZoneWords(zone *time.Location, t time.Time) string {
	switch name := zone.String(); name {
	case "UTC":
		return name
	case "Local", "": // this machine does not say what it is called
		return t.In(zone).Format("UTC-07:00")
	default:
		return name + t.In(zone).Format(", UTC-07:00")
	}
}

// ZoneName is a zone as a browser knows it: its IANA name, or, if this machine does not
// say what it is called, how far it is ahead of UTC, "+05:45".
func ZoneName(zone *time.Location, t time.Time) string {
	if name := zone.String(); name != "Local" && name != "" {
		return name
	}
	return t.In(zone).Format("-07:00")
}

func in(ctx context.Context, t time.Time, layout string) string {
	if odd(t) {
		return OutOfRange
	}
	return t.In(Zone(ctx)).Format(layout)
}

// ISO is t as browsers and programs read it: RFC 3339 in UTC, to the millisecond.
func ISO(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
