package web

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
)

// What is so with the server itself stands on every page and in the API, for whom it
// concerns, while it is so; an open page hears of it.
func TestNoticesStandOnEveryPageForWhomTheyConcern(t *testing.T) {
	var full atomic.Bool
	list := &notices.List{}
	list.Add(func(context.Context) []notices.Notice {
		all := []notices.Notice{{ID: "key-inside", Severity: notices.Warning, Say: "The key lies inside.", Remedy: "Move it."}}
		if full.Load() {
			all = append(all, notices.Notice{ID: "low-space", Severity: notices.Failure, Say: "The disk is full.", Everybody: true})
		}
		return all
	})
	w := newWorld(t, func(c *base.Config) { c.Notices = list })
	full.Store(true)
	const key, disk = "The key lies inside.", "The disk is full."
	for _, c := range []struct {
		role store.Role
		key  bool
	}{{store.Admin, true}, {store.Operator, false}, {store.Viewer, false}} {
		who, program := w.person(c.role), w.program(c.role)
		for _, path := range []string{"/", "/jobs", "/repositories", "/settings", "/account", "/no-such-page"} {
			text := who.do("GET", path, nil).text
			if !strings.Contains(text, disk) || strings.Contains(text, key) != c.key {
				t.Errorf("%s sees on %s: the full disk %t, the key %t", c.role, path, strings.Contains(text, disk), strings.Contains(text, key))
			}
		}
		text := program.do("GET", "/api/notices", nil).text
		if !strings.Contains(text, disk) || strings.Contains(text, key) != c.key {
			t.Errorf("%s reads of the API: %s", c.role, text)
		}
	}
	text := w.program(store.Admin).do("GET", "/api/notices", nil).text
	if d, k := strings.Index(text, disk), strings.Index(text, key); d < 0 || d > k {
		t.Errorf("the worst is not the first: %s", text)
	}
	full.Store(false)
	f := w.person(store.Viewer).feed("/events?view=fleet")
	full.Store(true)
	f.until(disk)
	full.Store(false)
	f.until(`id="plane-notices" role="status"></div>`)
}
