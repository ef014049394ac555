package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// raw sends events as somebody would who has the host's keys, in messages of so many.
func (w *world) raw(first uint64, each int, events []topics.Event) (last uint64) {
	for len(events) > 0 {
		n := min(each, len(events))
		w.publish(topics.KindEvent, "", topics.Encode(topics.Events{Epoch: 1000, First: first, Events: events[:n]}), true)
		events, first = events[n:], first+uint64(n)
	}
	return first - 1
}

// taken waits until a host's stream was received up to an event.
func (w *world) taken(last uint64) {
	w.t.Helper()
	w.await(fmt.Sprintf("event %d to be received", last), func() bool {
		return must(w.store.Host(context.Background(), w.host.ID)).ReceivedSeq >= last
	})
}

func (w *world) asides() map[string]uint64 {
	out := map[string]uint64{}
	for _, a := range must(w.store.Asides(context.Background(), w.host.ID)) {
		out[a.Reason] = a.N
	}
	return out
}

// TestAFloodOfSlotsAddsNoJobs has what once held up everybody for a minute: 3,000 slots,
// of a schedule that is not there, between two that are.
func TestAFloodOfSlotsAddsNoJobs(t *testing.T) {
	w := newWorld(t)
	sc := w.schedule(func(sc *store.Schedule) { sc.Cron = "* * * * *" })
	w.connect()
	w.taken(w.agent.LastPlace.Seq)
	minute := time.Now().Truncate(time.Minute).UnixMilli()
	begins := func(id string, schedule topics.ScheduleID, at int64) topics.Event {
		return topics.Event{At: time.Now().UnixMilli(), Fired: &topics.Fired{Job: topics.JobID(id),
			Slot: topics.Slot{Schedule: schedule, At: at}, Group: w.group.ID, Repository: "vault-0001"}}
	}
	events := []topics.Event{begins("before-0001", sc.ID, minute)}
	for i := range 3000 {
		events = append(events, begins(fmt.Sprintf("job-%08d", i), "never-there", minute-int64(i)*60_000))
	}
	events = append(events, begins("after-00001", sc.ID, minute-60_000))
	began := time.Now()
	w.taken(w.raw(w.agent.LastPlace.Seq+1, 100, events))
	took := time.Since(began)
	t.Logf("received after %v", took)
	if took > 20*time.Second { // a minute before
		t.Errorf("it took %v", took)
	}
	open := must(w.store.OpenJobs(t.Context(), w.host.ID))
	if len(open) != 1 || open[0].ID != "after-00001" || w.job("before-0001").State != topics.Interrupted {
		t.Errorf("open are %+v", open)
	}
	if got := w.asides(); got["schedule"] != 3000 || len(got) != 1 {
		t.Errorf("set aside were %v", got)
	}
}

// TestAnEventThatCannotBeHandledIsSetAside: the process lives, what came before and after
// it counts, and so does what other hosts said in the same batch.
func TestAnEventThatCannotBeHandledIsSetAside(t *testing.T) {
	w := newWorld(t)
	bad := map[topics.JobID]func() error{
		"panics-0001": func() error { panic("as it was told to") },
		"errors-0001": func() error { return errors.New("this fails whenever it is tried") },
	}
	sc := w.schedule(func(sc *store.Schedule) { sc.Cron = "* * * * *" })
	w.store.OnEnded(func(_ store.Slots, j store.Job) error {
		if do := bad[j.ID]; do != nil && j.State == topics.Failed {
			return do()
		}
		return nil
	})
	w.connect()
	w.taken(w.agent.LastPlace.Seq)
	minute := time.Now().Truncate(time.Minute).UnixMilli()
	var events []topics.Event
	for i, id := range []topics.JobID{"before-0001", "panics-0001", "between-001", "errors-0001", "after-00001"} {
		slot := topics.Slot{Schedule: sc.ID, At: minute - int64(i)*60_000}
		fired := &topics.Fired{Job: id, Slot: slot, Group: w.group.ID, Repository: "vault-0001"}
		events = append(events, topics.Event{At: minute, Fired: fired},
			topics.Event{At: minute, Finished: &topics.Finished{Job: id, State: topics.Failed, Cause: topics.CauseLocked}})
	}
	w.taken(w.raw(w.agent.LastPlace.Seq+1, 100, events))
	for id, want := range map[topics.JobID]topics.JobState{"before-0001": topics.Failed, "between-001": topics.Failed,
		"after-00001": topics.Failed, "panics-0001": topics.Interrupted, "errors-0001": topics.Interrupted} { // when the next one began
		if j := w.job(id); j.State != want {
			t.Errorf("job %s is %s, want %s", id, j.State, want)
		}
	}
	if got := w.asides(); got["broken"] != 2 || len(got) != 1 {
		t.Errorf("set aside were %v", got)
	}
}

// TestHostsTakeTurns: a host with much to say is behind one with little.
func TestHostsTakeTurns(t *testing.T) {
	in := newInbox(Intake{Host: 10_000, Fleet: 25_000, Batch: 4, Turn: time.Second, Slice: time.Second})
	say := func(host topics.HostID, name string) arrival {
		return arrival{topic: topics.Topic{Host: host}, name: name, payload: make([]byte, 500)}
	}
	for i := range 5 {
		in.put(say("flood", fmt.Sprintf("flood %d", i)))
	}
	in.put(say("quiet", "quiet 0"))
	in.put(say("other", "other 0"))
	names := func(list []arrival) (out []string) {
		for _, a := range list {
			out = append(out, a.name)
		}
		return out
	}
	first := in.take()
	if got := fmt.Sprint(names(first)); got != "[flood 0 quiet 0 other 0 flood 1]" {
		t.Errorf("first came %s", got)
	}
	in.put(say("quiet", "quiet 1"))
	in.back(first[3:]) // it was not its time
	if got := fmt.Sprint(names(in.take())); got != "[flood 1 quiet 1 flood 2 flood 3]" {
		t.Errorf("then came %s", got)
	}
	if got := fmt.Sprint(names(in.take())); got != "[flood 4]" || in.bytes != 0 || len(in.queues) > 0 {
		t.Errorf("last came %s, and %d bytes are left", got, in.bytes)
	}

	// One that says too much waits by itself.
	full := make(chan struct{})
	for range 9 {
		in.put(say("flood", "again"))
	}
	go func() {
		in.put(say("flood", "too much"))
		close(full)
	}()
	in.put(say("quiet", "goes on"))
	select {
	case <-full:
		t.Error("a host had more waiting than it may")
	default:
	}
	in.take()
	<-full
	for len(in.turns) > 0 {
		in.take()
	}
	// All together, too; and when it is closed nobody waits.
	waiting := make(chan struct{}, 40)
	for i := range 40 {
		go func() {
			in.put(say(topics.HostID(fmt.Sprint(i)), "one of many"))
			waiting <- struct{}{}
		}()
	}
	for range 24 {
		<-waiting
	}
	if in.mu.Lock(); in.bytes > 25_000 {
		t.Errorf("%d bytes wait", in.bytes)
	}
	in.mu.Unlock()
	in.close()
	for range 16 {
		<-waiting
	}
}

// TestAHundredJobsMayWait: whoever asks for more is told so, and the next may ask when one
// has been cancelled.
func TestAHundredJobsMayWait(t *testing.T) {
	w := newWorld(t)
	ask := func(i int) error {
		_, _, err := w.engine.Ask(t.Context(), "test", w.host.ID, topics.FindJob, "vault-0001",
			topics.Operation{Pattern: fmt.Sprintf("*.%d", i)})
		return err
	}
	for i := range protocol.MostQueued {
		if err := ask(i); err != nil {
			t.Fatalf("job %d: %v", i, err)
		}
	}
	if err := ask(1000); !errors.Is(err, ErrQueueFull) {
		t.Errorf("one more: %v", err)
	}
	if err := ask(0); err != nil {
		t.Errorf("one that waits already: %v", err)
	}
	if _, err := w.engine.AskBackups(t.Context(), "mqtt:lamp", w.host.ID, nil); !errors.Is(err, ErrQueueFull) {
		t.Errorf("by MQTT: %v", err)
	}
	open := must(w.store.OpenJobs(t.Context(), w.host.ID))
	if err := w.engine.Cancel(t.Context(), "test", open[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := ask(1000); err != nil {
		t.Errorf("when one was cancelled: %v", err)
	}
}

// TestAReportWithoutEndIsCut has what once filled the disk: part after part of a job that
// does not end, and parts of a job that has no report.
func TestAReportWithoutEndIsCut(t *testing.T) {
	const limit = 1 << 20
	w := newWorldWith(t, func(timing *Timing) { timing.Protocol.Bounds.Job = limit })
	w.connect()
	w.taken(w.agent.LastPlace.Seq)
	find, _, err := w.engine.Ask(t.Context(), "test", w.host.ID, topics.FindJob, "vault-0001", topics.Operation{Pattern: "*"})
	if err != nil {
		t.Fatal(err)
	}
	received(w, topics.KindCommand, func(c topics.Command) bool { return c.Job == find.ID })
	first := w.agent.LastPlace.Seq + 1
	last := w.raw(first, 1, []topics.Event{{Accepted: &topics.Accepted{Job: find.ID}}, {Started: &topics.Started{Job: find.ID}}})
	const parts = 60
	for n := range parts {
		r := topics.Report{Job: find.ID, Part: n + 1}
		for range 100 {
			r.Matches = append(r.Matches, topics.Match{Path: strings.Repeat("y", 400)})
		}
		last = w.raw(last+1, 1, []topics.Event{{Report: &r}})
	}
	w.taken(last)
	if j := w.job(find.ID); !j.Cut || j.LogBytes > limit || j.LogBytes < limit/2 {
		t.Errorf("%d bytes are kept, cut %t", j.LogBytes, j.Cut)
	}
	kept := len(must(w.store.Reports(t.Context(), find.ID)))
	if got := w.asides(); got["cut"] != uint64(parts-kept) || len(got) != 1 {
		t.Errorf("%d parts are kept, set aside were %v", kept, got)
	}
	w.taken(w.raw(last+1, 1, []topics.Event{{Finished: &topics.Finished{Job: find.ID, State: topics.Succeeded,
		Result: &topics.Result{Parts: parts, Count: 100 * parts}}}}))
	if r := w.job(find.ID).Result.V; r == nil || !r.Truncated || r.Count != 100*parts {
		t.Errorf("its result is %+v", r)
	}
}
