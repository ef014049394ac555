package protocol_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

const attic = topics.HostID("attic-0001")

// A world is one agent and one control plane with a broker between them that
// loses, repeats, reorders and delays, and with power cuts on both sides at
// every point between a commit and its effects.
type world struct {
	rnd    *rand.Rand
	agent  *protocoltest.Agent
	plane  *protocoltest.Plane
	timing Timing

	now     int64
	up      []any // on its way to the plane
	down    []any // on its way to the agent
	session topics.Session
	known   topics.Session // the newest session the plane heard of
	outbox  *Outbox        // nil until welcomed

	running map[topics.JobID]int // the host's processes: lines still to print
	printed map[topics.JobID]int
	starts  map[topics.JobID]int // the ledger of what was ever started
	calm    bool                 // no more faults: let it end
	mutant  mutant

	slots   slotLedger
	copied  *protocoltest.Agent // what a snapshot of the machine holds
	copiedN uint64
}

// A mutant breaks one rule on purpose. The simulation has to notice each.
type mutant string

const (
	sane                mutant = ""
	noDedupe            mutant = "the agent does not remember jobs"
	execBeforeJournal   mutant = "the agent starts restic before its journal is on disk"
	noRedrive           mutant = "the plane sends a command once"
	noResend            mutant = "the agent sends events once"
	receiptBeforeCommit mutant = "the plane sends receipts before it has committed"
	rerunAfterRestart   mutant = "the agent runs an interrupted job again"
	forgetSlots         mutant = "the agent does not remember slots"
	overlap             mutant = "the agent runs whatever it is told at once"
)

type birth struct{ session topics.Session }
type welcome struct {
	session  topics.Session
	known    topics.Session
	received topics.Received
}
type command struct{ c topics.Command } // its stamp names the session it is meant for
type receipt struct{ r topics.Received }

func newWorld(seed uint64, m mutant) *world {
	w := &world{
		mutant: m,
		rnd:    rand.New(rand.NewPCG(seed, 7)), agent: protocoltest.NewAgent(1000), plane: protocoltest.NewPlane(), timing: DefaultTiming(),
		now: 1_000_000, running: map[topics.JobID]int{}, printed: map[topics.JobID]int{}, starts: map[topics.JobID]int{},
	}
	if m == noResend {
		w.timing.Retry = time.Duration(1<<62 - 1)
	}
	w.wake()
	return w
}

func (w *world) chance(p float64) bool { return !w.calm && w.rnd.Float64() < p }

// send puts a message on its way: perhaps not at all, perhaps twice, perhaps
// before one that was sent earlier.
func (w *world) send(queue *[]any, m any) {
	if w.chance(0.15) {
		return
	}
	*queue = append(*queue, m)
	if w.chance(0.1) {
		*queue = append(*queue, m)
	}
	if w.chance(0.2) {
		i, j := w.rnd.IntN(len(*queue)), w.rnd.IntN(len(*queue))
		(*queue)[i], (*queue)[j] = (*queue)[j], (*queue)[i]
	}
}

func (w *world) agentStep(in AgentInput) {
	if c, ok := in.(Commanded); ok && w.mutant == noDedupe {
		delete(w.agent.Jobs, c.Command.Job)
	}
	w.harmSlots(in)
	var before *protocoltest.Agent
	if w.mutant == execBeforeJournal {
		before = w.agent.Clone()
	}
	effects, err := w.agent.Step(in)
	if err != nil {
		panic(err)
	}
	for _, e := range effects {
		if e, ok := e.(Start); ok && w.mutant == execBeforeJournal && w.chance(0.05) {
			w.starts[e.Job]++
			w.agent = before
			w.wake()
			return
		}
		if w.chance(0.05) { // the power goes between the commit and the effect
			w.wake()
			return
		}
		switch e := e.(type) {
		case Start:
			w.starts[e.Job]++
			w.began(e)
			w.running[e.Job] = w.rnd.IntN(5)
			if w.chance(0.05) {
				w.wake() // after exec, before it is noted
				return
			}
			w.agentStep(Spawned{Job: e.Job, Process: Process{PID: 1}, At: w.now})
		case Stop:
			if _, ok := w.running[e.Job]; ok {
				delete(w.running, e.Job)
				w.agentStep(Ended{Job: e.Job, End: topics.Finished{State: topics.Failed}, At: w.now})
			}
		case Reap:
			delete(w.running, e.Job.ID)
			if w.mutant == rerunAfterRestart {
				w.starts[e.Job.ID]++
				w.running[e.Job.ID] = 1
				continue
			}
			w.agentStep(Reaped{Job: e.Job.ID, At: w.now})
		case Reconnect:
			w.connect()
		}
	}
}

// wake is an agent's process beginning, after a crash or for the first time.
func (w *world) wake() {
	w.outbox = nil
	w.agentStep(Woke{})
	w.connect()
}

func (w *world) connect() {
	w.outbox = nil
	w.session = topics.Session{Epoch: w.agent.LastPlace.Epoch, N: w.session.N + 1}
	w.send(&w.up, birth{w.session})
}

func (w *world) planeStep(in PlaneInput) {
	before := *w.plane
	effects, err := w.plane.Step(w.timing, in)
	if err != nil {
		panic(err)
	}
	if _, ok := in.(Arrived); ok && w.mutant == receiptBeforeCommit && w.chance(0.05) {
		for _, e := range effects {
			if e, ok := e.(SendReceipt); ok {
				w.send(&w.down, receipt{e.Received})
			}
		}
		*w.plane = before
		return
	}
	stir := false
	for _, e := range effects {
		if w.chance(0.05) { // the control plane dies between the commit and what follows
			w.up, stir = nil, false
			break
		}
		switch e := e.(type) {
		case SendRun:
			if w.mutant == noRedrive && e.Job.Attempts > 1 {
				continue
			}
			w.send(&w.down, command{topics.Command{
				Stamp:    topics.Stamp{Session: w.plane.Greetings[attic]},
				Job:      e.Job.ID,
				NotAfter: e.Job.NotAfter,
				Run:      w.run(e.Job.ID),
			}})
		case SendCancel:
			w.send(&w.down, command{topics.Command{Stamp: topics.Stamp{Session: w.plane.Greetings[attic]}, Job: e.Job.ID, Cancel: true}})
		case SendReceipt:
			w.send(&w.down, receipt{e.Received})
		case HelloCame:
			w.sendConfig()
		case Stir:
			stir = true
		}
	}
	if stir {
		w.planeStep(Tick{Now: w.now, Online: w.online})
	}
}

// online: commands go to no session but the one whose hello is committed.
func (w *world) online(topics.HostID) bool {
	return w.plane.Greetings[attic] == w.known && !w.chance(0.25)
}

func (w *world) step() {
	w.now += int64(w.rnd.IntN(3000))
	switch w.rnd.IntN(9) {
	case 0:
		w.planeStep(Tick{Now: w.now, Online: w.online})
	case 1, 2: // the plane receives
		if len(w.up) == 0 {
			return
		}
		m := w.up[0]
		w.up = w.up[1:]
		switch m := m.(type) {
		case birth:
			if m.session.After(w.known) {
				w.known = m.session
			}
			w.send(&w.down, welcome{m.session, w.known, w.plane.Places[attic]})
		case topics.Events:
			w.planeStep(Arrived{Host: attic, Events: m, Now: w.now})
		}
	case 3, 4: // the agent receives
		if len(w.down) == 0 {
			return
		}
		m := w.down[0]
		w.down = w.down[1:]
		switch m := m.(type) {
		case welcome:
			if m.session == w.session && w.outbox == nil {
				w.agentStep(Welcomed{Received: m.received, Session: m.session, Known: m.known, At: w.now})
				if m.session == w.session && w.session.Epoch == w.agent.LastPlace.Epoch {
					w.outbox = NewOutbox(w.timing, w.session.Epoch, m.received, time.UnixMilli(w.now))
				}
			}
		case command:
			if m.c.Session == w.session && w.outbox != nil {
				w.agentStep(Commanded{Command: m.c, At: w.now})
			}
		case topics.Config:
			if w.outbox != nil {
				w.agentStep(Configured{Config: m, At: w.now})
			}
		case receipt:
			if w.outbox != nil { // without a session it is refused
				w.agentStep(Receipted{m.r})
				w.outbox.Receipt(m.r, time.UnixMilli(w.now))
			}
		}
	case 5: // the agent sends
		if w.outbox == nil {
			if w.rnd.IntN(10) == 0 {
				w.connect() // no welcome came
			}
			return
		}
		if after, ok := w.outbox.After(time.UnixMilli(w.now)); ok {
			if b := w.agent.Batch(after, 1+w.rnd.IntN(4)); len(b.Events) > 0 {
				w.outbox.Sent(b.First+uint64(len(b.Events))-1, time.UnixMilli(w.now))
				w.send(&w.up, b)
			}
		}
	case 6: // restic does something
		if len(w.running) == 0 {
			return
		}
		id := slices.Min(slices.Collect(maps.Keys(w.running)))
		if w.running[id] == 0 {
			delete(w.running, id)
			w.agentStep(Ended{Job: id, End: topics.Finished{State: topics.Succeeded}, At: w.now})
			return
		}
		w.running[id]--
		w.printed[id]++
		w.agentStep(Printed{Job: id, Lines: []topics.Line{{Text: fmt.Sprintf("line %d", w.printed[id])}}, At: w.now})
		if w.printed[id]%3 == 0 {
			w.agentStep(Reported{Job: id, Report: topics.Report{Keys: []topics.Key{{ID: fmt.Sprint(w.printed[id])}}}, At: w.now})
		}
	case 7:
		switch {
		case w.chance(0.05):
			w.wake()
		case w.chance(0.05):
			w.connect()
		case w.chance(0.05):
			w.copied, w.copiedN = w.agent.Clone(), w.session.N
		case w.copied != nil && len(w.agent.Spool) == 0 && w.chance(0.05):
			// What the machine did and nobody heard of is undone with it, a start
			// included; so the ledger can only be kept when there is no such thing.
			w.agent, w.session.N = w.copied.Clone(), w.copiedN // the machine was put back to a snapshot
			w.running = map[topics.JobID]int{}
			w.slots.undone(w.plane)
			w.up = slices.DeleteFunc(w.up, func(m any) bool { _, late := m.(birth); return late }) // that takes longer than a birth is on its way
			// it was for a connection that is no more, and may bear the number of the next one
			w.down = nil
			w.wake()
		case w.chance(0.02):
			marks := w.agent.Marks
			w.agent, w.session.N = protocoltest.NewAgent(w.now), 0 // the disk was lost
			w.agent.Marks = marks
			w.copied = nil // it is from before what the lost disk did and nobody heard of
			w.running = map[topics.JobID]int{}
			w.slots.undone(w.plane)
			w.wake()
		}
	case 8:
		w.schedule()
	}
}

// verdict says which promise was broken, if any.
func (w *world) verdict() error {
	for _, id := range w.plane.Order {
		j := w.plane.Jobs[id]
		switch {
		case w.starts[id] > 1:
			return fmt.Errorf("job %s was started %d times", id, w.starts[id])
		case !j.State.Ended():
			return fmt.Errorf("job %s is still %s", id, j.State)
		case len(w.plane.Ends[id]) != 1:
			return fmt.Errorf("job %s ended %d times", id, len(w.plane.Ends[id]))
		case j.State == topics.Succeeded && w.starts[id] != 1:
			return fmt.Errorf("job %s succeeded and was never started", id)
		}
		next := 1
		for _, l := range w.plane.Log[id] {
			var from, to int
			if n, _ := fmt.Sscanf(l, "%d-%d gap", &from, &to); n == 2 {
				if from != next {
					return fmt.Errorf("job %s: %q where line %d comes next", id, l, next)
				}
				next = to + 1
				continue
			}
			if want := fmt.Sprintf("%d line %d", next, next); l != want {
				return fmt.Errorf("job %s: %q where %q comes next", id, l, want)
			}
			next++
		}
		end := w.plane.Ends[id][0]
		if next-1 != end.Lines {
			return fmt.Errorf("job %s: %d lines of %d", id, next-1, end.Lines)
		}
		if j.State != topics.Succeeded {
			continue
		}
		for n := range end.Lines / 3 {
			if r := w.plane.Parts[id][n+1]; len(r.Keys) != 1 || r.Keys[0].ID != fmt.Sprint(3*(n+1)) {
				return fmt.Errorf("job %s: part %d of its report is %v", id, n+1, r.Keys)
			}
		}
		if got := len(w.plane.Parts[id]); got != end.Lines/3 || got > 0 && end.Result.Parts != got {
			return fmt.Errorf("job %s: %d parts of a report of %d lines", id, got, end.Lines)
		}
	}
	if err := w.slots.verdict(w.plane); err != nil {
		return err
	}
	if len(w.running) > 0 {
		return fmt.Errorf("restic is left running: %v", w.running)
	}
	return nil
}

func simulate(seed uint64, m mutant) error { return storm(seed, m).verdict() }

// storm plays one world to its end.
func storm(seed uint64, m mutant) *world {
	w := newWorld(seed, m)
	for i := range 6 {
		id := topics.JobID(fmt.Sprintf("job-%06d", i))
		w.plane.Queue(PlaneJob{ID: id, Host: attic, Kind: topics.BackupJob, NotAfter: w.now + int64(w.rnd.IntN(2_000_000))})
		for range w.rnd.IntN(60) {
			w.step()
		}
		if w.rnd.IntN(4) == 0 {
			w.planeStep(CancelAsked{Job: topics.JobID(fmt.Sprintf("job-%06d", w.rnd.IntN(i+1))), By: "test", Now: w.now})
		}
	}
	w.calm = true
	for range 20_000 {
		w.step()
		if open, _ := w.plane.Open(""); len(open) == 0 && len(w.running) == 0 && w.told() {
			break
		}
	}
	return w
}

// underRace is whether the race detector watches.
var underRace bool

func TestAJobStartsAtMostOnceAndEndsExactlyOnceWhateverDies(t *testing.T) {
	seeds := uint64(20_000)
	if underRace || testing.Short() {
		seeds = 500 // there is one goroutine; the detector only makes it slow
	}
	for seed := range seeds {
		if err := simulate(seed, sane); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestTheSimulationNoticesEveryBrokenRule(t *testing.T) {
	for _, m := range []mutant{noDedupe, execBeforeJournal, noRedrive, noResend, receiptBeforeCommit,
		rerunAfterRestart, forgetSlots, overlap} {
		caught := false
		for seed := range uint64(2000) {
			if err := simulate(seed, m); err != nil {
				t.Logf("%s: seed %d: %v", m, seed, err)
				caught = true
				break
			}
		}
		if !caught {
			t.Errorf("nobody noticed that %s", m)
		}
	}
}
