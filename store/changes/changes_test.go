package changes_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/store/changes"
	"github.com/restic-manager/restic-manager/topics"
)

func TestWhatIsSaidOfAChange(t *testing.T) {
	type rules struct {
		Last   int      `json:"keep_last,omitempty"`
		Within string   `json:"keep_within,omitempty"`
		Hooks  []string `json:"hooks,omitempty"`
	}
	long := strings.Repeat("ä", 5000)
	for _, c := range []struct {
		what string
		note func(*changes.List)
		want string
	}{
		{"nothing", func(l *changes.List) {
			l.Text("zone", "UTC", "UTC")
			l.Names("paths", nil, nil)
			l.Secret("password", "a", "a")
		}, "vault"},
		{"text", func(l *changes.List) { l.Text("keeper", "nas", "attic") }, "vault: keeper: nas → attic"},
		{"text that was not there", func(l *changes.List) { l.Text("keeper", "", "attic") }, "vault: keeper: none → attic"},
		{"several", func(l *changes.List) { l.Value("paused", false, true); l.Value("slices", 12, 52) },
			"vault: paused: false → true, slices: 12 → 52"},
		{"a list", func(l *changes.List) { l.Names("paths", []string{"/a", "/b"}, []string{"/b", "/c"}) },
			"vault: paths: added /c; removed /a"},
		{"a list's order", func(l *changes.List) { l.Names("before", []string{"x", "y"}, []string{"y", "x"}) }, "vault: before: another order"},
		{"secrets", func(l *changes.List) {
			l.Secret("password", "canary-1", "canary-2")
			l.Secrets("", map[string]topics.Secret{"A": "canary-3", "B": "canary-4", "C": "same"},
				map[string]topics.Secret{"B": "canary-5", "C": "same", "D": "canary-6"})
		}, "vault: password: changed, A: removed, B: changed, D: set"},
		{"rules", func(l *changes.List) {
			l.Fields(&rules{Last: 7}, &rules{Within: "30d", Hooks: []string{"dump", "stop"}})
		},
			"vault: hooks: none → dump, stop, keep_last: 7 → none, keep_within: none → 30d"},
		{"rules that were not there", func(l *changes.List) { l.Fields((*rules)(nil), &rules{Last: 7}) }, "vault: keep_last: none → 7"},
	} {
		var l changes.List
		c.note(&l)
		if got := l.Of("vault"); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	var l changes.List
	for range 50 {
		l.Text("paths", long, "x"+long)
	}
	if got := l.Of("vault"); utf8.RuneCountInString(got) > changes.MostOfAll || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("what is long is %d characters", utf8.RuneCountInString(got))
	}
}
