package slots

import "time"

// A Span is a time in which no slot begins, in Unix milliseconds: from From until before
// Until. A slot that would have begun in it, with its schedule's jitter, is left out.
type Span struct{ From, Until int64 }

// Holds reports whether a moment lies in the span.
func (s Span) Holds(at time.Time) bool { return s.From <= at.UnixMilli() && at.UnixMilli() < s.Until }

// In returns the span that a moment lies in, the one that lasts longest if there are several.
func In(spans []Span, at time.Time) (in Span, ok bool) {
	for _, s := range spans {
		if s.Holds(at) && (!ok || s.Until > in.Until) {
			in, ok = s, true
		}
	}
	return in, ok
}

// NextBut is Next without the slots that would begin in a span.
func NextBut(p Policy, after time.Time, spans []Span) time.Time {
	for {
		slot := Next(p, after)
		if slot.IsZero() {
			return slot
		}
		in, skipped := In(spans, p.Start(slot))
		if !skipped {
			return slot
		}
		after = slot
		if end := time.UnixMilli(in.Until).Add(-p.offset - time.Millisecond); end.After(after) { // a slot at its very end counts
			after = end
		}
	}
}

// DueBut is Due without the slots that would begin in a span; none of these is counted.
func DueBut(p Policy, last, now time.Time, spans []Span) (slot time.Time, n int) {
	if len(spans) == 0 {
		return Due(p, last, now)
	}
	for at := NextBut(p, last, spans); !at.IsZero() && !p.Start(at).After(now); at = NextBut(p, at, spans) {
		slot = at
		if n++; n == Many {
			return latestBut(p, slot, now, spans), n
		}
	}
	return slot, n
}

// latestBut is the latest slot after one that is due, up to now, outside of spans.
func latestBut(p Policy, due, now time.Time, spans []Span) time.Time {
	for until := now; ; {
		slot, n := Due(p, due, until)
		if n == 0 {
			return due
		}
		in, skipped := In(spans, p.Start(slot))
		if !skipped {
			return slot
		}
		until = time.UnixMilli(in.From - 1)
	}
}
