package slots

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPlansInWords(t *testing.T) {
	for line, want := range map[string]string{
		"30 2 * * *":        "Every day at 02:30",
		"@daily":            "Every day at 00:00",
		"@hourly":           "Every hour at minute 0",
		"0 12,19 * * 1-5":   "Every weekday at 12:00 and 19:00",
		"0 4 * * 0":         "Every Sunday at 04:00",
		"15 5 * * 0,1,6":    "Every Monday, Saturday and Sunday at 05:15",
		"44 1-23/6 * * *":   "Every 6 hours from 01:44 on",
		"5 */4 * * *":       "Every 4 hours from 00:05 on",
		"*/15 * * * *":      "Every 15 minutes",
		"* * * * *":         "Every minute",
		"0 3 1 * *":         "On day 1 of every month at 03:00",
		"0 10 1-7 * 1":      "By the cron line 0 10 1-7 * 1",
		"0 3 1 6 *":         "By the cron line 0 3 1 6 *",
		"0 2 * * 7":         "By the cron line 0 2 * * 7",
		"nonsense <script>": "By the cron line nonsense <script>",
		"61 2 * * *":        "By the cron line 61 2 * * *",
	} {
		p := ReadPlan(line)
		if got := p.Words(); got != want {
			t.Errorf("%s is %q, want %q", line, got, want)
		}
		if again := ReadPlan(p.Cron()); again.Words() != want {
			t.Errorf("%s comes back as %s", line, p.Cron())
		}
	}
}

// TestAPlanMeansWhatItsLineMeans compares the slots of a line with those of the
// line that its plan is written as.
func TestAPlanMeansWhatItsLineMeans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minute := rapid.SampledFrom([]string{"*", "0", "7", "59", "*/5", "*/7", "3,4"}).Draw(t, "minute")
		hour := rapid.SampledFrom([]string{"*", "0", "23", "1,5", "2-4", "*/3", "1-23/6", "5-23/5", "7-23/4"}).Draw(t, "hour")
		dom := rapid.SampledFrom([]string{"*", "*", "1", "31", "1-7"}).Draw(t, "day of month")
		dow := rapid.SampledFrom([]string{"*", "*", "0", "1-5", "0,6", "7", "5-7", "mon"}).Draw(t, "day of week")
		line := minute + " " + hour + " " + dom + " * " + dow
		p, err := Parse(line, "UTC", 0, "")
		if err != nil {
			return
		}
		q, err := Parse(ReadPlan(line).Cron(), "UTC", 0, "")
		if err != nil {
			t.Fatalf("%s becomes %s: %v", line, ReadPlan(line).Cron(), err)
		}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for range 50 {
			a, b := Next(p, at), Next(q, at)
			if !a.Equal(b) {
				t.Fatalf("%s and %s: %v, %v", line, ReadPlan(line).Cron(), a, b)
			}
			at = a
		}
	})
}

func TestTheNextClockChangeIsNamed(t *testing.T) {
	p, _ := Parse("0 2 * * *", "Europe/Berlin", 0, "")
	when, by := p.ClockChange(at("2026-11-20T12:00:00Z"))
	if !when.Equal(at("2027-03-28T01:00:00Z")) || by != time.Hour {
		t.Errorf("%v by %v", when, by)
	}
	p, _ = Parse("0 2 * * *", "UTC", 0, "")
	if when, _ := p.ClockChange(at("2026-11-20T12:00:00Z")); !when.IsZero() {
		t.Errorf("UTC changes at %v", when)
	}
}
