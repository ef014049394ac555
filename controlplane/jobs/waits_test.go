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
		if got := h.Silence(j).For; (got - want).Abs() > time.Second {
			t.Errorf("%s: silent for %s, want %s", what, got, want)
		}
	}
	about("as the control plane starts", 0)
	now = began.Add(12 * time.Minute)
	about("never heard of since", 12*time.Minute)
	h.publish(j.ID, news{progress: &topics.Progress{}})
	about("after progress", 0)
	now = now.Add(5 * time.Minute)
	h.publish(j.ID, news{progress: &topics.Progress{Seconds: 300, SecondsLeft: 9}})
	about("after progress of the clock alone", 5*time.Minute)
	h.publish(j.ID, news{progress: &topics.Progress{Seconds: 301, FilesDone: 1}})
	about("after a file", 0)
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

// TestWhatAnAgentSaysOfASilenceCounts: it knows bytes and processor time, too, and is
// believed for as long as heartbeats come.
func TestWhatAnAgentSaysOfASilenceCounts(t *testing.T) {
	h := NewHub()
	now := time.Now()
	h.Now = func() time.Time { return now }
	j := store.Job{ID: "job-0001", Host: "host-0001", State: topics.Running, StartedAt: now.UnixMilli()}
	now = now.Add(12 * time.Minute)
	for _, c := range []struct {
		what  string
		list  []topics.Silence
		later time.Duration
		words string
	}{
		{"an older agent", nil, 0, "Nothing heard of restic for 12 min"},
		{"of other jobs", []topics.Silence{{Job: "job-0002", Seconds: 60}}, 0, "Nothing heard of restic for 12 min"},
		{"it works without a word", []topics.Silence{{Job: j.ID, Limit: 1800}}, 0, "Silent for under 1 s, is ended after 30 min"},
		{"it does nothing", []topics.Silence{{Job: j.ID, Seconds: 660, Limit: 1800}}, 0, "Silent for 11 min, is ended after 30 min"},
		{"it does nothing, and is never ended", []topics.Silence{{Job: j.ID, Seconds: 660}}, 0, "Silent for 11 min, is not ended by itself"},
		{"the agent is gone", []topics.Silence{{Job: j.ID, Seconds: 660}}, 2 * time.Minute, "Nothing heard of restic for 14 min"},
	} {
		h.silences(j.Host, c.list)
		now = now.Add(c.later)
		if got := h.Silence(j).Words(); got != c.words {
			t.Errorf("%s: %q, want %q", c.what, got, c.words)
		}
	}
}

// TestAFullDiskIsWhatAJobWaitsFor: it is not sent, and one that was sent says so, too.
func TestAFullDiskIsWhatAJobWaitsFor(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	group := must(w.store.PutSourceGroup(ctx, "test", store.SourceGroup{ID: "group-0002", Host: w.host.ID, Name: "photos",
		Repository: "vault-0001", Paths: store.List{"/photos"}}))
	w.connect()
	sent, _, err := w.engine.AskBackup(ctx, "test", w.host.ID, "letters")
	if err != nil {
		t.Fatal(err)
	}
	w.await("it to be sent", func() bool { return w.job(sent.ID).State == topics.Dispatched })
	beat := func(d *topics.Disk) {
		w.publish(topics.KindHeartbeat, "", topics.Encode(topics.Heartbeat{Stamp: w.stamp(), Clock: time.Now().UnixMilli(), Disk: d}), true)
	}
	beat(&topics.Disk{Total: 100, Since: time.Now().UnixMilli(), Error: "no space left"})
	w.await("it to be known", func() bool { return w.engine.Presence.Full(w.host.ID) })
	waits := func() map[topics.JobID]protocol.Turn {
		return must(w.engine.Waits(ctx, must(w.store.OpenJobs(ctx, ""))))
	}
	queued, _, err := w.engine.AskBackup(ctx, "test", w.host.ID, group.Name)
	if err != nil {
		t.Fatal(err)
	}
	want := protocol.Turn{Wait: protocol.WaitDisk}
	if all := waits(); all[sent.ID] != want || all[queued.ID] != want {
		t.Errorf("they wait for %v", all)
	}
	if err := w.engine.Cancel(ctx, "test", sent.ID); err != nil {
		t.Fatal(err)
	}
	beat(&topics.Disk{Free: 1 << 40, Total: 1 << 41})
	w.await("it to be known", func() bool { return !w.engine.Presence.Full(w.host.ID) })
	if all := waits(); all[sent.ID].Wait == protocol.WaitDisk || all[queued.ID].Wait == protocol.WaitDisk {
		t.Errorf("with room again they wait for %v", all)
	}
	for _, wait := range []protocol.Wait{protocol.WaitHost, protocol.WaitDisk, protocol.WaitJob, protocol.WaitBusy, protocol.WaitRepository,
		protocol.WaitLimit, protocol.WaitPlan, protocol.WaitPlane, protocol.WaitTwins, protocol.WaitUnconfirmed, protocol.WaitMaking,
		protocol.WaitUnheard} {
		if waitWords[wait] == "" {
			t.Errorf("%s has no words", wait)
		}
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

// TestACopyWaitsForTheRepositoryThatIsMadeForIt: and says so.
func TestACopyWaitsForTheRepositoryThatIsMadeForIt(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	second := store.Repository{ID: "mirror-0001", Name: "mirror", Location: "rest:https://mirror/", Keeper: w.host.ID}
	if err := w.store.AddRepository(ctx, "test", second, store.RepositoryAccess{URL: "rest:https://mirror/", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	w.can = []topics.Ability{topics.CopiesSnapshots}
	w.connect()
	copying, _, err := w.engine.Ask(ctx, "test", w.host.ID, topics.CopyJob, w.group.Repository, topics.Operation{To: string(second.ID)})
	if err != nil {
		t.Fatal(err)
	}
	var init topics.JobID
	w.await("somebody to make it", func() bool {
		for _, j := range must(w.store.OpenJobs(ctx, "")) {
			if j.Kind == topics.InitJob && j.Repository == second.ID && j.State == topics.Dispatched {
				init = j.ID
			}
		}
		return init != ""
	})
	all := must(w.engine.Waits(ctx, must(w.store.OpenJobs(ctx, ""))))
	if got := all[copying.ID]; got != (protocol.Turn{Wait: protocol.WaitMaking, For: init}) {
		t.Errorf("it waits for %v of %v", got, all)
	}
}
