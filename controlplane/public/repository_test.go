package public

import (
	"crypto/sha256"
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
		Box:      e.box(t, s),
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

// What is said of a host changes with its repository, and with the time, though nothing is
// written about the host.
func TestAHostsStateFollowsItsRepositoryAndTheClock(t *testing.T) {
	ctx := t.Context()
	s := storetest.Open(t, store.Open)
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	hash := sha256.Sum256([]byte("key"))
	if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: "token-0001", KeyHash: hash[:], CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000}); err != nil {
		t.Fatal(err)
	}
	must(s.Enroll(ctx, hash[:], store.Host{ID: "attic-0001", SealKey: []byte("k"), Hostname: "attic"}))
	if err := s.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault"}, store.RepositoryAccess{}); err != nil {
		t.Fatal(err)
	}
	e := &ear{}
	running(t, New(Config{
		Store:    s,
		Presence: hosts.NewPresence(hosts.DefaultTiming(), now, nil),
		Hub:      jobs.NewHub(),
		Box:      e.box(t, s),
		Log:      slog.New(slog.DiscardHandler),
		Timing:   Timing{Quiet: time.Millisecond, Running: time.Millisecond, Look: 5 * time.Millisecond},
		Now:      now,
	}))
	last := func(fits func(topics.HostState) bool) func() bool {
		return func() bool {
			m := e.about("attic-0001/state")
			var v topics.HostState
			return len(m) > 0 && json.Unmarshal([]byte(m[len(m)-1].payload), &v) == nil && fits(v)
		}
	}
	until := now().Add(time.Hour).UnixMilli()
	must(s.PauseHost(ctx, "anna", "attic-0001", now().UnixMilli(), until))
	await(t, "the host to be paused", last(func(v topics.HostState) bool { return v.PausedUntil == rfc3339(until) }))
	ahead.Store(int64(time.Hour + time.Minute))
	await(t, "the pause to be over", last(func(v topics.HostState) bool { return v.PausedUntil == "" }))

	must(s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: "group-0001", Host: "attic-0001", Name: "letters", Repository: "vault-0001"}))
	for _, size := range []int64{4096, 8192} {
		if err := s.SlotStep(ctx, func(tx store.Slots) error {
			ctx, x := tx.Tx()
			_, err := x.ExecContext(ctx, `UPDATE repositories SET stored_bytes = $1, measured_at = $1 WHERE id = 'vault-0001'`, size)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		await(t, "the host to say what its repository takes", last(func(v topics.HostState) bool { return v.StoredBytes == size }))
	}
}
