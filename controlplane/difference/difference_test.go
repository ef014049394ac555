package difference

import (
	"fmt"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

func TestEachModifierHasAWord(t *testing.T) {
	for modifier, want := range map[string]Kind{"+": Added, "-": Removed, "M": Changed, "U": Metadata, "T": Typed, "?": Damaged,
		"M?": Damaged, "MU": Changed, "TU": Typed, "X": Other, "": Other} {
		if got := KindOf(modifier); got != want {
			t.Errorf("%q is %s, want %s", modifier, got, want)
		}
	}
}

func TestChangesAreSummedByFolder(t *testing.T) {
	changes := []topics.Change{{Path: "/srv/", Modifier: "U"}, {Path: "/srv/data/new/", Modifier: "+"},
		{Path: "/srv/data/new/a", Modifier: "+"},
		{Path: "/srv/data/b", Modifier: "M"}, {Path: "/srv/data/c", Modifier: "M?"}, {Path: "/srv/Old", Modifier: "-"}}
	v := Of(changes, "", "", 0, 250)
	got := ""
	for _, f := range v.Folders {
		got += fmt.Sprintf("%s %d:", f.Path, f.Sum.Total())
		for _, c := range f.Changes {
			got += " " + c.Name + "=" + string(c.Kind)
		}
		got += "\n"
	}
	want := "/ 6: srv/=metadata\n/srv 5: Old=removed\n/srv/data 4: b=changed c=damaged new/=added\n/srv/data/new 1: a=added\n"
	if got != want || v.Found != 6 || v.Sum[Added] != 2 || v.Sum.Total() != 6 {
		t.Errorf("%+v\n%s want\n%s", v, got, want)
	}
	if v := Of(changes, Added, "", 0, 250); v.Found != 2 || v.Sum.Total() != 6 || len(v.Folders) != 2 || v.Folders[0].Sum.Total() != 2 {
		t.Errorf("what was added: %+v", v)
	}
	if v := Of(changes, "", "OLD", 0, 250); v.Found != 1 {
		t.Errorf("with old in it: %+v", v)
	}
	seen := map[string]bool{}
	for from := 0; from < 6; from += 2 {
		for _, f := range Of(changes, "", "", from, 2).Folders {
			for _, c := range f.Changes {
				seen[c.Path] = true
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("in pages: %v", seen)
	}
	if v := Of(changes, "", "", 100, 2); len(v.Folders) != 0 {
		t.Errorf("behind the end: %+v", v)
	}
}

func BenchmarkTenThousandChanges(b *testing.B) {
	var changes []topics.Change
	for i := range 10_000 {
		changes = append(changes, topics.Change{Path: fmt.Sprintf("/srv/data/%d/deep/er/%d.txt", i%100, i), Modifier: "M"})
	}
	for b.Loop() {
		Of(changes, "", "", 0, 250)
	}
}
