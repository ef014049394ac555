package views

import (
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

// A When is a moment in words: how long ago, what the clock said, and the exact
// time for the browser, which keeps the words true while the page stays open and
// shows the clock in the viewer's own zone. The zero When was never.
type When struct {
	Ago   string // "2 h ago"; "" for never
	Clock string // "14:02", "Thu 07:44", "2 Nov 11:44", "2 Nov 2025"
	ISO   string // RFC 3339 in UTC, to the millisecond
}

// Never reports whether there is no such moment.
func (w When) Never() bool { return w.ISO == "" }

// NewWhen words t as seen at now, its clock in now's zone. A zero t is never.
func NewWhen(t, now time.Time) When {
	if t.IsZero() {
		return When{}
	}
	return When{Ago: words.Ago(t, now), Clock: words.Clock(t, now), ISO: words.ISO(t)}
}

// ElementID is the id of the page element that shows one thing, "host-attic".
// Whatever could not stand in a CSS selector is written out in hexadecimal, so
// different keys give different ids.
func ElementID(kind, key string) string {
	var b strings.Builder
	b.WriteString(kind)
	b.WriteByte('-')
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "_%02x", c)
	}
	return b.String()
}
