package views_test

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/views"
)

func TestAgo(t *testing.T) {
	for _, c := range []struct {
		before time.Duration
		want   string
	}{
		{-time.Hour, "just now"}, {59 * time.Second, "just now"}, {time.Minute, "1 min ago"}, {59*time.Minute + 59*time.Second, "59 min ago"},
		{time.Hour, "1 h ago"}, {2*time.Hour + 51*time.Minute, "2 h 51 min ago"}, {11*time.Hour + 5*time.Minute, "11 h ago"},
		{31 * time.Hour, "1 d 7 h ago"}, {48 * time.Hour, "2 d ago"}, {18*24*time.Hour + 5*time.Hour, "18 d ago"},
	} {
		if got := views.Ago(now.Add(-c.before), now); got != c.want {
			t.Errorf("%v before: got %q, want %q", c.before, got, c.want)
		}
	}
	if got := views.Ago(time.Time{}, now); got != "never" {
		t.Errorf("a zero time: got %q, want never", got)
	}
	if !views.NewWhen(time.Time{}, now).Never() {
		t.Error("a zero time is not never")
	}
}

func TestClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at, now time.Time
		want    string
	}{
		{now, now, "14:32"},
		{now.Add(5 * time.Hour), now, "19:32"},
		{now.Add(-15 * time.Hour), now, "Thu 23:32"},
		{now.AddDate(0, 0, -6), now, "Sat 14:32"},
		{now.AddDate(0, 0, -7), now, "13 Nov 14:32"},
		{now.AddDate(0, 0, 1), now, "21 Nov 14:32"},
		{now.AddDate(-1, 0, 0), now, "20 Nov 2025"},
		{time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC), time.Date(2026, 11, 21, 8, 0, 0, 0, berlin), "00:30"},
	} {
		if got := views.Clock(c.at, c.now); got != c.want {
			t.Errorf("%v at %v: got %q, want %q", c.at, c.now, got, c.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "under 1 s"}, {38 * time.Second, "38 s"}, {time.Minute, "1 min"}, {242 * time.Second, "4 min 2 s"}, {time.Hour, "1 h"},
		{3*time.Hour + 41*time.Minute + 9*time.Second, "3 h 41 min"}, {31 * time.Hour, "1 d 7 h"}, {72 * time.Hour, "3 d"},
	} {
		if got := views.Duration(c.d); got != c.want {
			t.Errorf("%v: got %q, want %q", c.d, got, c.want)
		}
	}
	if got := views.Left(0); got != "" {
		t.Errorf("an unknown rest: got %q", got)
	}
	if got := views.Left(22 * time.Second); got != "22 s left" {
		t.Errorf("got %q", got)
	}
}

func TestSizesAndNumbers(t *testing.T) {
	for _, c := range []struct {
		n    uint64
		want string
	}{
		{0, "0 B"}, {1023, "1023 B"}, {1024, "1.00 KiB"}, {12_687_769, "12.1 MiB"}, {206 << 30, "206 GiB"}, {1<<40 - 1, "1.00 TiB"},
		{1<<20 - 1, "1.00 MiB"}, {9_999 << 20, "9.76 GiB"}, {4617948836659, "4.20 TiB"}, {1<<64 - 1, "16.0 EiB"},
	} {
		if got := views.Bytes(c.n); got != c.want {
			t.Errorf("%d: got %q, want %q", c.n, got, c.want)
		}
	}
	for got, want := range map[string]string{
		views.BytesOf(31<<30+200<<20, 38<<30): "31.2 of 38.0 GiB", views.BytesOf(900<<20, 4<<40): "900 MiB of 4.00 TiB",
		views.Number(486113): "486,113", views.Number(999): "999", views.Number(1000): "1,000", views.Number(1234567): "1,234,567",
		views.Count(1, "file", "files"): "1 file", views.Count(0, "file", "files"): "0 files",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, c := range []struct {
		done, total uint64
		want        float64
	}{{0, 0, 0}, {438, 1000, 43.8}, {999_999, 1_000_000, 99.9}, {5, 5, 100}, {6, 5, 100}} {
		if got := views.Percent(c.done, c.total); got != c.want {
			t.Errorf("%d of %d: got %v, want %v", c.done, c.total, got, c.want)
		}
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode 写真 👩‍👩‍👧\tx": "plain ünïcode 写真 👩‍👩‍👧\tx",
		"\x1b[1;31mred\x1b[0m":      "red",
		"\x1b]0;title\x07":          `\x1b]0;title\a`,
		"a\nb\r":                    `a\nb\r`,
		"\u202etxt.exe":             `\u202etxt.exe`,
		"zero\u200bwidth\ufeff":     `zero\u200bwidth\ufeff`,
		"bad\xff":                   "bad\uFFFD",
		"\x1b[":                     `\x1b[`,
		"\u0085\u009b31m":           `\u0085\u009b31m`,
		"\u2028":                    `\u2028`,
	} {
		if got := views.Visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add(hostile)
	f.Add("\x1b[\x1b[31m\x1b")
	f.Fuzz(func(t *testing.T, s string) {
		got := views.Visible(s)
		if strings.ContainsAny(got, deceiving+"\x1b\n\r\u009b") {
			t.Errorf("%q became %q", s, got)
		}
		if again := views.Visible(got); again != got {
			t.Errorf("%q became %q and then %q", s, got, again)
		}
	})
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
	want := "Failed, Overdue, Warning, Late, Running, No backup yet, Paused, Asleep, Protected"
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
	s := views.NewStrip([]views.Run{
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
		{views.Tally{"protected": 1}, 1, "The one host is protected", "ok"},
		{views.Tally{"no-backup": 2}, 0, "No backup yet", "idle"},
		{views.Tally{"running": 1}, 0, "The first backup is on its way", "idle"},
		{views.Tally{"protected": 4, "no-backup": 1}, 4, "1 host is not protected yet", "idle"},
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
		{120, 2, views.Paging{From: 50, To: 100, Text: "51 to 100 of 120 hosts, most urgent first", Prev: "/?q=a+b&status=failed", Next: "/?page=3&q=a+b&status=failed"}},
		{120, 99, views.Paging{From: 100, To: 120, Text: "101 to 120 of 120 hosts, most urgent first", Prev: "/?page=2&q=a+b&status=failed"}},
		{120, -1, views.Paging{To: 50, Text: "1 to 50 of 120 hosts, most urgent first", Next: "/?page=2&q=a+b&status=failed"}},
	} {
		if got := views.NewPaging(c.total, c.page, "failed", "a b"); got != c.want {
			t.Errorf("page %d of %d: got %+v, want %+v", c.page, c.total, got, c.want)
		}
	}
}
