package views

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

// A When is a moment as it is seen at another, later or earlier. A page shows it with
// one component, [moment], in the zone of whoever looks, which the context of the
// rendering holds ([words.WithZone]). The zero When was never.
type When struct{ at, now time.Time }

// Never reports whether there is no such moment.
func (w When) Never() bool { return w.at.IsZero() }

// odd reports whether it is a moment that cannot be.
func (w When) odd() bool { return !w.at.IsZero() && !words.Believed(w.at.UnixMilli()) }

// NewWhen is t as seen at now. A zero t is never.
func NewWhen(t, now time.Time) When { return When{t, now} }

// Ago is how long ago it was, for the midst of a sentence; "never" for never.
func (w When) Ago() string { return words.Ago(w.at, w.now) }

// A form is how a moment is told. The browser keeps those that change with time true
// while the page stays open; app.js has the same words for each.
type form string

const (
	asAgo     form = "ago"     // "2 h ago"
	asIn      form = "in"      // "in 2 h"
	asSpan    form = "span"    // "2 h"
	asClock   form = "clock"   // "14:02", "Thu 07:44", "2 Nov 11:44", "2 Nov 2025"
	asSeconds form = "seconds" // "14:02:11"
	asEntry   form = "entry"   // "14:02:11", "2 Nov 14:02:11", "2 Nov 2025 14:02:11"
	asStamp   form = "stamp"   // "2 Nov 2025 14:02"
	asDay     form = "day"     // "2 Nov 2025"
)

// text is the moment in words.
func (w When) text(ctx context.Context, f form) string {
	switch f {
	case asAgo:
		return w.Ago()
	case asIn:
		return words.In(w.at, w.now)
	case asSpan:
		return words.Span(w.now.Sub(w.at))
	case asClock:
		return words.Clock(ctx, w.at, w.now)
	case asSeconds:
		return words.ClockSeconds(ctx, w.at)
	case asEntry:
		return words.Entry(ctx, w.at, w.now)
	case asStamp:
		return words.Stamp(ctx, w.at)
	}
	return words.Day(ctx, w.at)
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
