package topics

import (
	"testing"
	"time"
)

func TestLimitsHaveHours(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	day := Limits{UploadKiB: 5, DownloadKiB: 7, From: 8 * 60, To: 18 * 60, Zone: "Europe/Berlin", LowPriority: true}
	night := Limits{UploadKiB: 5, From: 22 * 60, To: 6 * 60, Zone: "UTC"}
	always := Limits{UploadKiB: 5}
	for _, c := range []struct {
		l      Limits
		at     string
		upload int
	}{
		{day, "2026-01-15T07:00:00Z", 5}, // 08:00 there
		{day, "2026-01-15T06:59:59Z", 0},
		{day, "2026-01-15T17:00:00Z", 0},
		{day, "2026-07-15T06:00:00Z", 5}, // summer
		{day, "2026-07-15T16:00:00Z", 0},
		{night, "2026-01-15T22:00:00Z", 5},
		{night, "2026-01-15T00:00:00Z", 5},
		{night, "2026-01-15T05:59:00Z", 5},
		{night, "2026-01-15T06:00:00Z", 0},
		{night, "2026-01-15T12:00:00Z", 0},
		{always, "2026-01-15T12:00:00Z", 5},
		{Limits{UploadKiB: 5, From: 1, To: 2, Zone: "Nowhere/Atlantis"}, "2026-01-15T12:00:00Z", 5},
		{Limits{UploadKiB: -5}, "2026-01-15T12:00:00Z", 0},
	} {
		got, err := c.l.At(at(c.at))
		if got.UploadKiB != c.upload || got.LowPriority != c.l.LowPriority || (err != nil) != (c.l.Zone == "Nowhere/Atlantis") {
			t.Errorf("%+v at %s: %+v, %v", c.l, c.at, got, err)
		}
	}
}
