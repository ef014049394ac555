package protocol_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

const hourMs = int64(60 * 60 * 1000)

// A thief has the keys of an agent and says what it likes.
type thief struct {
	t      *testing.T
	plane  *protocoltest.Plane
	timing Timing
	seq    uint64
	now    int64
}

func newThief(t *testing.T) *thief {
	return &thief{t: t, plane: protocoltest.NewPlane(), timing: DefaultTiming(), now: 1_000_000 * hourMs}
}

// says sends events, and returns how many were received and what followed.
func (h *thief) says(events ...topics.Event) (taken int, effects []PlaneEffect) {
	h.t.Helper()
	effects, err := h.plane.Step(h.timing, Arrived{Host: attic, Now: h.now,
		Events: topics.Events{Epoch: 1, First: h.seq + 1, Events: events}})
	if err != nil {
		h.t.Fatal(err)
	}
	was := h.seq
	h.seq = h.plane.Places[attic].Seq
	return int(h.seq - was), effects
}

func slot(n int, job string) topics.Event {
	return topics.Event{Fired: &topics.Fired{Job: topics.JobID(job), Slot: topics.Slot{Schedule: nightly, At: int64(n) * every},
		Group: letters, Repository: vault}}
}

// TestJobsThatAHostSaysItBeganAreFewAtATime: no agent runs more, so what is still open
// has ended, and nobody heard how.
func TestJobsThatAHostSaysItBeganAreFewAtATime(t *testing.T) {
	h := newThief(t)
	for i := range 200 {
		e := slot(i+1, fmt.Sprintf("job-%08d", i))
		e.Fired.Group = topics.SourceGroupID(fmt.Sprintf("group-%04d", i%40))
		if n, _ := h.says(e); n != 1 {
			t.Fatalf("event %d was not received", i)
		}
		if open, _ := h.plane.Open(attic); len(open) > topics.MaxJobsAtOnce {
			t.Fatalf("%d jobs are open after %d slots", len(open), i+1)
		}
	}
	// One group at a time, as an agent does.
	h = newThief(t)
	h.says(slot(1, "first"), topics.Event{Started: &topics.Started{Job: "first"}}, slot(2, "second"))
	if open, _ := h.plane.Open(attic); len(open) != 1 || open[0].ID != "second" {
		t.Errorf("open are %+v", open)
	}
	if j := h.plane.Jobs["first"]; j.State != topics.Interrupted {
		t.Errorf("the first one is %s", j.State)
	}
	// What it made all the same counts.
	h.says(topics.Event{Finished: &topics.Finished{Job: "first", State: topics.Succeeded, Snapshot: &topics.Snapshot{ID: "abcd"}}})
	if h.plane.Late["first"] != "abcd" {
		t.Error("the snapshot of the first one is lost")
	}
}

// TestARestoredControlPlaneAsksBeforeItCallsAJobInterrupted: the end of a job that was open
// when the copy was made may have been told to the one that was lost. The next slot of its
// group does not say how it ended, and its host does.
func TestARestoredControlPlaneAsksBeforeItCallsAJobInterrupted(t *testing.T) {
	h := newThief(t)
	h.says(slot(1, "first"))
	h.plane.Restored(2, attic)
	h.says(slot(2, "second"))
	if j := h.plane.Jobs["first"]; j.State.Ended() || !j.Recalled || !j.CancelAsked {
		t.Errorf("the first one is %+v", j)
	}
	h.says(slot(3, "third"), topics.Event{Finished: &topics.Finished{Job: "first", State: topics.Succeeded}})
	if j := h.plane.Jobs["first"]; j.State != topics.Succeeded {
		t.Errorf("the first one is %s, as its host says it succeeded", j.State)
	}
	// That is no way to have ever more open.
	for i := range 200 {
		h.says(slot(i+4, fmt.Sprintf("job-%08d", i)))
		if open, _ := h.plane.Open(attic); len(open) > 2*topics.MaxJobsAtOnce {
			t.Fatalf("%d jobs are open after %d slots", len(open), i+1)
		}
	}
}

// TestASlotThatDoesNotFitIsReceivedAndAddsNothing has a row for each reason, and beside
// it the neighbour that does fit.
func TestASlotThatDoesNotFitIsReceivedAndAddsNothing(t *testing.T) {
	unfit := map[int64]Fit{7 * every: {Why: AsideSlot}, 8 * every: {Far: true}, 9 * every: {Far: true}}
	fits := func(_ topics.HostID, s topics.Slot, _ int64) Fit {
		if s.Schedule != nightly && s.Schedule != weekly {
			return Fit{Why: AsideSchedule}
		}
		return unfit[s.At]
	}
	other := func(e topics.Event, id topics.ScheduleID) topics.Event {
		e.Fired.Slot.Schedule = id
		return e
	}
	for _, c := range []struct {
		name   string
		before []topics.Event
		event  topics.Event
		why    Aside // "" if it adds a job
	}{
		{"as planned", nil, slot(1, "one"), ""},
		{"of no schedule", nil, other(slot(1, "one"), "never-there"), AsideSchedule},
		{"of another schedule", nil, other(slot(1, "one"), weekly), ""},
		{"of no plan", nil, slot(7, "one"), AsideSlot},
		{"far away, once", nil, slot(8, "one"), ""},
		{"far away, again", []topics.Event{slot(8, "a"), slot(9, "b")}, slot(8, "one"), AsideFar},
		{"of the same slot, again", []topics.Event{slot(1, "a"), slot(1, "b")}, slot(1, "one"), ""},
		{"of the same slot, too often", []topics.Event{slot(1, "a"), slot(1, "b"), slot(1, "c")}, slot(1, "one"), AsideSame},
		{"of the next slot", []topics.Event{slot(1, "a"), slot(1, "b"), slot(1, "c")}, slot(2, "one"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newThief(t)
			h.plane.Unfit, h.timing.Bounds = fits, Bounds{Far: 2, Same: 3}
			h.says(c.before...)
			if n, _ := h.says(c.event); n != 1 {
				t.Fatal("it was not received")
			}
			if _, there := h.plane.Jobs["one"]; there != (c.why == "") {
				t.Errorf("it added a job: %t", there)
			}
			if n := h.plane.SetAsides[attic][c.why]; c.why != "" && n != 1 || c.why == "" && len(h.plane.SetAsides[attic]) > 0 {
				t.Errorf("set aside were %v", h.plane.SetAsides[attic])
			}
		})
	}
	// Of several slots of one job, those that fit count.
	h := newThief(t)
	h.plane.Unfit = fits
	e := slot(7, "one")
	e.Fired.Also = []topics.Slot{{Schedule: weekly, At: every}, {Schedule: "never-there", At: every}}
	h.says(e)
	if f := h.plane.FiredSlots["one"]; f.Slot != (topics.Slot{Schedule: weekly, At: every}) || len(f.Also) > 0 {
		t.Errorf("what is recorded is %+v", f)
	}
	// A job that is known serves no slot that does not fit, either.
	h.says(slot(7, "one"))
	if len(h.plane.Further["one"]) > 0 {
		t.Errorf("it serves %v", h.plane.Further["one"])
	}
}

// TestAJobTakesNoMoreThanItsBytes: log and report are cut, and its result says so.
func TestAJobTakesNoMoreThanItsBytes(t *testing.T) {
	h := newThief(t)
	h.timing.Bounds.Job = 2000
	begin := func(id topics.JobID, k topics.JobKind) {
		h.plane.Queue(PlaneJob{ID: id, Host: attic, Kind: k, Repository: vault, NotAfter: h.now + hourMs})
		j := h.plane.Jobs[id]
		j.State, j.Accepted = topics.Dispatched, true
		h.plane.Jobs[id] = j
	}
	part := func(id topics.JobID, n int) topics.Event {
		return topics.Event{Report: &topics.Report{Job: id, Part: n, Keys: []topics.Key{{ID: strings.Repeat("k", 600)}}}}
	}
	begin("lists", topics.KeyJob)
	begin("backs-up", topics.BackupJob)
	for n := range 50 {
		if taken, _ := h.says(part("lists", n+1), part("backs-up", n+1)); taken != 2 {
			t.Fatalf("of part %d %d were received", n+1, taken)
		}
	}
	if n := len(h.plane.Parts["lists"]); n == 0 || n > 3 {
		t.Errorf("%d parts are kept", n)
	}
	if n := len(h.plane.Parts["backs-up"]); n > 0 {
		t.Errorf("%d parts of a report are kept of a backup", n)
	}
	h.says(topics.Event{Finished: &topics.Finished{Job: "lists", State: topics.Succeeded, Result: &topics.Result{Parts: 50, Count: 50}}})
	if r := h.plane.Ends["lists"][0].Result; r == nil || !r.Truncated || r.Count != 50 {
		t.Errorf("its result is %+v", r)
	}
	for n := range 100 {
		h.says(topics.Event{Log: &topics.Log{Job: "backs-up", First: n + 1, Lines: []topics.Line{{Text: strings.Repeat("x", 90)}}}})
	}
	if b := h.plane.Jobs["backs-up"].Bytes; b > 2100 {
		t.Errorf("its log has %d bytes", b)
	}
	log := h.plane.Log["backs-up"]
	gap := func(l string) bool { return strings.HasSuffix(l, " gap") }
	if !strings.HasSuffix(log[len(log)-1], "-100 gap") || slices.ContainsFunc(log[:len(log)-1], gap) {
		t.Errorf("its log is %.300q", log)
	}
	if a := h.plane.SetAsides[attic]; a[AsideReport] != 50 || a[AsideCut] < 40 {
		t.Errorf("set aside were %v", a)
	}
	// Its neighbour is not cut.
	begin("finds", topics.FindJob)
	h.says(part("finds", 1), topics.Event{Finished: &topics.Finished{Job: "finds", State: topics.Succeeded, Result: &topics.Result{Parts: 1}}})
	if r := h.plane.Ends["finds"][0].Result; r.Truncated {
		t.Error("a small report is said to be truncated")
	}
}

// TestBeyondItsHourAHostIsHeardInTheNext loses nothing: what was not received comes again.
func TestBeyondItsHourAHostIsHeardInTheNext(t *testing.T) {
	h := newThief(t)
	h.timing.Bounds.Hour = 5000
	h.now = h.now/hourMs*hourMs + hourMs/2
	total, hours := 0, 0
	for total < 100 {
		var events []topics.Event
		for i := total; i < 100; i++ {
			events = append(events, slot(i+1, fmt.Sprintf("job-%08d", i)))
		}
		n, effects := h.says(events...)
		held := slices.ContainsFunc(effects, func(e PlaneEffect) bool {
			w, is := e.(Held)
			return is && w.Host == attic && w.Until == (h.now/hourMs+1)*hourMs
		})
		if total += n; total < 100 && !held {
			t.Fatal("nobody is told that the host waits")
		}
		if n, _ := h.says(events[n:]...); n > 0 {
			t.Fatal("more is received in the same hour")
		}
		if h.now += hourMs; n == 0 {
			t.Fatal("nothing is received in an hour")
		}
		hours++
	}
	if hours < 10 || len(h.plane.FiredSlots) != 100 {
		t.Errorf("%d jobs in %d hours", len(h.plane.FiredSlots), hours)
	}
}

// TestAnAgentThatWasAwayForMonthsLosesNothing has six groups, every hour, for three
// months; it comes back with all of it.
func TestAnAgentThatWasAwayForMonthsLosesNothing(t *testing.T) {
	h := newThief(t)
	began := h.now - 90*24*hourMs
	n := 0
	var events []topics.Event
	for at := began; at < h.now; at += hourMs {
		for g := range 6 {
			id := topics.JobID(fmt.Sprintf("job-%08d", n))
			e := slot(0, string(id))
			e.Fired.Slot.At, e.Fired.Group, e.At = at, topics.SourceGroupID(fmt.Sprintf("group-%04d", g)), at
			log := topics.Log{Job: id, First: 1}
			for range 50 {
				log.Lines = append(log.Lines, topics.Line{Text: strings.Repeat("x", 80)})
			}
			events = append(events, e, topics.Event{Started: &topics.Started{Job: id}}, topics.Event{Log: &log},
				topics.Event{At: at + 1000, Finished: &topics.Finished{Job: id, State: topics.Succeeded, Lines: 50}})
			n++
		}
		if (at-began)/hourMs%48 != 47 {
			continue
		}
		if taken, _ := h.says(events...); taken != len(events) {
			t.Fatalf("%d of %d events of two days were received, after %d jobs", taken, len(events), n)
		}
		events = nil
		h.plane.Order, h.plane.FiredSlots = nil, map[topics.JobID]topics.Fired{} // they have ended; the model looks through all
	}
	if a := h.plane.SetAsides[attic]; len(a) > 0 {
		t.Errorf("set aside were %v", a)
	}
	for id, ends := range h.plane.Ends {
		if len(ends) != 1 || ends[0].State != topics.Succeeded {
			t.Fatalf("job %s ended as %+v", id, ends)
		}
	}
	t.Logf("%d jobs, %d MiB", n, h.plane.Hours[attic].Bytes>>20)
}

// TestAnEventThatPanicsIsNamed, and can be left out.
func TestAnEventThatPanicsIsNamed(t *testing.T) {
	h := newThief(t)
	h.plane.Through = func(p *protocoltest.Plane) PlaneTx { return panics{p} }
	in := Arrived{Host: attic, Now: h.now, Events: topics.Events{Epoch: 1, First: 1, Events: []topics.Event{
		slot(1, "before"), slot(2, "panics"), slot(3, "after")}}}
	_, err := h.plane.Step(h.timing, in)
	bad, is := err.(*EventError)
	if !is || !bad.Panic || bad.Seq != 2 || bad.Host != attic {
		t.Fatalf("the error is %v", err)
	}
	if len(h.plane.Jobs) > 0 {
		t.Error("half of it was kept")
	}
	in.Skip = bad.Seq
	if _, err := h.plane.Step(h.timing, in); err != nil {
		t.Fatal(err)
	}
	if _, panicked := h.plane.Jobs["panics"]; panicked || len(h.plane.Jobs) != 2 || h.plane.Places[attic].Seq != 3 ||
		h.plane.SetAsides[attic][AsideBroken] != 1 {
		t.Errorf("afterwards there are %v, received %+v, set aside %v", h.plane.Jobs, h.plane.Places[attic], h.plane.SetAsides)
	}
}

type panics struct{ PlaneTx }

func (p panics) Fired(h topics.HostID, f topics.Fired, at int64) (PlaneJob, bool, error) {
	if f.Job == "panics" {
		panic("as it was told to")
	}
	return p.PlaneTx.Fired(h, f, at)
}
