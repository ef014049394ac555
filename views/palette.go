package views

import (
	"net/url"
	"strings"

	"github.com/restic-manager/restic-manager/words"
)

// A Palette is where somebody can go from any page, by a few letters: the page "Search and
// commands", and the dialog that Ctrl K opens.
type Palette struct {
	Text   string // what was typed
	Groups []PaletteGroup
}

// A PaletteGroup is what is found of one kind.
type PaletteGroup struct {
	Title string // "Hosts"
	Items []PaletteItem
}

// A PaletteItem is a page to go to.
type PaletteItem struct {
	Icon string
	Text string // "Restore files of attic…"
	Note string // beside it, "Failed, agent offline"; may be ""
	URL  string
}

// GoURL is the page "Search and commands".
const GoURL = "/go"

// PatternURL is the page that looks for files, with what to look for filled in.
func PatternURL(pattern string) string { return withQuery("/search", url.Values{"pattern": {pattern}}) }

// VersionsFormURL is the page that asks for what is not known yet, "", to list the versions
// of a path.
func VersionsFormURL(repository, host, path string) string {
	q := url.Values{}
	for _, v := range [][2]string{{"repository", repository}, {"host", host}, {"path", path}} {
		if v[1] != "" {
			q.Set(v[0], v[1])
		}
	}
	return withQuery("/versions", q)
}

// Len counts what was found.
func (p Palette) Len() (n int) {
	for _, g := range p.Groups {
		n += len(g.Items)
	}
	return n
}

// said is what was found, in a few words.
func (p Palette) said() string {
	if p.Len() == 0 {
		return "Nothing matches “" + words.Cut(words.Visible(p.Text), 60) + "”."
	}
	return words.Count(uint64(p.Len()), "result", "results")
}

// code is what was typed as an attribute holds it: a script decodes it.
func (p Palette) code() string { return url.PathEscape(strings.ToValidUTF8(p.Text, "\uFFFD")) }
