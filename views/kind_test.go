package views

import (
	"bytes"
	"io/fs"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

func TestEveryKindOfJobIsShown(t *testing.T) {
	icons, err := fs.ReadFile(Static, "icons.svg")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range topics.AllKinds {
		if row, ok := kinds[string(k)]; !ok || row.word == "" || !bytes.Contains(icons, []byte(`id="`+row.icon+`"`)) {
			t.Errorf("%s is shown as %+v", k, row)
		}
	}
	if len(kinds) != len(topics.AllKinds) {
		t.Errorf("%d rows for %d kinds", len(kinds), len(topics.AllKinds))
	}
	if got := KindWord("recompress") + ", " + KindWord("") + ", " + kindIcon("recompress"); got != "Recompress, Job, activity" {
		t.Errorf("of a later version: %s", got)
	}
}
