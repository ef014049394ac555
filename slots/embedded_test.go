package slots

import (
	"archive/zip"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// embedded reads zones as a program knows them that finds none on its machine, such as
// one in an image from scratch: from what Go builds into it. That has no list of
// changes for the years to come, only a rule.
func embedded(t *testing.T, names ...string) map[string]*time.Location {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	all, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib/time/zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	found := map[string]*time.Location{}
	for _, name := range names {
		f, err := all.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		if found[name], err = time.LoadLocationFromTZData(name, data); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// TestClockChangesByTheRuleAlone asks for the next change where the zone's data is a
// rule: it is the same all year round, never the end of a year.
func TestClockChangesByTheRuleAlone(t *testing.T) {
	zones := embedded(t, "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Europe/Dublin", "Asia/Kolkata")
	for _, c := range []struct {
		zone, after, at string
		by              time.Duration
	}{
		{"Europe/Berlin", "2026-11-20T12:00:00Z", "2027-03-28T01:00:00Z", time.Hour},
		{"Europe/Berlin", "2027-03-28T00:59:59Z", "2027-03-28T01:00:00Z", time.Hour},
		{"Europe/Berlin", "2027-03-28T01:00:00Z", "2027-10-31T01:00:00Z", -time.Hour},
		{"Europe/Berlin", "2028-12-31T12:00:00Z", "2029-03-25T01:00:00Z", time.Hour},
		{"Europe/Dublin", "2026-11-20T12:00:00Z", "2027-03-28T01:00:00Z", time.Hour},
		{"America/Santiago", "2026-11-20T12:00:00Z", "2027-04-04T03:00:00Z", -time.Hour},
		{"Australia/Lord_Howe", "2026-11-20T12:00:00Z", "2027-04-03T15:00:00Z", -30 * time.Minute},
		{"Asia/Kolkata", "2026-11-20T12:00:00Z", "", 0},
	} {
		got, by := Policy{zone: zones[c.zone]}.ClockChange(at(c.after))
		var want time.Time
		if c.at != "" {
			want = at(c.at)
		}
		if !got.Equal(want) || by != c.by {
			t.Errorf("%s after %s: %v by %s, want %v by %s", c.zone, c.after, got, by, want, c.by)
		}
	}
}

// TestInstantsByTheRuleAlone looks for what instant answers minute by minute, around
// every change of some years and around their ends.
func TestInstantsByTheRuleAlone(t *testing.T) {
	for name, zone := range embedded(t, "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Europe/Dublin", "America/Nuuk") {
		p := Policy{zone: zone}
		around := []time.Time{at("2040-12-31T12:00:00Z"), at("2041-01-01T00:00:00Z"), at("2042-01-01T00:00:00Z")}
		for after := at("2040-01-01T00:00:00Z"); after.Year() < 2042; {
			change, by := p.ClockChange(after)
			if by == 0 {
				t.Fatalf("%s: no change after %v", name, after)
			}
			after = change
			around = append(around, change)
		}
		for _, change := range around {
			middle := p.wall(change)
			for wall := middle.Add(-3 * time.Hour); wall.Before(middle.Add(3 * time.Hour)); wall = wall.Add(10 * time.Minute) {
				var want time.Time // the first moment at which the wall shows that, or more if it skips it
				for want = change.Add(-7 * time.Hour); p.wall(want).Before(wall); want = want.Add(time.Minute) {
				}
				if got := p.instant(wall); !got.Equal(want) {
					t.Fatalf("%s: %v on the wall is %v, want %v", name, wall, got, want)
				}
			}
		}
	}
}
