package live

import (
	"strings"
	"testing"

	"github.com/a-h/templ"
)

func TestAPartOfWhichOnlyTheAgeChangedIsNotSentAgain(t *testing.T) {
	p := NewPainter()
	draw := func(html string) int {
		p.Begin(t.Context())
		p.Morph("part", templ.Raw(html))
		parts, err := p.Parts()
		if err != nil {
			t.Fatal(err)
		}
		return len(parts)
	}
	const first = `<p>Failed <time datetime="2026-11-28T21:04:09Z" data-f="ago">3 s ago</time> of 2</p>`
	for _, c := range []struct {
		html string
		want int
	}{
		{first, 1},
		{strings.Replace(first, "3 s ago", "4 s ago", 1), 0},
		{strings.Replace(first, "of 2", "of 3", 1), 1},
		{strings.Replace(first, "21:04:09", "21:04:10", 1), 1},
		{strings.Replace(first, `"ago"`, `"clock"`, 1), 1},
		{strings.Replace(strings.Replace(first, `"ago"`, `"clock"`, 1), "3 s ago", "21:04", 1), 1},
	} {
		if got := draw(c.html); got != c.want {
			t.Errorf("%d parts are sent for %s, want %d", got, c.html, c.want)
		}
	}
}
