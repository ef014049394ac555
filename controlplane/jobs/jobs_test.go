package jobs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestABackupIsAskedForSentRunAndToldToItsEnd(t *testing.T) {
	w := newWorld(t)
	w.connect()
	j := w.running()
	c := received(w, topics.KindCommand, func(c topics.Command) bool { return c.Job == j.ID })
	if c.Run.Repository.Password.Reveal() != "correct horse" || c.Run.Repository.Initialise ||
		!slices.Equal(c.Run.Group.Paths, []string{"/letters"}) {
		t.Errorf("the command does not carry what the job needs: %+v", c.Run)
	}
	w.print(j.ID, "one", "two")
	w.step(protocol.Ended{Job: j.ID, End: topics.Finished{
		State:           topics.Succeeded,
		RepositoryReady: true,
		Summary:         &topics.Summary{TotalFiles: 1, TotalBytes: 7},
		Snapshot:        &topics.Snapshot{ID: strings.Repeat("a", 64), Time: 5},
	}})
	w.await("the job to end", func() bool { return w.job(j.ID).State == topics.Succeeded })
	if got := w.job(j.ID); got.Lines != 2 || got.SnapshotID != strings.Repeat("a", 64) || got.StartedAt == 0 || got.FinishedAt == 0 ||
		got.ResticVersion != "0.14.0" {
		t.Errorf("the row says %+v", got)
	}
	h := must(w.store.Host(t.Context(), w.host.ID))
	if h.LastJob != j.ID || h.LastState != topics.Succeeded {
		t.Errorf("the host's row says %+v", h)
	}
	received(w, topics.KindReceipt, func(r topics.Receipt) bool {
		return r.Received.Epoch == w.agent.LastPlace.Epoch && r.Received.Seq == w.agent.LastPlace.Seq &&
			r.Received.Mark == w.agent.Spool[len(w.agent.Spool)-1].Mark
	})

	again := w.running()
	c = received(w, topics.KindCommand, func(c topics.Command) bool { return c.Job == again.ID })
	if c.Run.Repository.Initialise {
		t.Error("a repository that was there once may be begun anew")
	}
}

func TestAJobForAnAbsentHostWaits(t *testing.T) {
	w := newWorld(t)
	j, fresh, err := w.engine.AskBackup(t.Context(), "test", w.host.ID, "")
	if err != nil || !fresh {
		t.Fatalf("%t, %v", fresh, err)
	}
	again, fresh, err := w.engine.AskBackup(t.Context(), "test", w.host.ID, "letters")
	if err != nil || fresh || again.ID != j.ID {
		t.Errorf("a second request was answered with %s, %t, %v", again.ID, fresh, err)
	}
	if w.job(j.ID).State != topics.Queued || w.count(topics.KindCommand) > 0 {
		t.Error("a command went to a host that is not there")
	}
	w.connect()
	received(w, topics.KindCommand, func(c topics.Command) bool { return c.Job == j.ID })
}

func TestRequestsThatCannotBeTakenSayWhy(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		host  topics.HostID
		group string
		want  error
	}{{"no-such-host", "", ErrNoHost}, {w.host.ID, "no such group", ErrNoGroup}} {
		if _, _, err := w.engine.AskBackup(t.Context(), "test", c.host, c.group); !errors.Is(err, c.want) {
			t.Errorf("%s, %q: %v, want %v", c.host, c.group, err, c.want)
		}
	}
	if err := w.engine.Cancel(t.Context(), "test", "no-such-job"); !errors.Is(err, ErrNoJob) {
		t.Errorf("cancel of an unknown job: %v", err)
	}
}

func TestCancelEndsWhatWaitsNowAndAsksTheHostForWhatRuns(t *testing.T) {
	w := newWorld(t)
	waiting, _, err := w.engine.AskBackup(t.Context(), "test", w.host.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.engine.Cancel(t.Context(), "anna", waiting.ID); err != nil {
		t.Fatal(err)
	}
	if got := w.job(waiting.ID); got.State != topics.Cancelled || got.CancelledBy != "anna" {
		t.Errorf("the waiting job is %s, by %q", got.State, got.CancelledBy)
	}
	if err := w.engine.Cancel(t.Context(), "anna", waiting.ID); !errors.Is(err, ErrEnded) {
		t.Errorf("cancel of an ended job: %v", err)
	}
	w.connect()
	j := w.running()
	if err := w.engine.Cancel(t.Context(), "anna", j.ID); err != nil {
		t.Fatal(err)
	}
	c := received(w, topics.KindCommand, func(c topics.Command) bool { return c.Job == j.ID && c.Cancel })
	if effects := w.step(protocol.Commanded{Command: c}); len(effects) != 1 {
		t.Errorf("the agent does %v", effects)
	}
	w.step(protocol.Ended{Job: j.ID, End: topics.Finished{State: topics.Failed}})
	w.await("the job to be cancelled", func() bool { return w.job(j.ID).State == topics.Cancelled })
}

// TestAWatcherHearsOfACancelOnTheCommandLine ends a waiting job behind the back
// of an engine, between two of its ticks.
func TestAWatcherHearsOfACancelOnTheCommandLine(t *testing.T) {
	w := newWorld(t)
	for _, before := range []string{"ticked since it was asked for", "not ticked"} {
		c := w.engine.Config
		c.Hub = NewHub()
		e := New(c) // nobody runs it, so that it ticks when it is told to
		j, _, err := e.AskBackup(t.Context(), "test", w.host.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		if before != "not ticked" {
			e.tick(t.Context())
		}
		ended := make(chan error, 1)
		go func() { ended <- Follow(t.Context(), w.store, c.Hub, j.ID, 0, func(Envelope) error { return nil }) }()
		w.await("somebody to watch", func() bool { return c.Hub.Watching() == 1 })
		if err := w.store.Cancel(t.Context(), "cli", j.ID, func(tx protocol.PlaneTx) error {
			_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.CancelAsked{Job: j.ID, By: "cli", Now: 1})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		e.tick(t.Context())
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatalf("the watcher hears nothing of an engine that has %s", before)
		}
	}
}

func TestWhatIsForgedReplayedOrForeignChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.connect()
	j := w.running()
	name := topics.Topic{Kind: topics.KindBirth, Host: w.host.ID}.String()
	later := topics.Session{Epoch: w.session.Epoch, N: w.session.N + 1}
	good := topics.Heartbeat{Stamp: w.stamp()}

	w.publish(topics.KindBirth, "", topics.Encode(topics.Birth{Session: later, MAC: []byte("forged")}), false)
	w.publish(topics.KindBirth, "", topics.Encode(topics.Birth{Session: later, MAC: w.channel.Sign(name, later.Signed(topics.Lost))}), false)
	w.publish(topics.KindDeath, "", topics.Encode(topics.Death{Session: w.session, Reason: topics.Lost, MAC: []byte("forged")}), false)
	w.publish(topics.KindEvent, "",
		topics.Encode(topics.Events{Epoch: 1, First: 1,
			Events: []topics.Event{{Finished: &topics.Finished{Job: j.ID, State: topics.Failed}}}}), false)
	w.publish(topics.KindHeartbeat, "", topics.Encode(good), true)
	w.publish(topics.KindHeartbeat, "", topics.Encode(good), true)
	w.publish(topics.KindProgress, j.ID, topics.Encode(topics.Progress{Stamp: good.Stamp, Percent: 99}), true)
	w.engine.Received(topics.Topic{Kind: topics.KindEvent, Host: w.host.ID}.String(), []byte("x"), true)
	w.engine.Received("rm/v1/nonsense", nil, false)
	name = topics.Topic{Kind: topics.KindEvent, Host: w.host.ID}.String()
	batch := w.channel.Seal(name, topics.Encode(topics.Events{Epoch: w.session.Epoch, First: 1,
		Events: []topics.Event{{Accepted: &topics.Accepted{Job: j.ID}}}}))
	for range 3 {
		w.engine.Received(name, batch, false)
	}

	honest := topics.Progress{Stamp: w.stamp(), Percent: 12}
	w.publish(topics.KindProgress, j.ID, topics.Encode(honest), true)
	w.await("the honest progress", func() bool { p, ok := w.hub.Progress(j.ID); return ok && p.Percent == 12 })
	if got := w.engine.Presence.Session(w.host.ID); got != w.session || !w.engine.Presence.Reachable(w.host.ID) {
		t.Errorf("a forged session counts: %v", got)
	}
	if got := w.job(j.ID).State; got != topics.Running {
		t.Errorf("the job is %s", got)
	}
	const refused = 9 // two births, a death, events in clear and as nonsense, a heartbeat and progress of before, two replays
	w.await("all of it to be counted", func() bool { return must(w.store.Host(t.Context(), w.host.ID)).Refused >= refused })
	if n := must(w.store.Host(t.Context(), w.host.ID)).Refused; n != refused {
		t.Errorf("%d are counted as refused, want %d", n, refused)
	}
}

func TestOnlyTheNewestNoncesAreRemembered(t *testing.T) {
	var r replays
	message := func(n int) []byte { return binary.BigEndian.AppendUint64(make([]byte, 5), uint64(n)) }
	for n := range remembered + 10 {
		if r.again(message(n)) {
			t.Fatalf("message %d is new", n)
		}
	}
	for n, want := range map[int]bool{0: false, 11: true, remembered + 9: true} {
		if got := r.again(message(n)); got != want {
			t.Errorf("message %d came before: %t, want %t", n, got, want)
		}
	}
	if len(r.seen) != remembered || len(r.ring) != remembered {
		t.Errorf("%d nonces are kept in a ring of %d", len(r.seen), len(r.ring))
	}
}

// TestAnAgentPutBackFromABackupBeginsANewEpoch connects with a session number
// that was used long ago, as an older copy of the journal does.
func TestAnAgentPutBackFromABackupBeginsANewEpoch(t *testing.T) {
	w := newWorld(t)
	copied := w.agent.Clone()
	for range 5 {
		w.connect()
	}
	known := w.session
	w.agent, w.session = copied, topics.Session{Epoch: known.Epoch, N: 2}
	name := topics.Topic{Kind: topics.KindBirth, Host: w.host.ID}.String()
	w.publish(topics.KindBirth, "", topics.Encode(topics.Birth{Session: w.session, Protocol: topics.Protocol,
		MAC: w.channel.Sign(name, w.session.Signed(topics.Born))}), false)
	v := received(w, topics.KindWelcome, func(v topics.Welcome) bool { return v.Session == w.session && v.Known == known })
	effects := must(w.agent.Step(protocol.Welcomed{Received: v.Received, Session: v.Session, Known: v.Known}))
	if len(effects) != 1 || w.agent.LastPlace.Epoch <= known.Epoch {
		t.Fatalf("it does %v and stays in epoch %d", effects, w.agent.LastPlace.Epoch)
	}
	w.session = topics.Session{Epoch: w.agent.LastPlace.Epoch, N: 2}
	w.connect()
	w.running()
}

func TestAnAgentOfAnotherTimeIsToldWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.session.N++
	name := topics.Topic{Kind: topics.KindBirth, Host: w.host.ID}.String()
	w.publish(topics.KindBirth, "", topics.Encode(topics.Birth{Session: w.session, Protocol: [2]int{9, 12},
		MAC: w.channel.Sign(name, w.session.Signed(topics.Born))}), false)
	v := received(w, topics.KindWelcome, func(topics.Welcome) bool { return true })
	if !strings.Contains(v.Refused, "install the agent that came with it") {
		t.Errorf("it was told %q", v.Refused)
	}
}

// TestAWatcherMissesNothing has some that read at once, one that begins in the
// middle, and one that reads nothing until the job is over.
func TestAWatcherMissesNothing(t *testing.T) {
	const lines = 600
	w := newWorld(t)
	w.connect()
	j := w.running()
	gate := make(chan struct{})
	var wg sync.WaitGroup
	stories := make([][]string, 8)
	for i := range stories {
		wg.Go(func() {
			after := 0
			if i == 1 {
				after = 300
			}
			err := Follow(t.Context(), w.store, w.hub, j.ID, after, func(e Envelope) error {
				if i == 0 {
					<-gate
				}
				for _, l := range e.Lines {
					stories[i] = append(stories[i], fmt.Sprintf("%d %s", l.N, l.Text))
				}
				if e.Type != LogStream && e.Type != JobProgress {
					stories[i] = append(stories[i], e.Type)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	w.await("everybody to watch", func() bool { return w.hub.Watching() == len(stories) })
	for n := range lines {
		w.print(j.ID, fmt.Sprintf("line %d", n+1))
	}
	w.step(protocol.Ended{Job: j.ID, End: topics.Finished{State: topics.Succeeded}})
	w.await("the job to end", func() bool { return w.job(j.ID).State.Ended() })
	close(gate)
	wg.Wait()
	for i, story := range stories {
		after := 0
		if i == 1 {
			after = 300
		}
		want := []string{JobStarted}
		for n := after + 1; n <= lines; n++ {
			want = append(want, fmt.Sprintf("%d line %d", n, n))
		}
		if want = append(want, JobFinished); !slices.Equal(story, want) {
			t.Errorf("watcher %d was told %d things, want %d: it ends with %q", i, len(story), len(want), story[max(0, len(story)-3):])
		}
	}
	if n := w.hub.Watching(); n != 0 {
		t.Errorf("%d watchers are left behind", n)
	}
}

func TestAWatcherThatLeavesCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.connect()
	j := w.running()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		left <- Follow(ctx, w.store, w.hub, j.ID, 0, func(Envelope) error { return nil })
	}()
	w.await("it to watch", func() bool { return w.hub.Watching() == 1 })
	leave()
	if err := <-left; !Over(err) {
		t.Errorf("it left with %v", err)
	}
	if err := Follow(t.Context(), w.store, w.hub, "no-such-job", 0, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown job: %v", err)
	}
}

func TestEveryCauseHasWords(t *testing.T) {
	for _, c := range []topics.Cause{topics.CauseLocked, topics.CausePassword, topics.CauseNoRepository, topics.CauseUnreachable,
		topics.CauseCertificate, topics.CauseHostKey, topics.CauseHostKeyOther, topics.CauseKeyRefused,
		topics.CauseCredentials, topics.CauseAppendOnly, topics.CausePermission, topics.CauseDiskFull, topics.CauseHostDisk,
		topics.CauseSourceMissing,
		topics.CauseEmptySource, topics.CauseFewerFiles, topics.CauseSourceMoved, topics.CauseUnreadable,
		topics.CauseDamaged, topics.CauseNoRestic, topics.CauseUsage, topics.CausePolicy, topics.CauseRefused, topics.CauseExpired,
		topics.CauseCancelled,
		topics.CauseKilled, topics.CauseStalled, topics.CauseAgentDied, topics.CauseUnknown, "of a later version"} {
		e := Explain(topics.BackupJob, c, topics.Failed)
		if e.Cause == "" || e.Effect == "" || len(e.Remedies) == 0 {
			t.Errorf("%s: %+v", c, e)
		}
		_, own := explanations[c]
		if known := c != topics.CauseUnknown && c != "of a later version"; own != known {
			t.Errorf("%s has words of its own: %t", c, own)
		}
	}
}

// A page about a check must not speak as if it had been a backup.
func TestWordsAreOfTheirKind(t *testing.T) {
	for _, kind := range topics.AllKinds {
		if kind == topics.BackupJob {
			continue
		}
		for cause := range explanations {
			e := Explain(kind, cause, topics.Failed)
			if text := e.Cause + e.Effect + strings.Join(e.Texts(), " "); e.Effect == "" || len(e.Remedies) == 0 ||
				strings.Contains(text, "the backup again") || strings.Contains(e.Effect, "Nothing was saved") ||
				strings.Contains(e.Effect, "next run.") {
				t.Errorf("%s, %s: %+v", kind, cause, e)
			}
		}
		if e := Explain(kind, "of a later version", topics.Failed); e.Effect != kinds[kind].failed {
			t.Errorf("%s of no known cause: %+v", kind, e)
		}
	}
	if e := Explain(topics.BackupJob, topics.CauseLocked, topics.Failed); e.Effect != nothingSaved ||
		e.Remedies[2] != (Remedy{Text: "Then run the backup again.", RunAgain: true}) {
		t.Errorf("a backup's own words were changed: %+v", e)
	}
}
