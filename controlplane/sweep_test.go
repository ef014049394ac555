package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestLogsOfAnotherTimeGoByThemselves: an old log is there when the control plane
// starts, another becomes old while it runs.
func TestLogsOfAnotherTimeGoByThemselves(t *testing.T) {
	timing := DefaultTiming()
	timing.Sweep = 50 * time.Millisecond
	p, err := New(t.Context(), Config{
		Data:   filepath.Join(t.TempDir(), "data"),
		HTTP:   "127.0.0.1:0",
		Agents: "127.0.0.1:0",
		MQTT:   "127.0.0.1:0",
		Log:    slog.New(slog.DiscardHandler),
		Timing: timing,
		Logs:   Logs{Lines: 10, Retention: store.Retention{Age: time.Millisecond}},
		Limits: protocol.DefaultLimits(),
	})
	if err != nil {
		t.Fatal(err)
	}
	before := ended(t, p.Store)
	ctx, stop := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() { running <- p.Run(ctx) }()
	awaitSwept(t, p.Store, before)
	awaitSwept(t, p.Store, ended(t, p.Store))
	stop()
	if err := <-running; err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// ended is a job with a log of one line.
func ended(t *testing.T, s *store.Store) topics.JobID {
	t.Helper()
	ctx, id := t.Context(), topics.NewID(time.Now())
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddEnrollToken(ctx, store.EnrollToken{
		ID:        id,
		KeyHash:   []byte(id),
		CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000,
	}); err != nil {
		t.Fatal(err)
	}
	h, err := s.Enroll(ctx, []byte(id), store.Host{ID: topics.HostID(id), SealKey: key.Public(), Serial: "1", Hostname: "attic"})
	if err != nil {
		t.Fatal(err)
	}
	r := store.Repository{ID: topics.RepositoryID(id), Name: "vault " + id}
	if err := s.AddRepository(ctx, "test", r, store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	g, err := s.PutSourceGroup(ctx, "test", store.SourceGroup{
		ID:         topics.SourceGroupID(id),
		Host:       h.ID,
		Name:       "letters",
		Repository: r.ID,
		Paths:      store.List{"/letters"},
	})
	if err != nil {
		t.Fatal(err)
	}
	j, _, err := s.Ask(ctx, "test", store.Job{
		ID:          topics.JobID(id),
		Host:        h.ID,
		Kind:        topics.BackupJob,
		SourceGroup: g.ID,
		Repository:  r.ID,
		NotAfter:    1 << 50,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Steps(ctx, func(tx protocol.PlaneTx) error {
		if err := tx.AddLines(j.ID, 1, []topics.Line{{Level: topics.Info, Text: "word"}}); err != nil {
			return err
		}
		now, known, err := tx.Job(j.ID)
		if err != nil || !known {
			return fmt.Errorf("the job is known: %v, %w", known, err)
		}
		now.Lines = 1
		if err := tx.PutJob(now); err != nil {
			return err
		}
		_, err = protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.CancelAsked{Job: j.ID, By: "test", Now: s.Now()})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return j.ID
}

func awaitSwept(t *testing.T, s *store.Store, id topics.JobID) {
	t.Helper()
	tick, limit := time.NewTicker(10*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		lines, err := s.Log(t.Context(), id, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		j, err := s.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) == 0 && j.LogDroppedAt > 0 && j.State == topics.Cancelled {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("the log of the job, which is %s, has %d lines still", j.State, len(lines))
		}
	}
}
