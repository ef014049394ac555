package words

import (
	"testing"
	"time"
)

func zoneOf(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestClock(t *testing.T) {
	berlin := zoneOf(t, "Europe/Berlin")
	for _, c := range []struct {
		at, now time.Time
		zone    *time.Location
		want    string
	}{
		{now, now, nil, "14:32"},
		{now.Add(5 * time.Hour), now, nil, "19:32"},
		{now.Add(-15 * time.Hour), now, nil, "Thu 23:32"},
		{now.AddDate(0, 0, -6), now, nil, "Sat 14:32"},
		{now.AddDate(0, 0, -7), now, nil, "13 Nov 14:32"},
		{now.AddDate(0, 0, 1), now, nil, "21 Nov 14:32"},
		{now.AddDate(-1, 0, 0), now, nil, "20 Nov 2025"},
		{time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC), time.Date(2026, 11, 21, 8, 0, 0, 0, berlin), berlin, "00:30"},
		{now.In(berlin), now.In(berlin), nil, "14:32"}, // the context's zone counts, not the one a time bears
		{now, now, zoneOf(t, "Asia/Kathmandu"), "20:17"},
	} {
		if got := Clock(WithZone(t.Context(), c.zone), c.at, c.now); got != c.want {
			t.Errorf("%v at %v in %v: got %q, want %q", c.at, c.now, c.zone, got, c.want)
		}
	}
}

// A moment on hover names its zone, and how far that is ahead of UTC at the time.
func TestFullNamesTheZone(t *testing.T) {
	summer := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for zone, want := range map[*time.Location]string{
		nil:                         "Wed 1 Jul 2026 12:00:00 UTC",
		time.UTC:                    "Wed 1 Jul 2026 12:00:00 UTC",
		zoneOf(t, "Europe/Berlin"):  "Wed 1 Jul 2026 14:00:00 Europe/Berlin, UTC+02:00",
		zoneOf(t, "Asia/Kathmandu"): "Wed 1 Jul 2026 17:45:00 Asia/Kathmandu, UTC+05:45",
		time.Local:                  summer.Local().Format("Mon 2 Jan 2006 15:04:05 UTC-07:00"),
		time.FixedZone("", -60):     summer.Add(-time.Minute).Format("Mon 2 Jan 2006 15:04:05 ") + "UTC-00:01",
	} {
		if got := Full(WithZone(t.Context(), zone), summer); got != want {
			t.Errorf("in %v: got %q, want %q", zone, got, want)
		}
	}
	winter := summer.AddDate(0, 6, 0)
	got, want := Full(WithZone(t.Context(), zoneOf(t, "Europe/Berlin")), winter), "Fri 1 Jan 2027 13:00:00 Europe/Berlin, UTC+01:00"
	if got != want {
		t.Errorf("in winter: got %q, want %q", got, want)
	}
}
