package words

import (
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 20, 14, 32, 0, 0, time.UTC)

// deceiving are characters that reorder or hide text.
const deceiving = "\u202e\u200b\ufeff\u2028\u0085\u2066\x1b\x07\x00"

func TestAgo(t *testing.T) {
	for _, c := range []struct {
		before time.Duration
		want   string
	}{
		{-time.Hour, "just now"}, {59 * time.Second, "just now"}, {time.Minute, "1 min ago"}, {59*time.Minute + 59*time.Second, "59 min ago"},
		{time.Hour, "1 h ago"}, {2*time.Hour + 51*time.Minute, "2 h 51 min ago"}, {11*time.Hour + 5*time.Minute, "11 h ago"},
		{31 * time.Hour, "1 d 7 h ago"}, {48 * time.Hour, "2 d ago"}, {18*24*time.Hour + 5*time.Hour, "18 d ago"},
	} {
		if got := Ago(now.Add(-c.before), now); got != c.want {
			t.Errorf("%v before: got %q, want %q", c.before, got, c.want)
		}
	}
	if got := Ago(time.Time{}, now); got != "never" {
		t.Errorf("a zero time: got %q, want never", got)
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
		if got := Duration(c.d); got != c.want {
			t.Errorf("%v: got %q, want %q", c.d, got, c.want)
		}
	}
	if got := Left(0); got != "" {
		t.Errorf("an unknown rest: got %q", got)
	}
	if got := Left(22 * time.Second); got != "22 s left" {
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
		if got := Bytes(c.n); got != c.want {
			t.Errorf("%d: got %q, want %q", c.n, got, c.want)
		}
	}
	for got, want := range map[string]string{
		BytesOf(31<<30+200<<20, 38<<30): "31.2 of 38.0 GiB", BytesOf(900<<20, 4<<40): "900 MiB of 4.00 TiB",
		Number(486113): "486,113", Number(999): "999", Number(1000): "1,000", Number(1234567): "1,234,567",
		Count(1, "file", "files"): "1 file", Count(0, "file", "files"): "0 files",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, c := range []struct {
		done, total uint64
		want        float64
	}{{0, 0, 0}, {438, 1000, 43.8}, {999_999, 1_000_000, 99.9}, {5, 5, 100}, {6, 5, 100}} {
		if got := Percent(c.done, c.total); got != c.want {
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
		if got := Visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcode 写真/two words.txt": "plain ünïcode 写真/two words.txt",
		"/odd/\x1b[31mred":               `/odd/\x1b[31mred`, // and not what a file red is called
		"/odd/red":                       "/odd/red",
		"tab\there":                      `tab\there`,
		" lead/ and":                     `\x20lead/\x20and`,
		"trail /x ":                      `trail\x20/x\x20`,
		"two  of them":                   `two \x20of them`,
		"no-break\u00a0blank":            `no-break\u00a0blank`,
		"a\nb":                           `a\nb`,
		"\u202etxt.exe":                  `\u202etxt.exe`,
		"bad\xff name":                   "bad\uFFFD name",
		`C:\Users\A B`:                   `C:\Users\A B`,
		"":                               "",
	} {
		if got := Name(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add(deceiving)
	f.Add("\x1b[\x1b[31m\x1b")
	f.Fuzz(func(t *testing.T, s string) {
		got := Visible(s)
		if strings.ContainsAny(got, deceiving+"\x1b\n\r\u009b") {
			t.Errorf("%q became %q", s, got)
		}
		if again := Visible(got); again != got {
			t.Errorf("%q became %q and then %q", s, got, again)
		}
	})
}

func TestAStringIsFitForANameOrACell(t *testing.T) {
	for _, c := range []struct {
		in, strip, line string
		printable       bool
	}{
		{"attic", "attic", "attic", true},
		{"Käse & Brot", "Käse & Brot", "Käse & Brot", true},
		{"a\tb", "ab", "a b", false},
		{"a\nb\r\x00", "ab", `a\nb\r\x00`, false},
		{"a\x1b[31mb", "a[31mb", "ab", false},
		{"\u202egpj.exe", "gpj.exe", `\u202egpj.exe`, false},
		{"a\u2066b\u200bc", "abc", `a\u2066b\u200bc`, false},
		{"a\xffb", "ab", "a\uFFFDb", false},
	} {
		if got := Strip(c.in); got != c.strip {
			t.Errorf("%q is stripped to %q, want %q", c.in, got, c.strip)
		}
		if got := Line(c.in); got != c.line {
			t.Errorf("%q is the cell %q, want %q", c.in, got, c.line)
		}
		if got := Printable(c.in); got != c.printable {
			t.Errorf("%q is printable: %v", c.in, got)
		}
	}
}
