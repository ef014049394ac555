package sources

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
)

func TestPatternsThatLeaveOutEverythingAreAWarning(t *testing.T) {
	const nothing = "save nothing"
	for _, c := range []struct {
		is              string
		paths, excludes []string
		says            []string // what each warning holds
	}{
		{"a star", []string{"/srv"}, []string{"*"}, []string{nothing, `"/srv" is saved: the pattern "*"`}},
		{"two stars", []string{"/srv"}, []string{"**"}, []string{nothing, "/srv"}},
		{"the root", []string{"/srv"}, []string{"/"}, []string{nothing, "/srv"}},
		{"all below the root", []string{"/srv", "/home"}, []string{"/**"}, []string{nothing, "/srv", "/home"}},
		{"the source itself", []string{"/srv"}, []string{"/srv/"}, []string{nothing, "/srv"}},
		{"what holds the source", []string{"/srv/www", "/srv/git"}, []string{"/srv"}, []string{nothing, "/srv/www", "/srv/git"}},
		{"all in the source", []string{"/srv"}, []string{"/srv/*"}, []string{nothing, "/srv"}},
		{"one of two", []string{"/srv", "/home"}, []string{"/home"}, []string{`"/home"`}},
		{"all of Windows", []string{`C:\Users`}, []string{`C:\`}, []string{nothing, `Users`}},
		{"one user of Windows", []string{`C:\Users`}, []string{`C:\Users\anna`}, nil},
		{"some of it", []string{"/srv"}, []string{"*.tmp", "/srv/cache", "/home", ".*"}, nil},
		{"all but something", []string{"/srv"}, []string{"/srv/*", "!/srv/keep"}, nil},
		{"a pattern from before it was refused", []string{"/srv"}, []string{"*.tmp", "[a"}, []string{`Line 2, the pattern "[a"`}},
		{"the same on Windows", []string{`C:\Users`}, []string{`Temp\`, "[a"}, []string{`Line 2, the pattern "[a"`}},
		{"one that ends with a backslash", []string{"/srv"}, []string{`Temp\`}, []string{`Line 1, the pattern "Temp\"`}},
		{"the same, of Windows", []string{`C:\Users`}, []string{`Temp\`}, nil},
		{"no pattern", []string{"/srv"}, nil, nil},
		{"many", []string{"/1", "/2", "/3", "/4", "/5", "/6"}, []string{"*"}, []string{nothing, "/1", "/2", "/3", "/4", "other paths"}},
	} {
		got := Warnings(store.SourceGroup{Paths: c.paths, Excludes: c.excludes})
		if len(got) != len(c.says) {
			t.Errorf("%s: %q, want %d warnings", c.is, got, len(c.says))
			continue
		}
		for i, want := range c.says {
			if !strings.Contains(got[i], want) {
				t.Errorf("%s: %q, want %q in it", c.is, got[i], want)
			}
		}
	}
}

// A pattern that was saved before it was refused does not stand in the way of other
// changes, and goes with the next change of the patterns.
func TestAPatternFromBeforeStaysUntilThePatternsAreChanged(t *testing.T) {
	g := store.SourceGroup{Paths: store.List{"/srv"}, Excludes: store.List{"[a", "*.tmp"}}
	for what, c := range map[string]struct {
		in  Input
		bad bool
	}{
		"something else":         {Input{AllowEmpty: new(true)}, false},
		"the same patterns":      {Input{Excludes: new([]string{"[a", "*.tmp"})}, true},
		"another one beside it":  {Input{Excludes: new([]string{"[a", "b"})}, true},
		"without it":             {Input{Excludes: new([]string{"*.tmp"})}, false},
		"no pattern at all":      {Input{Excludes: new([]string{})}, false},
		"the paths of its group": {Input{Paths: new([]string{"/srv", "/home"})}, false},
	} {
		row, wrong := g, field.Errors{}
		c.in.apply(&row, wrong)
		if said := wrong["excludes"]; (said != "") != c.bad || c.bad && !strings.Contains(said, `Line 1, the pattern "[a"`) {
			t.Errorf("%s: %q", what, said)
		}
	}
}

func TestARepositoryBelowItsSourceIsNamedInAdvance(t *testing.T) {
	for _, c := range []struct {
		address string
		paths   []string
		says    string
	}{
		{"/srv/backup/repo", []string{"/home", "/srv"}, `lies below "/srv"`},
		{"local:/srv/backup/repo", []string{"/srv/"}, "lies below"},
		{"/srv/repo", []string{"/"}, "lies below"},
		{"/srv/{host}/repo", []string{"/srv"}, "lies below"},
		{"/srv/./repo", []string{"/srv"}, "lies below"},
		{`D:\Backup\repo`, []string{`d:\backup`}, "lies below"},
		{"/srv/repo", []string{"/srv/repo"}, `Nothing in "/srv/repo" is saved`},
		{"/srv/repo", []string{"/srv/repo/data"}, "lies in the repository"},
		{"/srv/repo", []string{"/srv/repo2", "/srv/re", "/home"}, ""},
		{"/Srv/repo", []string{"/srv"}, ""},
		{"rest:http://localhost/srv/repo", []string{"/srv"}, ""},
		{"sftp:nas:/srv/repo", []string{"/srv"}, ""},
	} {
		got := strings.Join(LeftOut(store.SourceGroup{Paths: c.paths}, c.address), " ")
		if !strings.Contains(got, c.says) || (c.says == "") != (got == "") {
			t.Errorf("%s of %q: %q, want %q", c.address, c.paths, got, c.says)
		}
	}
}
