package patterns

import (
	"slices"
	"testing"
)

func TestAPatternFitsAPathAsResticSays(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		fits          bool
	}{
		{"*", "/srv", true},
		{"**", "/srv/a", true},
		{"/", "/srv", true},
		{"/**", "/srv", true},
		{"/*", "/srv/a/b", true},
		{"/srv", "/srv", true},
		{"/srv", "/srv/a", true},
		{"/srv/", "/srv/a", true},
		{"//srv", "/srv/a", true},
		{"/srv", "/srv2", false},
		{"/srv/a", "/srv", false},
		{"/srv/*", "/srv", false},
		{"/srv/*", "/srv/a", true},
		{"srv", "/mnt/srv/a", true},
		{"srv", "/mnt/srv2", false},
		{"srv/a", "/mnt/srv/a", true},
		{"./srv", "/mnt/srv", true},
		{"s?v", "/srv/a", true},
		{"*.tmp", "/srv/a.tmp", true},
		{"*.tmp", "/srv/a", false},
		{"/home/*/.cache", "/home/anna/.cache/x", true},
		{"/home/*/.cache", "/home/anna/x/.cache", false},
		{"/home/**/.cache", "/home/anna/x/.cache", true},
		{"/home/**/.cache", "/home/.cache", true},
		{"**/x/**/y", "/a/x/b/c/y", true},
		{"/srv\\*", "/srv*", true},
		{"/srv\\*", "/srv/a", false},
		{"[", "/srv", false},
		{"*", "/", false},
	} {
		got := Parse([]string{c.pattern}, false).Excludes(c.path) != ""
		if got != c.fits {
			t.Errorf("%s leaves out %s: %t, want %t", c.pattern, c.path, got, c.fits)
		}
	}
	for _, c := range []struct {
		patterns []string
		path, by string
	}{
		{[]string{"*", "!/srv"}, "/srv", ""},
		{[]string{"!/srv", "*"}, "/srv", "*"},
		{[]string{"*.tmp", "/srv"}, "/srv/a", "/srv"},
		{[]string{"!"}, "/srv", ""},
		{nil, "/srv", ""},
	} {
		if got := Parse(c.patterns, false).Excludes(c.path); got != c.by {
			t.Errorf("%q leaves out %s by %q, want %q", c.patterns, c.path, got, c.by)
		}
	}
	for _, c := range []struct {
		pattern, path string
		fits          bool
	}{
		{`C:\Data`, `C:\Data\x`, true},
		{`C:\Data`, `D:\Data`, false},
		{`Data\*`, `C:\Data\x`, true},
		{`C:\`, `C:\Data`, true},
		{`*`, `C:\Data`, true},
	} {
		if got := Parse([]string{c.pattern}, true).Excludes(c.path) != ""; got != c.fits {
			t.Errorf("on Windows %s leaves out %s: %t, want %t", c.pattern, c.path, got, c.fits)
		}
	}
}

func TestPatternsThatLeaveOutEverythingOfASource(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		source   string
		by       string
	}{
		{[]string{"*"}, "/srv", "*"},
		{[]string{"*"}, "/", "*"},
		{[]string{"**"}, "/srv", "**"},
		{[]string{"/"}, "/srv", "/"},
		{[]string{"/srv"}, "/srv", "/srv"},
		{[]string{"/srv"}, "/srv/www/html", "/srv"},
		{[]string{"/srv/*"}, "/srv", "/srv/*"},
		{[]string{"/srv/**"}, "/srv/", "/srv/**"},
		{[]string{"*.log", "srv"}, "/srv", "srv"},
		{[]string{"/srv/*", "!/srv/keep"}, "/srv", ""},
		{[]string{"/srv/*.*"}, "/srv", ""},
		{[]string{"/srv/.*"}, "/srv", ""},
		{[]string{"/srv/x"}, "/srv", ""},
		{[]string{"/srv/*/*"}, "/srv", ""},
		{[]string{"*.tmp"}, "/srv", ""},
		{nil, "/srv", ""},
	} {
		if got := Parse(c.patterns, false).All(c.source); got != c.by {
			t.Errorf("%q leaves out all of %s by %q, want %q", c.patterns, c.source, got, c.by)
		}
	}
}

func TestPatternsFollowASourceThatIsReadElsewhere(t *testing.T) {
	for _, c := range []struct {
		pattern       string
		source, leads string
		more          []string
	}{
		{"/srv/www/cache", "/srv/www", "/data/www", []string{"/data/www/cache"}},
		{"/srv/*/cache", "/srv/www", "/data/www", []string{"/data/www/cache"}},
		{"/srv/www", "/srv/www", "/data/www", []string{"/data/www"}},
		{"/srv", "/srv/www", "/data/www", []string{"/data/www"}},
		{"!/srv/www/keep", "/srv/www", "/data/www", []string{"!/data/www/keep"}},
		{"/srv/**/cache", "/srv/www", "/data/www", []string{"/data/www/**/cache"}},
		{"/srv/**/www/x", "/srv/www", "/data/www", []string{"/data/www/x", "/data/www/**/www/x"}},
		{"/srv/www/a", "/srv/www", "/data/w[w*", []string{`/data/w\[w\*/a`}},
		{"/srv/www/a", "/srv/www", "/", []string{"/a"}},
		{"/srv/web/cache", "/srv/www", "/data/www", nil},
		{"/data/www/cache", "/srv/www", "/data/www", nil},
		{"*.tmp", "/srv/www", "/data/www", nil},
		{"www/cache", "/srv/www", "/data/www", nil},
	} {
		got := Led([]string{c.pattern}, false, []Lead{{From: c.source, To: c.leads}})
		if want := append([]string{c.pattern}, c.more...); !slices.Equal(got, want) {
			t.Errorf("%s of %s, which leads to %s: %q, want %q", c.pattern, c.source, c.leads, got, want)
		}
	}
	got := Led([]string{"!/srv/www/a.tmp", "*.tmp"}, false, []Lead{{From: "/srv/www", To: "/data/www"}, {From: "/home", To: "/data/home"}})
	if want := []string{"!/srv/www/a.tmp", "!/data/www/a.tmp", "*.tmp"}; !slices.Equal(got, want) {
		t.Errorf("the order counts: %q, want %q", got, want)
	}
	got = Led([]string{`D:\Web\*\x`}, true, []Lead{{From: `D:\Web`, To: `E:\Data\Web`}})
	if want := []string{`D:\Web\*\x`, "E:/Data/Web/*/x"}; !slices.Equal(got, want) {
		t.Errorf("on Windows: %q, want %q", got, want)
	}
}

// TestALiteralFitsItsPathAlone: a name with signs of patterns in it fits itself and what is
// below it, and not what the signs would fit.
func TestALiteralFitsItsPathAlone(t *testing.T) {
	for _, c := range []struct {
		name    string
		windows bool
		not     string
	}{
		{"/srv/a[1]", false, "/srv/a1"},
		{"/srv/*", false, "/srv/a"},
		{"/srv/a?", false, "/srv/ab"},
		{`/srv/a\b`, false, "/srv/ab"},
		{"/srv/[", false, "/srv/x"},
		{`C:\Data\a[1]`, true, `C:\Data\a1`},
		{`C:\Data\[a-c]`, true, `C:\Data\b`},
		{`C:\Data\[`, true, `C:\Data\x`},
		{`C:\Data\a]`, true, `C:\Data\a`},
		{`C:\a[1]\b`, true, `C:\a1\b`},
	} {
		pattern := Literal(c.name, c.windows)
		l := Parse([]string{pattern}, c.windows)
		if l.Excludes(c.name) == "" || l.Excludes(c.name+"/below") == "" {
			t.Errorf("%s does not fit %s", pattern, c.name)
		}
		if l.Excludes(c.not) != "" {
			t.Errorf("%s fits %s", pattern, c.not)
		}
		if problem := Check(pattern, c.windows); problem != "" {
			t.Errorf("%s: %s", pattern, problem)
		}
	}
}
