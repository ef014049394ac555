package restic

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/topics"
)

// A splitter cuts what restic writes into lines, ended by LF or by the CR of a
// progress line; empty ones are left out. It holds maxJSON bytes of a line that
// begins like a JSON object, topics.MaxLine of any other, and only counts the rest,
// so a line without an end costs no memory. A line that begins like an array goes
// through the document, if there is one.
type splitter struct {
	line     func(line []byte, dropped int) // may not keep line
	document *document
	inside   bool // of a line that is a document
	buf      []byte
	lost     int
}

func (s *splitter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		var line []byte
		var ended bool
		line, rest, ended = bytes.Cut(rest, []byte{'\n'})
		for {
			before, after, found := bytes.Cut(line, []byte{'\r'})
			s.take(before)
			if !found {
				break
			}
			s.end()
			line = after
		}
		if ended {
			s.end()
		}
	}
	return len(p), nil
}

func (s *splitter) take(p []byte) {
	begin, limit := s.buf, topics.MaxLine
	if len(begin) == 0 {
		begin = p
	}
	if len(begin) > 0 && begin[0] == '{' {
		limit = maxJSON
	}
	if s.inside = s.inside || s.document != nil && len(begin) > 0 && begin[0] == '['; s.inside {
		s.document.write(p)
		return
	}
	room := min(len(p), max(0, limit-len(s.buf)))
	if need := len(s.buf) + room; need > cap(s.buf) {
		s.buf = slices.Grow(s.buf, max(need, 2*cap(s.buf))-len(s.buf))
	}
	s.buf = append(s.buf, p[:room]...)
	s.lost += len(p) - room
}

// end hands on what there is of a line, at its end or the stream's.
func (s *splitter) end() {
	if s.inside {
		s.inside = false
		s.line(s.document.end())
		return
	}
	if len(s.buf) > 0 {
		s.line(s.buf, s.lost)
	}
	s.buf, s.lost = s.buf[:0], 0
	if cap(s.buf) > 1<<20 {
		s.buf = nil // one huge line must not be paid for until the end
	}
}

// clean makes text safe to show anywhere: one line of valid UTF-8. Escape
// sequences of terminals are taken out and a tab becomes a space; every other
// control character of ASCII becomes its picture (␀, ␇, ␛ …), and what else is
// not UTF-8 or would steer the text around it (C1 controls, bidirectional
// overrides and isolates, line separators, invisible format characters) becomes
// U+FFFD. The joiners that scripts and emoji need stay.
func clean(text string) string {
	if plain(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for len(text) > 0 {
		if n := escape(text); n > 0 {
			text = text[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r < ' ':
			b.WriteRune('\u2400' + r)
		case r == 0x7f:
			b.WriteRune('\u2421')
		case r == '\u200c' || r == '\u200d' || r == '\u00ad':
			b.WriteRune(r)
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r) // RuneError for what is not UTF-8
		}
	}
	return b.String()
}

func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// escape is the length of the terminal sequence that text begins with, 0 if it
// begins with none.
func escape(text string) int {
	if len(text) < 2 || text[0] != 0x1b {
		return 0
	}
	switch text[1] {
	case '[': // parameters, then one letter
		for i := 2; i < len(text) && i < 64; i++ {
			switch c := text[i]; {
			case c >= 0x40 && c <= 0x7e:
				return i + 1
			case c < 0x20 || c > 0x3f:
				return 0
			}
		}
		return 0
	case ']', 'P', 'X', '^', '_': // a string, up to BEL or ESC \
		for i := 2; i < len(text) && i < 1024; i++ {
			if text[i] == 0x07 {
				return i + 1
			}
			if text[i] == 0x1b && i+1 < len(text) && text[i+1] == '\\' {
				return i + 2
			}
		}
		return 0 // no end in sight: nothing is swallowed
	}
	if text[1] >= 0x30 && text[1] <= 0x7e {
		return 2
	}
	return 0
}

// cut shortens text to at most limit bytes, between two characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// mark says of a line that it is not all there, and how long it was.
func mark(size int) string { return fmt.Sprintf("… [cut, %d bytes]", size) }
