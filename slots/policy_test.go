package slots

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func parsed(t interface {
	Helper()
	Fatal(...any)
}, line, zone string) Policy {
	t.Helper()
	p, err := Parse(line, zone, 0, "seed")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestSlotsByTheClockOnTheWall(t *testing.T) {
	const berlin, newYork, lordHowe = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
	for _, c := range []struct {
		what, line, zone, after string
		want                    []string
	}{
		{"a plain night", "30 2 * * *", berlin, "2026-06-01T12:00:00+02:00",
			[]string{"2026-06-02T02:30:00+02:00", "2026-06-03T02:30:00+02:00"}},
		{"exactly on a slot the next one is meant", "30 2 * * *", berlin, "2026-06-02T02:30:00+02:00", []string{"2026-06-03T02:30:00+02:00"}},
		{"spring: the slot in the gap comes right after it", "30 2 * * *", berlin, "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"spring: all that fall into the gap are one, with the slot that is there", "*/15 2,3 * * *", berlin, "2026-03-29T01:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00"}},
		{"spring: asked at the gap's edge", "30 2 * * *", berlin, "2026-03-29T01:59:59+01:00", []string{"2026-03-29T03:00:00+02:00"}},
		{"spring: asked after the gap", "30 2 * * *", berlin, "2026-03-29T03:00:00+02:00", []string{"2026-03-30T02:30:00+02:00"}},
		{"autumn: what the wall shows twice runs the first time", "30 2 * * *", berlin, "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"autumn: asked between the two", "30 2 * * *", berlin, "2026-10-25T02:10:00+01:00", []string{"2026-10-26T02:30:00+01:00"}},
		{"autumn: hourly, each of the wall's hours once", "@hourly", berlin, "2026-10-25T01:30:00+02:00",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"}},
		{"spring: hourly", "@hourly", berlin, "2026-03-29T00:30:00+01:00",
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},

		{"New York, spring", "15 2 * * *", newYork, "2026-03-07T12:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:15:00-04:00"}},
		{"New York, autumn", "15 1 * * *", newYork, "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T01:15:00-04:00", "2026-11-02T01:15:00-05:00"}},
		{"half an hour's gap", "10 2 * * *", lordHowe, "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:10:00+11:00"}},
		{"half an hour's gap, what follows it", "35 2 * * *", lordHowe, "2026-10-03T12:00:00+10:30", []string{"2026-10-04T02:35:00+11:00"}},
		{"half an hour twice", "45 1 * * *", lordHowe, "2026-04-04T12:00:00+11:00",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		{"a gap at midnight", "15 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:15:00-02:00"}},
		{"midnight twice", "@daily", "America/Havana", "2026-10-31T12:00:00-04:00",
			[]string{"2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"}},
		{"a day that was left out", "0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"}},

		{"a leap day", "0 3 29 2 *", berlin, "2026-01-01T00:00:00+01:00", []string{"2028-02-29T03:00:00+01:00", "2032-02-29T03:00:00+01:00"}},
		{"a leap day after eight years", "0 3 29 2 *", "UTC", "2096-03-01T00:00:00Z", []string{"2104-02-29T03:00:00Z"}},
		{"the 31st, where there is one", "@monthly", newYork, "2026-01-31T12:00:00-05:00",
			[]string{"2026-02-01T00:00:00-05:00", "2026-03-01T00:00:00-05:00", "2026-04-01T00:00:00-04:00"}},
		{"Sunday is 0 and 7", "0 4 * * 7", "UTC", "2026-03-02T00:00:00Z", []string{"2026-03-08T04:00:00Z", "2026-03-15T04:00:00Z"}},
		{"weekly", "@Weekly", "UTC", "2026-03-02T00:00:00Z", []string{"2026-03-08T00:00:00Z"}},
		{"a day of the month or of the week", "0 4 13 * FRI", "UTC", "2026-03-02T00:00:00Z",
			[]string{"2026-03-06T04:00:00Z", "2026-03-13T04:00:00Z", "2026-03-20T04:00:00Z"}},
	} {
		p, when := parsed(t, c.line, c.zone), at(c.after)
		for _, want := range c.want {
			if when = Next(p, when); !when.Equal(at(want)) {
				t.Errorf("%s: %q in %s gives %s, want %s", c.what, c.line, c.zone, when.In(p.zone).Format(time.RFC3339), want)
			}
			if when.Location() != time.UTC {
				t.Errorf("%s: a slot is told in %s", c.what, when.Location())
			}
		}
	}
}

func TestASlotIsDueWhenItsJitterIsOver(t *testing.T) {
	plain := parsed(t, "0 3 * * *", "UTC")
	late := plain
	late.offset = 10 * time.Minute
	last := at("2026-06-01T03:00:00Z")
	for _, c := range []struct {
		p     Policy
		now   string
		slot  string
		slots int
	}{
		{plain, "2026-06-02T02:59:59Z", "", 0},
		{plain, "2026-06-02T03:00:00Z", "2026-06-02T03:00:00Z", 1},
		{plain, "2026-06-05T01:00:00Z", "2026-06-04T03:00:00Z", 3},
		{plain, "2026-05-01T00:00:00Z", "", 0},
		{late, "2026-06-02T03:09:59Z", "", 0},
		{late, "2026-06-02T03:10:00Z", "2026-06-02T03:00:00Z", 1},
	} {
		slot, slots := Due(c.p, last, at(c.now))
		if slots != c.slots || c.slot != "" && !slot.Equal(at(c.slot)) || c.slot == "" && !slot.IsZero() {
			t.Errorf("at %s: %s, %d slots; want %q, %d", c.now, slot, slots, c.slot, c.slots)
		}
	}
}

// TestDueIsTheLastOfNext compares with counting, where that is short, and looks
// for what must hold where it is not.
func TestDueIsTheLastOfNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana",
			"Africa/Cairo"}).Draw(t, "zone")
		line := rapid.SampledFrom([]string{"* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 * * *", "10 1-3 * * *", "15 2 * * 0", "0 3 1 * *",
			"45 1 29 2 *"}).Draw(t, "line")
		p := parsed(t, line, zone)
		last := at("2026-01-01T00:00:00Z").Add(time.Duration(rapid.Int64Range(0, 400*24*3600).Draw(t, "last")) * time.Second)
		now := last.Add(time.Duration(rapid.OneOf(rapid.Int64Range(0, 7200), rapid.Int64Range(0, 800*24*3600)).Draw(t, "later")) * time.Second)

		slot, slots := Due(p, last, now)
		var want time.Time
		count := 0
		for n := Next(p, last); !n.After(now) && count < 200_000; n = Next(p, n) {
			want = n
			count++
		}
		if count == 200_000 {
			want = slot // too long to count to the end; what follows holds all the same
		}
		if !slot.Equal(want) || slots != min(count, Many) {
			t.Fatalf("%q in %s, from %s to %s: %s and %d slots, want %s and %d", line, zone, last, now, slot, slots, want, count)
		}
		if slots == 0 {
			return
		}
		if next := Next(p, slot); !next.After(now) || !slot.After(last) || slot.After(now) {
			t.Fatalf("%s is not the latest slot: the next is %s, now is %s", slot, next, now)
		}
	})
}

func TestJitterIsSteadyBoundedAndSpreads(t *testing.T) {
	seen := map[time.Duration]bool{}
	for _, seed := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		p, err := Parse("0 3 * * *", "UTC", 10*time.Minute, seed)
		again, err2 := Parse("0 3 * * *", "UTC", 10*time.Minute, seed)
		if err = errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		slot := at("2026-06-01T03:00:00Z")
		late := p.Start(slot).Sub(slot)
		if late < 0 || late > 10*time.Minute || again.Start(slot).Sub(slot) != late {
			t.Errorf("%s is %s late", seed, late)
		}
		seen[late] = true
	}
	if len(seen) < 6 {
		t.Errorf("eight schedules begin at %d different moments", len(seen))
	}
	if p := parsed(t, "0 3 * * *", "UTC"); p.offset != 0 {
		t.Errorf("without jitter it is %s late", p.offset)
	}
}

func TestWhatIsNoScheduleIsNamed(t *testing.T) {
	for _, c := range []struct {
		line, zone string
		jitter     time.Duration
		field      string
	}{
		{"", "UTC", 0, "cron"}, {"0 3 * *", "UTC", 0, "cron"}, {"0 0 3 * * *", "UTC", 0, "cron"}, {"60 3 * * *", "UTC", 0, "cron"},
		{"0 25 * * *", "UTC", 0, "cron"}, {"nonsense", "UTC", 0, "cron"}, {"@every 5m", "UTC", 0, "cron"}, {"@reboot", "UTC", 0, "cron"},
		{"TZ=Asia/Tokyo 0 3 * * *", "UTC", 0, "cron"}, {"CRON_TZ=UTC 3 * * *", "UTC", 0, "cron"}, {"0 3 30 2 *", "UTC", 0, "cron"},
		{"H 3 * * *", "UTC", 0, "cron"},
		{"0 3 * * */0", "UTC", 0, "cron"}, {strings.Repeat("0,", 5000) + "0 3 * * *", "UTC", 0, "cron"},
		{"0 3 * * *", "", 0, "zone"}, {"0 3 * * *", "Local", 0, "zone"}, {"0 3 * * *", "Mars/Olympus", 0, "zone"},
		{"0 3 * * *", "../../etc/passwd", 0, "zone"},
		{"0 3 * * *", "UTC", -time.Second, "jitter_seconds"}, {"0 3 * * *", "UTC", 25 * time.Hour, "jitter_seconds"},
	} {
		_, err := Parse(c.line, c.zone, c.jitter, "seed")
		var wrong *Invalid
		if !errors.As(err, &wrong) || wrong.Field != c.field || wrong.Say == "" || wrong.Do == "" {
			t.Errorf("%.40q in %q, jitter %s: %v, want one about %s", c.line, c.zone, c.jitter, err, c.field)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("30 2 * * 1-5", "Europe/Berlin")
	f.Add("@daily", "UTC")
	f.Add("*/5 22-2 1,15 JAN-MAR ?", "Australia/Lord_Howe")
	f.Fuzz(func(t *testing.T, line, zone string) {
		p, err := Parse(line, zone, 0, "")
		if err != nil {
			return
		}
		now := at("2026-03-28T12:00:00Z")
		next := Next(p, now)
		if !next.After(now) || next.After(now.AddDate(13, 0, 0)) {
			t.Errorf("%q in %q: after %s comes %s", line, zone, now, next)
		}
	})
}
