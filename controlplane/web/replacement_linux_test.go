package web

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
)

// TestAReplacementIsAwaitedInOneWay: what is drawn again beside a token is what the page
// said, and a token that nobody used leads to another one for a replacement.
func TestAReplacementIsAwaitedInOneWay(t *testing.T) {
	w := newWorld(t)
	c := w.person(store.Admin)
	path := "/hosts/" + string(w.enrol("attic").id) + "/replacement"
	page := c.do("POST", path, nil)
	if !strings.Contains(page.text, "Waiting for the new machine") {
		t.Fatalf("the page: %s", page.Status)
	}
	drawn := func() string {
		t.Helper()
		f := c.feed(streamOf(page.text))
		for {
			if m, ok := f.next(); !ok {
				t.Fatal("the stream ended")
			} else if strings.Contains(m.data, "enrol-status") {
				return m.data
			}
		}
	}
	if d := drawn(); !strings.Contains(d, "Waiting for the new machine") {
		t.Errorf("drawn is %s", d)
	}
	db := beside(t, filepath.Dir(t.TempDir()), "immediate")
	defer db.Close()
	if _, err := db.Exec(`UPDATE enroll_tokens SET expires_at = 1`); err != nil {
		t.Fatal(err)
	}
	if d := drawn(); !strings.Contains(d, "has expired") || !strings.Contains(d, `action="`+path+`"`) {
		t.Errorf("of a token that nobody used, drawn is %s", d)
	}
}
