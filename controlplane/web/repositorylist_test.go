package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestALongListOfRepositoriesHasPages: fifty on each, all of them on some page, and
// a search finds one on any.
func TestALongListOfRepositoriesHasPages(t *testing.T) {
	w := newWorld(t)
	const many = 120
	for i := range many {
		name := fmt.Sprintf("vault-%03d", i)
		if err := w.store.AddRepository(t.Context(), "test", store.Repository{ID: topics.RepositoryID("repo-" + name), Name: name,
			Location: "/srv/" + name},
			store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
	}
	c := w.person(store.Viewer)
	seen := map[int]int{}
	for _, page := range []struct {
		path        string
		first, last int
	}{{"/repositories", 0, 49}, {"/repositories?page=2", 50, 99}, {"/repositories?page=3", 100, 119}, {"/repositories?page=77", 100, 119},
		{"/repositories?q=VAULT-07", 70, 79}, {"/repositories?q=srv%2Fvault-119", 119, 119}} {
		r := c.do("GET", page.path, nil)
		for i := range many {
			there := strings.Contains(r.text, fmt.Sprintf(">vault-%03d<", i))
			if there {
				seen[i]++
			}
			if want := page.first <= i && i <= page.last; there != want {
				t.Errorf("%s: vault-%03d is there: %t", page.path, i, there)
			}
		}
	}
	if len(seen) != many {
		t.Errorf("%d of %d are on some page", len(seen), many)
	}
	if r := c.do("GET", "/repositories?q=nothing", nil); !strings.Contains(r.text, "No repository matches") {
		t.Error("a search that finds nothing does not say so")
	}
	f := c.feed("/events?view=repositories&page=2")
	for {
		m, ok := f.next()
		if !ok {
			t.Fatal("the stream ended")
		}
		if strings.Contains(m.data, "vault-050") {
			if strings.Contains(m.data, "vault-049") {
				t.Error("the stream of a page draws another one")
			}
			break
		}
	}
}
