package views_test

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

func TestAZeroTimeIsNever(t *testing.T) {
	if !views.NewWhen(time.Time{}, now).Never() {
		t.Error("a zero time is not never")
	}
}

func TestElementIDs(t *testing.T) {
	seen := map[string]string{}
	for _, key := range []string{"attic", "a.b", "a_b", "a_2eb", "", "ü", "a b", "#x"} {
		id := views.ElementID("host", key)
		if strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q: %q cannot stand in a selector", key, id)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q are both %q", key, other, id)
		}
		seen[id] = key
	}
}

func TestStatusesAreWholeAndRanked(t *testing.T) {
	want := "Lost, Failed, Overdue, Empty, Late, Warning, No backup yet, Unscheduled, Running, Paused, Asleep, Protected, Keeper, Retired"
	var got []string
	for i, s := range views.HostStatuses() {
		got = append(got, s.Word)
		if s.Rank != i || s.Icon == "" || s.Tone == "" || views.HostStatus(s.Key) != s {
			t.Errorf("not whole: %+v", s)
		}
	}
	if strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	for state, want := range map[string]string{
		"queued": "Queued", "dispatched": "Waiting", "running": "Running", "stalled": "Stalled", "succeeded": "Succeeded", "warnings": "Warnings",
		"failed": "Failed", "cancelled": "Cancelled", "interrupted": "Interrupted", "abandoned": "Abandoned", "new-one": "Unknown",
	} {
		if s := views.JobStatus(state); s.Word != want || s.Icon == "" || s.Tone == "" {
			t.Errorf("%s: got %+v, want %s", state, s, want)
		}
	}
	if s := views.HostStatus("whatever"); s.Word != "Unknown" || s.Quiet {
		t.Errorf("an unknown status looks healthy: %+v", s)
	}
}

func TestStripShowsTheWorstRunOfADay(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// The clocks went back on 25 October, inside these thirty days.
	noon := time.Date(2026, 11, 20, 14, 0, 0, 0, berlin)
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 30, 0, 0, berlin) }
	s := views.NewStrip(words.WithZone(t.Context(), berlin), []views.Run{
		{At: at(20, 1), Day: views.DayFailed}, {At: at(20, 13), Day: views.DaySucceeded},
		{At: at(19, 0), Day: views.DaySucceeded}, {At: at(19, 23), Day: views.DayWarnings},
		{At: time.Date(2026, 10, 22, 0, 10, 0, 0, berlin), Day: views.DaySucceeded}, // the first day shown
		{At: time.Date(2026, 10, 21, 23, 50, 0, 0, berlin), Day: views.DayFailed},   // the day before it
		{At: at(21, 0), Day: views.DayFailed},                                       // tomorrow: a wrong clock
	}, noon)
	if want := "s" + strings.Repeat("n", 27) + "wf"; s.Days != want {
		t.Errorf("got %s, want %s", s.Days, want)
	}
	if s.Last != "2026-11-20" || s.Label != "Last 30 days: 1 succeeded, 1 with warnings, 1 failed, 27 without a run" || len(s.Paths) != 4 {
		t.Errorf("got %+v", s)
	}
	if got := views.JobDay("interrupted"); got != views.DayFailed {
		t.Errorf("an interrupted job makes the day %c", got)
	}
	if got := views.JobDay("cancelled"); got != views.DayNone {
		t.Errorf("a cancelled job makes the day %c", got)
	}
	for _, c := range []struct {
		outcome string
		day     views.Day
		beside  views.Day // a backup on the same day
		shown   views.Day
	}{
		{"missed-offline", views.DayMissed, views.DaySucceeded, views.DayMissed},
		{"missed-busy", views.DayMissed, views.DayWarnings, views.DayMissed},
		{"missed-disk", views.DayMissed, views.DayFailed, views.DayFailed},
		{"failed", views.DayMissed, views.DayNone, views.DayMissed}, // nothing was begun at all
		{"missed-asleep", views.DayAsleep, views.DaySucceeded, views.DaySucceeded},
		{"missed-asleep", views.DayAsleep, views.DayNone, views.DayAsleep},
		{"missed-paused", views.DayPaused, views.DaySucceeded, views.DaySucceeded},
		{"missed-hours", views.DayPaused, views.DayNone, views.DayPaused},
		{"waiting", views.DayNone, views.DayNone, views.DayNone},
	} {
		if got := views.SlotDay(c.outcome); got != c.day {
			t.Errorf("a slot that is %s makes the day %c, want %c", c.outcome, got, c.day)
		}
		got := views.NewStrip(t.Context(), []views.Run{{At: noon, Day: views.SlotDay(c.outcome)}, {At: noon, Day: c.beside}}, noon)
		if shown := views.Day(got.Days[views.StripDays-1]); shown != c.shown {
			t.Errorf("a slot that is %s, on a day %c, shows %c, want %c", c.outcome, c.beside, shown, c.shown)
		}
	}
}

func TestVerdict(t *testing.T) {
	oldest := views.NewWhen(time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC), time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC))
	silent := &views.Silence{Hosts: 41, Of: 409, At: oldest}
	for _, c := range []struct {
		tally       views.Tally
		silent      *views.Silence
		oldest      views.When
		title, tone string
		text        string
	}{
		{views.Tally{}, nil, views.When{}, "No hosts yet", "idle", "Add the first one, and see its backups here."},
		{views.Tally{"failed": 1, "overdue": 1, "protected": 18}, nil, oldest, "2 hosts need attention", "fail", "18 protected."},
		{views.Tally{"failed": 1, "running": 3}, nil, oldest, "1 host needs attention", "fail", "3 running."},
		{views.Tally{"failed": 2}, nil, oldest, "2 hosts need attention", "fail", "That is every host."},
		{views.Tally{"lost": 1}, nil, oldest, "1 host needs attention", "fail", "It is the only one."},
		{views.Tally{"warning": 2, "protected": 3}, nil, oldest, "2 hosts need attention", "warn", "3 protected."},
		{views.Tally{"lost": 1, "empty": 1, "late": 1, "protected": 20}, nil, oldest, "3 hosts need attention", "fail", "20 protected."},
		{views.Tally{"late": 1, "protected": 20}, nil, oldest, "1 host needs attention", "warn", "20 protected."},
		{views.Tally{"overdue": 50, "protected": 358, "running": 1}, silent, oldest, "41 of 409 always-on hosts went silent together", "fail",
			"Look at the network or the control plane first. 50 hosts need attention."},
		{views.Tally{"protected": 409}, silent, oldest, "41 of 409 always-on hosts went silent together", "fail",
			"Look at the network or the control plane first."},
		{views.Tally{"protected": 20, "running": 3, "paused": 1}, nil, oldest, "Nothing needs attention", "ok",
			"3 running, 1 paused, 20 protected. The oldest good backup was made"},
		{views.Tally{"protected": 1}, nil, oldest, "1 of 1 hosts protected", "ok", "1 protected. The oldest good backup was made"},
		{views.Tally{"no-backup-yet": 2}, nil, views.When{}, "No backup yet", "idle",
			"Choose what to back up on 2 hosts, then start the first backup."},
		{views.Tally{"running": 1}, nil, views.When{}, "The first backup is running", "idle", "1 running."},
		{views.Tally{"protected": 4, "no-backup-yet": 1}, nil, oldest, "1 host has no backup yet", "idle", "1 no backup yet, 4 protected."},
		{views.Tally{"unscheduled": 1, "protected": 20}, nil, oldest, "1 host has no schedule", "idle", "1 unscheduled, 20 protected."},
		{views.Tally{"keeper": 1, "retired": 1, "protected": 20}, nil, oldest, "All 20 hosts are protected", "ok",
			"20 protected, 1 keeper, 1 retired. The oldest good backup was made"},
		{views.Tally{"keeper": 1}, nil, views.When{}, "No host is to be backed up", "idle", "1 keeper."},
		{views.Tally{"paused": 3}, nil, views.When{}, "All hosts are paused", "idle", "Nothing is backed up until they are switched on again."},
	} {
		got := views.NewVerdict(c.tally, c.silent, c.oldest)
		if got.Title != c.title || got.Tone != c.tone || got.Text != c.text {
			t.Errorf("%v: got %+v, want %s (%s): %s", c.tally, got, c.title, c.tone, c.text)
		}
		if !sprite()[got.Icon] {
			t.Errorf("%v: icon %s is not there", c.tally, got.Icon)
		}
	}
}

func TestSegmentsFillTheMeter(t *testing.T) {
	tally := views.Tally{"protected": 1000, "failed": 1, "running": 1}
	segments := views.Segments(tally)
	if len(segments) != 3 || segments[0].Tone != "ok" {
		t.Fatalf("got %+v", segments)
	}
	last := segments[2]
	if end := last.X + last.Width; end < 99.9 || end > 100.1 {
		t.Errorf("the meter ends at %v", end)
	}
	if last.Width < 2 {
		t.Errorf("one failed host of a thousand is %v wide", last.Width)
	}
	if got := views.SegmentsLabel(tally); got != "1 failed, 1 running, 1000 protected" {
		t.Errorf("got %q", got)
	}
	if got := views.Segments(nil); got != nil {
		t.Errorf("no hosts: got %+v", got)
	}
}

func TestPaging(t *testing.T) {
	for _, c := range []struct {
		total, page int
		want        views.Paging
	}{
		{0, 1, views.Paging{Text: "0 hosts, most urgent first"}},
		{50, 9, views.Paging{To: 50, Text: "50 hosts, most urgent first"}},
		{120, 1, views.Paging{To: 50, Text: "1 to 50 of 120 hosts, most urgent first", Next: "/?page=2&q=a+b&status=failed"}},
		{120, 2, views.Paging{
			From: 50,
			To:   100,
			Text: "51 to 100 of 120 hosts, most urgent first",
			Prev: "/?q=a+b&status=failed",
			Next: "/?page=3&q=a+b&status=failed",
		}},
		{120, 99, views.Paging{From: 100, To: 120, Text: "101 to 120 of 120 hosts, most urgent first", Prev: "/?page=2&q=a+b&status=failed"}},
		{120, -1, views.Paging{To: 50, Text: "1 to 50 of 120 hosts, most urgent first", Next: "/?page=2&q=a+b&status=failed"}},
	} {
		if got := views.NewPaging(c.total, c.page, views.FleetFilter{Status: "failed", Query: "a b"}); got != c.want {
			t.Errorf("page %d of %d: got %+v, want %+v", c.page, c.total, got, c.want)
		}
	}
}
