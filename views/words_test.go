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
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		tally     views.Tally
		protected int
		title     string
		tone      string
	}{
		{nil, 0, "No hosts yet", "idle"},
		{views.Tally{"failed": 1, "overdue": 1, "warning": 1, "protected": 20}, 20, "3 hosts need attention", "fail"},
		{views.Tally{"failed": 1, "running": 3}, 1, "1 host needs attention", "fail"},
		{views.Tally{"warning": 2, "protected": 3}, 3, "2 hosts need attention", "warn"},
		{views.Tally{"protected": 20, "running": 3, "paused": 1}, 23, "All 23 hosts are protected", "ok"},
		{views.Tally{"protected": 1}, 1, "1 of 1 hosts protected", "ok"},
		{views.Tally{"no-backup-yet": 2}, 0, "No backup yet", "idle"},
		{views.Tally{"running": 1}, 0, "The first backup is running", "idle"},
		{views.Tally{"protected": 4, "no-backup-yet": 1}, 4, "1 host is not protected yet", "idle"},
		{views.Tally{"lost": 1, "empty": 1, "late": 1, "protected": 20}, 23, "3 hosts need attention", "fail"},
		{views.Tally{"late": 1, "protected": 20}, 21, "1 host needs attention", "warn"},
		{views.Tally{"unscheduled": 1, "protected": 20}, 21, "1 host has no schedule", "idle"},
		{views.Tally{"keeper": 1, "retired": 1, "protected": 20}, 20, "All 20 hosts are protected", "ok"},
		{views.Tally{"paused": 3}, 0, "All hosts are paused", "idle"},
	} {
		got := views.NewVerdict(c.tally, c.protected, "12 h ago")
		if got.Title != c.title || got.Tone != c.tone {
			t.Errorf("%v: got %+v, want %s (%s)", c.tally, got, c.title, c.tone)
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
		if got := views.NewPaging(c.total, c.page, "failed", "a b"); got != c.want {
			t.Errorf("page %d of %d: got %+v, want %+v", c.page, c.total, got, c.want)
		}
	}
}
