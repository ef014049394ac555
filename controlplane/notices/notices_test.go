package notices

import (
	"context"
	"testing"
)

func TestNoticesComeWorstFirstOnceEachAndToWhomTheyConcern(t *testing.T) {
	var l List
	if got := l.Now(t.Context(), true); got == nil || len(got) != 0 {
		t.Errorf("a list without sources says %v, want an empty list", got)
	}
	say := func(all ...Notice) { l.Add(func(context.Context) []Notice { return all }) }
	say(Notice{ID: "key-inside", Severity: Warning, Say: "The key lies inside."}, Notice{ID: "a-tip", Severity: Info, Say: "A tip."})
	say(Notice{ID: "low-space", Severity: Failure, Say: "The disk is full.", Everybody: true},
		Notice{ID: "key-inside", Severity: Info, Say: "The same, said less."})
	l.Add(func(context.Context) []Notice { return nil })
	for _, c := range []struct {
		who   string
		admin bool
		want  []string
	}{
		{"an administrator", true, []string{"The disk is full.", "The key lies inside.", "A tip."}},
		{"a viewer", false, []string{"The disk is full."}},
	} {
		got := l.Now(t.Context(), c.admin)
		if len(got) != len(c.want) {
			t.Errorf("%s sees %+v, want %q", c.who, got, c.want)
			continue
		}
		for i, n := range got {
			if n.Say != c.want[i] {
				t.Errorf("%s sees %q at %d, want %q", c.who, n.Say, i, c.want[i])
			}
		}
	}
}
