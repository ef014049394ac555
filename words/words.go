// Package words puts sizes, spans of time, moments and counts into words, and makes
// text from outside safe to show. Pages, the command line and messages use it, so
// that all of them say the same thing alike. It imports only the standard library.
package words

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Ago says how long before now t was: "just now", "18 min ago", "1 d 7 h ago".
// A moment in the future, which a wrong clock can produce, is "just now"; a zero
// t is "never".
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if odd(t) {
		return OutOfRange
	}
	d := now.Sub(t)
	if d < time.Minute {
		return "just now"
	}
	return Span(d) + " ago"
}

// In says how long after now t will be: "in 11 h", "now" within the minute.
func In(t, now time.Time) string {
	if odd(t) {
		return OutOfRange
	}
	if t.Sub(now) < time.Minute {
		return "now"
	}
	return "in " + Span(t.Sub(now))
}

// Span is a length of time to the minute, its two largest units: "4 min",
// "2 h 51 min", "1 d 7 h", "26 d". Less than a minute is given in seconds.
func Span(d time.Duration) string {
	if d < time.Minute {
		return Duration(d)
	}
	m := int64(d / time.Minute)
	h, days := m/60, m/(24*60)
	switch {
	case m < 60:
		return fmt.Sprintf("%d min", m)
	case days == 0 && m%60 != 0 && h < 10:
		return fmt.Sprintf("%d h %d min", h, m%60)
	case days == 0:
		return fmt.Sprintf("%d h", h)
	case days < 7 && h%24 != 0:
		return fmt.Sprintf("%d d %d h", days, h%24)
	}
	return fmt.Sprintf("%d d", days)
}

// Duration is how long something took: "under 1 s", "38 s", "4 min 2 s",
// "2 h 51 min", "1 d 7 h".
func Duration(d time.Duration) string {
	if d < time.Second {
		return "under 1 s"
	}
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600 && s%60 == 0:
		return fmt.Sprintf("%d min", s/60)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 86400 && s/60%60 == 0:
		return fmt.Sprintf("%d h", s/3600)
	case s < 86400:
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	case s/3600%24 == 0:
		return fmt.Sprintf("%d d", s/86400)
	}
	return fmt.Sprintf("%d d %d h", s/86400, s/3600%24)
}

var units = [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// Bytes is a size in binary units with three figures: "0 B", "12.1 MiB", "206 GiB".
func Bytes(n uint64) string {
	v, u := scale(n)
	return v + " " + units[u]
}

// BytesOf is a part of a whole, the unit said once where both share it:
// "31.2 of 38.4 GiB", "900 MiB of 4.20 TiB".
func BytesOf(part, whole uint64) string {
	p, pu := scale(part)
	w, wu := scale(whole)
	if pu == wu {
		return p + " of " + w + " " + units[wu]
	}
	return p + " " + units[pu] + " of " + w + " " + units[wu]
}

func scale(n uint64) (string, int) {
	if n < 1024 {
		return strconv.FormatUint(n, 10), 0
	}
	v, u := float64(n), 0
	// 999.5 would print as 1000: take the next unit instead.
	for v >= 999.5 && u < len(units)-1 {
		v /= 1024
		u++
	}
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64), u
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64), u
	}
	return strconv.FormatFloat(v, 'f', 0, 64), u
}

// Number is n with its thousands set apart: "486,113".
func Number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Cut is a text of at most so many characters.
func Cut(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// Count is a number and its noun: "1 file", "486,113 files".
func Count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + many
}

// Percent is done of total from 0 to 100 to one decimal, never 100 before it is
// all done. A total of zero is zero per cent.
func Percent(done, total uint64) float64 {
	if total == 0 {
		return 0
	}
	if done >= total {
		return 100
	}
	return math.Min(math.Floor(float64(done)/float64(total)*1000)/10, 99.9)
}

// Left says how much longer a job takes, "3 h 41 min left"; "" where that is not
// known.
func Left(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return Duration(d) + " left"
}

// Visible makes foreign text safe to look at. Terminal colours are dropped; other
// control characters and the invisible ones that reorder or hide text (a file
// name may hold any of them) become what Go would write for them, so nothing on
// a page pretends to be something else. Tabs stay. Invalid UTF-8 becomes the
// replacement character.
func Visible(s string) string {
	if !strings.ContainsFunc(s, deceives) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.ToValidUTF8(dropCSI(s), "\uFFFD")
	var b strings.Builder
	for _, r := range s {
		if !deceives(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// Name makes all of a file's name or path visible: as Visible does, but nothing is dropped
// as a terminal's colour, so that two files never look like one; and tabs are written out,
// as is each blank that a page swallows or that looks like another: at the beginning or
// the end of a name, after another blank, and those that are not the plain one.
func Name(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	var b strings.Builder
	before := '/'
	for i, r := range s {
		next, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
		last := i+utf8.RuneLen(r) == len(s)
		switch {
		case r == ' ' && (before == '/' || before == '\\' || before == ' ' || last || next == '/'):
			b.WriteString(`\x20`)
		case deceives(r), r == '\t', r != ' ' && unicode.Is(unicode.Zs, r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

// Printable reports whether a text can be shown and typed as it is: valid UTF-8 of
// nothing but characters that can be seen, and plain spaces.
func Printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		// Fillers count as letters and show nothing.
		return !unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
	})
}

// Strip returns a text without anything Visible would write out, and without what
// is not UTF-8: what a host or a program says of itself, made fit for a name.
func Strip(s string) string {
	return strings.Map(func(r rune) rune {
		if deceives(r) || r == '\t' || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
}

// Line makes foreign text one cell of a table on a terminal: Visible, and tabs are
// spaces, so that it can be neither a command to the terminal nor another cell.
func Line(s string) string { return strings.ReplaceAll(Visible(s), "\t", " ") }

func deceives(r rune) bool {
	switch {
	case r == '\t':
		return false
	case unicode.IsControl(r):
		return true
	case r == '\u200d' || r == '\u200c': // joiners: scripts and emoji need them
		return false
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r),
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r): // fillers, which count as letters and show nothing
		return true
	}
	return false
}

// dropCSI removes the escape sequences a terminal would take for colour and
// cursor: ESC [ parameters final.
func dropCSI(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != 0x1b || i+1 >= len(s) || s[i+1] != '[' {
			b.WriteByte(s[i])
			continue
		}
		j := i + 2
		for j < len(s) && s[j] >= 0x20 && s[j] <= 0x3f {
			j++
		}
		if j >= len(s) || s[j] < 0x40 || s[j] > 0x7e {
			b.WriteByte(s[i])
			continue
		}
		i = j
	}
	return b.String()
}
