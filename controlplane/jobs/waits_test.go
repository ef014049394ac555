package jobs

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestSilenceCountsFromTheLastWordOrFromWhenSomebodyListened(t *testing.T) {
	h := NewHub()
	began := time.Now()
	now := began
	h.Now = func() time.Time { return now }
	j := store.Job{ID: "job-0001", State: topics.Running, StartedAt: began.Add(-time.Hour).UnixMilli()}
	about := func(what string, want time.Duration) {
		t.Helper()
		if got := h.Silence(j); (got - want).Abs() > time.Second {
			t.Errorf("%s: silent for %s, want %s", what, got, want)
		}
	}
	about("as the control plane starts", 0)
	now = began.Add(12 * time.Minute)
	about("never heard of since", 12*time.Minute)
	h.publish(j.ID, news{progress: &topics.Progress{}})
	about("after progress", 0)
	now = now.Add(5 * time.Minute)
	h.publish(j.ID, news{}) // its row changed: somebody asked for its end, say
	about("after a word of ours", 5*time.Minute)
	h.publish(j.ID, news{lines: []store.LogEntry{{N: 1}}})
	about("after a line", 0)
	now = now.Add(20 * time.Minute)
	j.StartedAt = now.Add(-time.Minute).UnixMilli()
	about("started since", time.Minute)
	j.State = topics.Queued
	about("while it waits", 0)
	h.forget(j.ID)
	if len(h.heard) > 0 {
		t.Error("an ended job is remembered")
	}
}

func TestWaitsSayWhatTheDispatcherWouldDecide(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	group := must(w.store.PutSourceGroup(ctx, "test", store.SourceGroup{
		ID:         "group-0002",
		Host:       w.host.ID,
		Name:       "photos",
		Repository: "vault-0001",
		Paths:      store.List{"/photos"},
	}))
	first, _, err := w.engine.AskBackup(ctx, "test", w.host.ID, "letters")
	if err != nil {
		t.Fatal(err)
	}
	waits := func() map[topics.JobID]protocol.Turn {
		return must(w.engine.Waits(ctx, must(w.store.OpenJobs(ctx, ""))))
	}
	if got := waits()[first.ID]; got != (protocol.Turn{Wait: protocol.WaitHost}) {
		t.Errorf("for an absent host: %v", got)
	}
	w.connect()
	w.await("the first to be sent", func() bool { return w.job(first.ID).State == topics.Dispatched })
	second, _, err := w.engine.AskBackup(ctx, "test", w.host.ID, group.Name)
	if err != nil {
		t.Fatal(err)
	}
	all := waits()
	if got := all[second.ID]; len(all) != 1 || got != (protocol.Turn{Wait: protocol.WaitJob, For: first.ID}) {
		t.Errorf("behind another job: %v", all)
	}
}
