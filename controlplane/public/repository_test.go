package public

import (
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// Nothing happens but that time passes: a repository that nobody looks at is called
// overdue, and one that is removed clears its topic.
func TestHowARepositoryIsBecomesWorseByTimeAlone(t *testing.T) {
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault", Location: "/srv/vault", CreatedAt: s.Now()},
		store.RepositoryAccess{}); err != nil {
		t.Fatal(err)
	}
	e := &ear{}
	running(t, New(Config{
		Store:    s,
		Presence: hosts.NewPresence(hosts.DefaultTiming(), now, nil),
		Hub:      jobs.NewHub(),
		Publish:  e.publish,
		Log:      slog.New(slog.DiscardHandler),
		Timing:   Timing{Quiet: time.Millisecond, Running: time.Millisecond, Look: 5 * time.Millisecond},
		Now:      now,
	}))
	is := func(word string) func() bool {
		return func() bool {
			m := e.about("repository/vault-0001/state")
			if len(m) == 0 || m[len(m)-1].payload == "" {
				return word == "" && len(m) > 0
			}
			var v topics.RepositoryState
			last := m[len(m)-1]
			return json.Unmarshal([]byte(last.payload), &v) == nil && last.retain && last.qos == 1 && v.Name == "vault" &&
				v.Health == word && v.Reason != "" && v.Since != ""
		}
	}
	await(t, "a repository that nobody has looked at", is("never-looked-at"))
	ahead.Store(int64(36 * 24 * time.Hour))
	await(t, "a check to be overdue", is("check-overdue"))
	if err := s.RemoveRepository(ctx, "test", "vault-0001", true); err != nil {
		t.Fatal(err)
	}
	await(t, "the topic to be cleared", is(""))
}
