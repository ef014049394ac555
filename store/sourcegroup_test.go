package store

import (
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatSurroundsABackupStaysUntilItIsChanged: a form that does not know of hooks
// must not take them away.
func TestWhatSurroundsABackupStaysUntilItIsChanged(t *testing.T) {
	s := open(t)
	host := enrolled(t, s, "attic").ID
	repo := grouped(t, s, Host{ID: host}).Repository
	put := func(change func(*SourceGroup)) topics.SourceGroup {
		t.Helper()
		g := SourceGroup{ID: "group-0009", Host: host, Name: "db", Repository: repo, Paths: List{"/srv"}}
		if change != nil {
			change(&g)
		}
		saved, err := s.PutSourceGroup(t.Context(), "somebody", g)
		if err != nil {
			t.Fatal(err)
		}
		return saved.Topic()
	}
	if g := put(nil); g.LiveFiles || len(g.Hooks.Before) != 0 || g.Limits != (topics.Limits{}) {
		t.Errorf("a new one: %+v", g)
	}
	yes, no := true, false
	limits := topics.Limits{UploadKiB: 500, From: 480, To: 1080, Zone: "Europe/Berlin", LowPriority: true}
	put(func(g *SourceGroup) {
		g.LiveFiles, g.Limits = JSON[bool]{V: &yes}, JSON[topics.Limits]{V: &limits}
		g.Hooks = JSON[topics.Hooks]{V: &topics.Hooks{Before: []string{"dump"}}}
	})
	if g := put(nil); !g.LiveFiles || len(g.Hooks.Before) != 1 || g.Limits != limits {
		t.Errorf("saved by somebody who knows nothing of them: %+v", g)
	}
	if g := put(func(g *SourceGroup) {
		g.LiveFiles, g.Limits, g.Hooks = JSON[bool]{V: &no}, JSON[topics.Limits]{V: &topics.Limits{}}, JSON[topics.Hooks]{V: &topics.Hooks{}}
	}); g.LiveFiles || len(g.Hooks.Before) != 0 || g.Limits != (topics.Limits{}) {
		t.Errorf("taken away: %+v", g)
	}
}
