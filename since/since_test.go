package since

import (
	"slices"
	"strings"
	"testing"
)

func TestVersionsAreReadAsHostsReportThem(t *testing.T) {
	for text, want := range map[string]Version{"0.14.0": {0, 14, 0}, "0.16.5": {0, 16, 5}, "0.20": {0, 20, 0}, "1.0.0-dev": {1, 0, 0},
		"0.19.1-dev (compiled manually)": {0, 19, 1}} {
		if v, ok := Parse(text); !ok || v != want {
			t.Errorf("%q is %v, %v", text, v, ok)
		}
	}
	for _, text := range []string{"", "restic 0.14.0", "v0.14.0", "0", "12345.1.1"} {
		if v, ok := Parse(text); ok {
			t.Errorf("%q is taken for %v", text, v)
		}
	}
	if s := (Version{0, 16, 5}).Short() + " " + (Version{0, 17, 0}).Short(); s != "0.16.5 0.17" {
		t.Error(s)
	}
}

func TestEverythingOfTheTableIsSaid(t *testing.T) {
	seen := map[string]bool{}
	for i, f := range All {
		if f.What == "" || seen[f.What] || strings.HasSuffix(f.What, ".") {
			t.Errorf("%q is said badly, or twice", f.What)
		}
		seen[f.What] = true
		if f.Weight > Inner && !strings.HasSuffix(f.Else, ".") {
			t.Errorf("%s: what older ones do is no sentence: %q", f.What, f.Else)
		}
		if f.Since.Compare(Oldest) <= 0 {
			t.Errorf("%s: every restic has it that is used", f.What)
		}
		if i > 0 && f.Since.Compare(All[i-1].Since) < 0 {
			t.Errorf("%s is out of order", f.What)
		}
	}
	if Newest() != (Version{0, 20, 0}) {
		t.Error(Newest())
	}
}

func TestWhatOneLacksComesByWeight(t *testing.T) {
	old := Lacks(Version{0, 14, 0}, false)
	if len(old) == 0 || old[0].Weight != Fault || !slices.IsSortedFunc(old, func(a, b Feature) int { return int(b.Weight) - int(a.Weight) }) {
		t.Errorf("of 0.14: %v", old)
	}
	if slices.ContainsFunc(old, func(f Feature) bool { return f.Windows }) {
		t.Error("Linux lacks what is of Windows")
	}
	if n := len(Lacks(Version{0, 14, 0}, true)); n <= len(old) {
		t.Errorf("Windows lacks %d, no more than Linux", n)
	}
	if l := Lacks(Version{0, 19, 1}, true); len(l) != 1 || l[0].What != RestoreNames.What {
		t.Errorf("of 0.19.1: %v", l)
	}
	if l := Lacks(Version{0, 20, 0}, true); len(l) != 0 {
		t.Errorf("of 0.20.0: %v", l)
	}
}

func TestARestoreByAnOlderOneWarns(t *testing.T) {
	for _, old := range []string{"0.14.0", "0.17.3", "0.19.1"} {
		if said := Restoring("attic", old); !strings.Contains(said, "attic has restic "+old) || !strings.Contains(said, "0.20 ") {
			t.Errorf("%s: %q", old, said)
		}
	}
	for _, good := range []string{"0.20.0", "0.20.1", "1.0.0", "", "what?"} {
		if said := Restoring("attic", good); said != "" {
			t.Errorf("%q: %q", good, said)
		}
	}
}
