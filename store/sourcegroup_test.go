package store

import (
	"testing"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/places"
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

// backedUp has a group's backup end as its agent says, and returns how it ended here.
func backedUp(t *testing.T, s *Store, g SourceGroup, n int, summary topics.Summary) Job {
	t.Helper()
	if err := places.Found(t.Context(), s.w, g.Repository, g.Host, "", 1); err != nil {
		t.Fatal(err)
	}
	j := asked(t, s, g)
	step := func(in protocol.PlaneInput) {
		if err := s.Steps(t.Context(), func(tx protocol.PlaneTx) error {
			_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, in)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	step(protocol.Tick{Now: s.Now(), Online: func(topics.HostID) bool { return true }})
	end := topics.Finished{Job: j.ID, State: topics.Succeeded, Summary: &summary, Snapshot: &of(g, n)[0]}
	events := topics.Events{Epoch: 1, First: uint64(n), Events: []topics.Event{{Finished: &end}}}
	step(protocol.Arrived{Host: g.Host, Now: s.Now(), Events: events})
	return must(s.Job(t.Context(), j.ID))
}

// TestABackupIsJudgedByItsGroup: agents of older versions call an empty mount point a
// success, and no agent knows how many files there usually are.
func TestABackupIsJudgedByItsGroup(t *testing.T) {
	type saved struct {
		files uint64
		state topics.JobState
		cause topics.Cause
	}
	const ok, warned = topics.Succeeded, topics.Warnings
	for _, c := range []struct {
		is    string
		allow bool
		saved []saved
	}{
		{"a file, and nothing", false, []saved{{1, ok, ""}, {0, warned, topics.CauseEmptySource}, {1, ok, ""}}},
		{"nothing where there may be nothing", true, []saved{{0, ok, ""}, {100, ok, ""}, {1, ok, ""}, {0, ok, ""}}},
		{"fewer than half", false, []saved{{1000, ok, ""}, {500, ok, ""}, {1000, ok, ""}, {499, warned, topics.CauseFewerFiles}}},
		{"what collapsed is no measure", false, []saved{{1000, ok, ""}, {10, warned, topics.CauseFewerFiles},
			{10, warned, topics.CauseFewerFiles}, {10, warned, topics.CauseFewerFiles}, {1000, ok, ""}}},
		{"ever more", false, []saved{{10, ok, ""}, {100, ok, ""}, {1000, ok, ""}, {10000, ok, ""}}},
	} {
		s := open(t)
		g := grouped(t, s, enrolled(t, s, "attic"))
		edit := func(change func(*SourceGroup)) {
			t.Helper()
			if _, err := s.EditSourceGroup(t.Context(), "somebody", g.Host, g.Name, nil, func(row *SourceGroup, _ bool) error {
				change(row)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		edit(func(row *SourceGroup) { row.AllowEmpty = c.allow })
		n := 0
		for _, want := range c.saved {
			n++
			got := backedUp(t, s, g, n, topics.Summary{TotalFiles: want.files, TotalBytes: 100 * want.files})
			if got.State != want.state || got.Cause != want.cause {
				t.Errorf("%s: of %d files %s %q %q, want %s %q", c.is, want.files, got.State, got.Cause, got.Message, want.state, want.cause)
			}
		}
		edit(func(row *SourceGroup) { row.Paths = List{"/letters/2026"} }) // then there is nothing to compare with
		if got := backedUp(t, s, g, n+1, topics.Summary{TotalFiles: 1}); got.State != ok {
			t.Errorf("%s: of other paths %s %q %q", c.is, got.State, got.Cause, got.Message)
		}
	}
}
