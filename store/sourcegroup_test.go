package store

import (
	"testing"

	"github.com/restic-manager/restic-manager/protocol"
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

// TestASuccessThatSavedNothingIsNone: agents of older versions call an empty mount
// point a success.
func TestASuccessThatSavedNothingIsNone(t *testing.T) {
	for _, c := range []struct {
		is    string
		allow bool
		files uint64
		state topics.JobState
		cause topics.Cause
	}{
		{"nothing", false, 0, topics.Warnings, topics.CauseEmptySource},
		{"nothing where there may be nothing", true, 0, topics.Succeeded, ""},
		{"a file", false, 1, topics.Succeeded, ""},
	} {
		s := open(t)
		g := grouped(t, s, enrolled(t, s, "attic"))
		if _, err := s.EditSourceGroup(t.Context(), "somebody", g.Host, g.Name, nil, func(row *SourceGroup, _ bool) error {
			row.AllowEmpty = c.allow
			return nil
		}); err != nil {
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
		end := topics.Finished{Job: j.ID, State: topics.Succeeded, Summary: &topics.Summary{TotalFiles: c.files}}
		events := topics.Events{Epoch: 1, First: 1, Events: []topics.Event{{Finished: &end}}}
		step(protocol.Arrived{Host: g.Host, Now: s.Now(), Events: events})
		got, err := s.Job(t.Context(), j.ID)
		if err != nil || got.State != c.state || got.Cause != c.cause {
			t.Errorf("%s: %s %q %v, want %s %q", c.is, got.State, got.Cause, err, c.state, c.cause)
		}
	}
}
