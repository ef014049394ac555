package protocol_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

const (
	attic  = topics.HostID("attic-0001")
	cellar = topics.HostID("cellar-001")
)

// A world is a few agents and one control plane with a broker between them that
// loses, repeats, reorders and delays, and with power cuts on both sides at
// every point between a commit and its effects.
type world struct {
	rnd    *rand.Rand
	plane  *protocoltest.Plane
	timing Timing
	hosts  []*machine
	mutant mutant

	now    int64
	calm   bool                 // no more faults: let it end
	away   bool                 // the control plane does not run
	starts map[topics.JobID]int // the ledger of what was ever started
	hung   topics.JobID         // this one ends only if somebody cancels it
	hangs  bool                 // one is to hang

	odds     []string // promises about updates that were broken
	slots    slotLedger
	makers   map[topics.RepositoryID]making // of those that are not there from the beginning
	fronts   map[topics.HostID]*front
	updating bool // agents are updated
	clones   bool // a machine is copied while it runs
	lost     replacing
	past     past // of a control plane that is restored from a copy
	twin     *machine
}

// A machine is an agent's host.
type machine struct {
	*world
	host  topics.HostID
	agent *protocoltest.Agent

	up      []any // on its way to the plane
	down    []any // on its way to the agent
	session topics.Session
	outbox  *Outbox // nil until welcomed
	process string  // the agent's
	refused bool    // another machine has its identity
	key     string  // what it says is sealed with

	running  map[topics.JobID]int  // the host's processes: lines still to print
	stopping map[topics.JobID]bool // those of them that were told to end
	printed  map[topics.JobID]int
	runs     map[topics.JobID]topics.Run // what was started
	mine     map[topics.JobID]int        // how often, and nobody undid it
	atOnce   int                         // how many jobs it may run at once
	asleep   int64                       // it begins again then, after it found its disk full
	full     bool                        // its disk
	unkept   []AgentInput                // what happened and could not be written yet

	version string // what the machine has become
	said    string // and what it told last of that

	old     bool                // the agent is of an older version, which keeps nothing that is received
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
	twoInOneRepository  mutant = "the agent runs two jobs in one repository"
	tooMany             mutant = "the agent runs more jobs than it may"
	cancelledIsOver     mutant = "a job that is being cancelled does not count"
	oneStopsAll         mutant = "a job that hangs stops those in other repositories"
	loseWhenFull        mutant = "what happens while the agent's disk is full is forgotten"
	answerWhenFull      mutant = "the agent answers before its journal is on disk when that is full"
	forgetWhileAway     mutant = "the agent forgets what it has to tell while the control plane is away"
	initOnTwo           mutant = "an init job is given to two hosts"
	initOnSilence       mutant = "an init job is taken from a host that has not answered"
	initUnheard         mutant = "a restored control plane has a repository made before all hosts have told what they do"
	swallowClone        mutant = "what a copied agent tells is taken for what the original has told"
	forgetReceipted     mutant = "the agent forgets at once what the control plane has received"
	sameEpoch           mutant = "a restored control plane goes on as if it had not been away"
	trustTheCopy        mutant = "a restored control plane ends jobs of which it was not told again"
	helloAlone          mutant = "the agent tells what it has become when it connects alone"
	oneStream           mutant = "two machines with one identity are not told apart"
	hearReplaced        mutant = "a machine that was replaced is heard"
	beginBesideUpdate   mutant = "the agent begins jobs beside an update"
	updateBeside        mutant = "an update goes on while a job runs"
	updateDies          mutant = "an update ends with the agent's process"
	backUpTheEmpty      mutant = "backups that waited for a machine run on the one that replaces it"
)

type birth Sighting
type welcome struct {
	Sighting
	plane    int64
	known    topics.Session
	received topics.Received
	refused  bool
}
type command struct{ c topics.Command } // its stamp names the session it is meant for
type receipt struct {
	r       topics.Received
	session topics.Session
}
type config struct {
	c       topics.Config
	session topics.Session
}

func newWorld(seed uint64, m mutant) *world {
	w := &world{
		mutant: m, rnd: rand.New(rand.NewPCG(seed, 7)), plane: protocoltest.NewPlane(), timing: DefaultTiming(),
		now: 1_000_000, starts: map[topics.JobID]int{}, hangs: seed%4 == 0, clones: seed%8 == 3,
		fronts: map[topics.HostID]*front{},
	}
	w.past.restores = seed%8 == 5
	w.lost.replaces = seed%8 == 6
	w.updating = seed%8 == 1 || seed%8 == 2
	if m == noResend {
		w.timing.Retry = time.Duration(1<<62 - 1)
	}
	w.plane.Limits = map[topics.HostID]int{}
	w.begins(seed)
	for i, host := range []topics.HostID{attic, cellar} {
		if i > 0 && seed%3 != 0 && len(w.makers) == 0 {
			break
		}
		h := &machine{world: w, host: host, agent: protocoltest.NewAgent(1000), running: map[topics.JobID]int{},
			stopping: map[topics.JobID]bool{}, printed: map[topics.JobID]int{}, runs: map[topics.JobID]topics.Run{},
			mine: map[topics.JobID]int{}, atOnce: 1 + w.rnd.IntN(3), key: "first"}
		w.plane.Keys[host] = h.key
		w.plane.Limits[host] = h.atOnce
		w.hosts = append(w.hosts, h)
		w.fronts[host] = newFront(w.timing)
		w.past.begins(h)
		h.wake()
	}
	return w
}

// to sends a message to a host: whoever has its identity gets it.
func (w *world) to(host topics.HostID, m any) {
	for _, h := range w.hosts {
		if h.host == host && h.key == w.plane.Keys[host] { // others cannot read it
			w.send(&h.down, m)
		}
	}
}

// current is the session that the plane goes by.
func (w *world) current(host topics.HostID) topics.Session { return w.plane.Greetings[host] }

func (w *world) chance(p float64) bool { return !w.calm && w.rnd.Float64() < p }

// send puts a message on its way: perhaps not at all, perhaps twice, perhaps
// before one that was sent earlier.
func (w *world) send(queue *[]any, m any) {
	if w.away || w.chance(0.15) {
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

// keep has the agent take something that happened. What cannot be written waits, and
// restic with it.
func (h *machine) keep(in AgentInput) {
	if len(h.unkept) > 0 || !h.agentStep(in) {
		if h.mutant != loseWhenFull {
			h.unkept = append(h.unkept, in)
		}
	}
}

// agentStep has the agent take an input. It is false if the disk is full.
func (h *machine) agentStep(in AgentInput) bool {
	if h.full {
		if c, ok := in.(Commanded); ok && h.mutant == answerWhenFull && c.Command.Run != nil {
			h.answer(in)
		}
		return false
	}
	if c, ok := in.(Commanded); ok && h.mutant == noDedupe {
		delete(h.agent.Jobs, c.Command.Job)
	}
	mend := h.harm(in)
	var before *protocoltest.Agent
	if h.mutant == execBeforeJournal {
		before = h.agent.Clone()
	}
	effects, err := h.agent.Step(in)
	if err != nil {
		panic(err)
	}
	mend()
	for _, e := range effects {
		if e, ok := e.(Start); ok && h.mutant == execBeforeJournal && h.chance(0.05) {
			h.count(e.Job)
			h.agent = before
			h.wake()
			return true
		}
		if h.chance(0.05) { // the power goes between the commit and the effect
			h.wake()
			return true
		}
		switch e := e.(type) {
		case Start:
			h.count(e.Job)
			h.began(e)
			h.besides(e)
			h.running[e.Job], h.runs[e.Job] = h.rnd.IntN(5), e.Run
			if h.hangs && h.hung == "" && e.Run.Kind != topics.UpdateJob && h.there(e.Run.Repository.ID) &&
				h.starts[e.Job] == 1 && h.rnd.IntN(4) == 0 {
				h.hung = e.Job
			}
			if h.chance(0.05) {
				h.wake() // after exec, before it is noted
				return true
			}
			h.keep(Spawned{Job: e.Job, Process: Process{PID: 1}, At: h.now})
		case Stop:
			if _, ok := h.running[e.Job]; ok {
				h.stopping[e.Job] = true
			}
		case Resume: // where it was: a job that ran has been ended
			if h.mutant == updateDies {
				h.keep(Reaped{Job: e.Job.ID, At: h.now})
				continue
			}
			if h.mine[e.Job.ID] == 0 { // the power went before it began
				h.count(e.Job.ID)
			}
			h.running[e.Job.ID], h.runs[e.Job.ID] = h.rnd.IntN(3), *e.Job.Run
		case Reap:
			if e.Job.Run != nil && e.Job.Run.Kind == topics.UpdateJob {
				h.odd("an update is to be reaped")
			}
			h.gone(e.Job.ID)
			if h.mutant == rerunAfterRestart {
				h.count(e.Job.ID)
				h.running[e.Job.ID] = 1
				continue
			}
			h.keep(Reaped{Job: e.Job.ID, At: h.now})
		case Reconnect:
			h.connect()
		}
	}
	return true
}

// answer takes a command in memory alone, and tells the control plane so.
func (h *machine) answer(in AgentInput) {
	memory := h.agent.Clone()
	effects, _ := memory.Step(in)
	for _, e := range effects {
		if e, ok := e.(Start); ok {
			h.count(e.Job)
			h.running[e.Job], h.runs[e.Job] = h.rnd.IntN(5), e.Run
			h.send(&h.up, memory.Batch(memory.LastPlace.Seq-1, 1))
		}
	}
}

func (h *machine) count(id topics.JobID) {
	h.starts[id]++
	h.mine[id]++
}

func (h *machine) gone(id topics.JobID) {
	h.leaves(id)
	delete(h.running, id)
	delete(h.stopping, id)
}

// wake is an agent's process beginning, after a crash or for the first time. On a full
// disk it does not.
func (h *machine) wake() {
	h.outbox, h.unkept, h.asleep = nil, nil, 0
	h.renamed()
	if !h.agentStep(Woke{}) {
		h.asleep = h.now + int64(h.rnd.IntN(20_000)) // who starts it tries again
		return
	}
	h.connect()
}

func (h *machine) connect() {
	h.outbox = nil
	h.parted()
	if epoch := h.agent.LastPlace.Epoch; epoch != h.session.Epoch {
		h.renamed()
	}
	h.session = topics.Session{Epoch: h.agent.LastPlace.Epoch, N: h.session.N + 1}
	if h.clones { // a birth of a connection that is over comes before it is, or never
		h.up = slices.DeleteFunc(h.up, func(m any) bool { _, late := m.(birth); return late })
	}
	h.send(&h.up, birth{h.process, h.session})
}

func (w *world) planeStep(in PlaneInput) {
	if w.away {
		return
	}
	before := *w.plane
	w.harmPlane(in)
	effects, err := w.plane.Step(w.timing, in)
	if err != nil {
		panic(err)
	}
	if in, ok := in.(Arrived); ok && w.mutant == receiptBeforeCommit && w.chance(0.05) {
		for _, e := range effects {
			if e, ok := e.(SendReceipt); ok {
				w.to(in.Host, receipt{e.Received, w.fronts[in.Host].known})
			}
		}
		*w.plane = before
		return
	}
	stir := false
	for _, e := range effects {
		if w.chance(0.05) { // the control plane dies between the commit and what follows
			for _, h := range w.hosts {
				h.up = nil
			}
			stir = false
			break
		}
		switch e := e.(type) {
		case SendRun:
			if w.mutant == noRedrive && e.Job.Attempts > 1 {
				continue
			}
			w.to(e.Job.Host, command{topics.Command{
				Stamp:    topics.Stamp{Session: w.current(e.Job.Host)},
				Job:      e.Job.ID,
				NotAfter: e.Job.NotAfter,
				Run:      w.run(e.Job.ID),
			}})
		case SendCancel:
			w.to(e.Job.Host, command{topics.Command{Stamp: topics.Stamp{Session: w.current(e.Job.Host)}, Job: e.Job.ID, Cancel: true}})
		case SendReceipt:
			w.to(e.Host, receipt{e.Received, w.fronts[e.Host].session(e.Received.Epoch)})
		case Odd:
			if e.Foreign {
				w.lost.refused++
			}
		case HelloCame:
			w.sendConfig(e.Host)
		case Greet:
			w.greet(e)
		case Forked:
			w.cut(e.Host, nil)
		case Stranded:
			w.past.stranded[e.Host] = e.Epoch
			w.cut(e.Host, nil)
		case Stir:
			stir = true
		}
	}
	if stir {
		w.planeStep(w.tick())
	}
}

func (w *world) tick() Tick {
	t := Tick{Now: w.now, Online: w.online, Twins: map[topics.HostID]bool{}, HearUntil: w.past.hear}
	for host, f := range w.fronts {
		t.Twins[host] = f.divided
	}
	return t
}

// online: commands go to no session but the one whose hello is committed.
func (w *world) online(host topics.HostID) bool {
	f := w.fronts[host]
	return !f.divided && (len(w.makers) == 0 || !w.plane.Lag[host]) && w.plane.Greetings[host] == f.known && !w.chance(0.25)
}

// leave has the control plane stop for a while, and come back.
func (w *world) leave(away bool) {
	if w.away == away {
		return
	}
	w.away = away
	for _, h := range w.hosts {
		h.up, h.down, h.outbox = nil, nil, nil
		if !away && h.asleep == 0 {
			h.connect()
		}
	}
}

func (w *world) step() {
	w.now += int64(w.rnd.IntN(3000))
	w.look()
	w.hurry()
	h := w.hosts[w.rnd.IntN(len(w.hosts))]
	if h.asleep > 0 && (w.now >= h.asleep || w.calm) {
		h.full = !w.calm && w.rnd.IntN(3) > 0
		h.wake()
	}
	if h.asleep == 0 {
		h.step()
	}
}

func (h *machine) step() {
	switch h.rnd.IntN(9) {
	case 0:
		h.planeStep(h.tick())
	case 1, 2:
		h.arrive()
	case 3, 4:
		h.receive()
	case 5: // the agent sends
		h.becomes()
		if h.outbox == nil {
			if h.rnd.IntN(10) == 0 {
				h.connect() // no welcome came
			}
			return
		}
		if after, ok := h.outbox.After(time.UnixMilli(h.now)); ok {
			if b := h.aged(h.agent.Batch(after, 1+h.rnd.IntN(4))); len(b.Events) > 0 {
				h.outbox.Sent(b.First+uint64(len(b.Events))-1, time.UnixMilli(h.now))
				h.send(&h.up, b)
			}
		}
	case 6:
		h.work()
	case 7:
		h.fault()
	case 8:
		h.schedule()
	}
}

// becomes makes another of the machine from time to time, which a connected agent tells.
func (h *machine) becomes() {
	if !h.calm {
		h.version = fmt.Sprint(h.now / 100_000)
	}
	if h.outbox != nil && h.version != h.said &&
		(h.mutant == helloAlone || h.agentStep(Told{Facts: topics.Facts{Restic: h.version}, At: h.now})) {
		h.said = h.version
	}
}

// arrive has the plane receive.
func (h *machine) arrive() {
	if len(h.up) == 0 {
		return
	}
	m := h.up[0]
	h.up = h.up[1:]
	switch m := m.(type) {
	case birth:
		if !h.away {
			h.meet(Sighting(m))
		}
	case topics.Events:
		if h.mutant == swallowClone {
			m.Events = slices.Clone(m.Events)
			for i := range m.Events {
				m.Events[i].Mark = ""
			}
		}
		in := Arrived{Host: h.host, Key: []byte(h.key), Events: m, Now: h.now}
		if h.mutant == hearReplaced {
			in.Key = nil
		}
		h.planeStep(in)
	}
}

// receive has the agent receive.
func (h *machine) receive() {
	if len(h.down) == 0 {
		return
	}
	m := h.down[0]
	h.down = h.down[1:]
	switch m := m.(type) {
	case welcome:
		if m.Session != h.session || m.Instance != h.process || h.outbox != nil || m.refused {
			return
		}
		in := Welcomed{Received: m.received, Session: m.Session, Known: m.known, At: h.now, Instance: h.process, Plane: m.plane,
			Facts: topics.Facts{Restic: h.version}}
		if h.old {
			in.Plane = 0
		}
		if !h.agentStep(in) {
			h.connect()
			return
		}
		h.said = in.Facts.Restic
		if m.Session == h.session && h.session.Epoch == h.agent.LastPlace.Epoch && h.asleep == 0 {
			h.outbox = NewOutbox(h.timing, h.session.Epoch, m.received, time.UnixMilli(h.now))
		}
	case command:
		if m.c.Session == h.session && h.outbox != nil {
			h.agentStep(Commanded{Command: m.c, At: h.now})
		}
	case config:
		if m.session == h.session && h.outbox != nil {
			h.agentStep(Configured{Config: m.c, At: h.now})
		}
	case receipt:
		if m.session == h.session && h.outbox != nil && h.agentStep(Receipted{m.r}) && h.outbox != nil { // without a session it is refused
			h.outbox.Receipt(m.r, time.UnixMilli(h.now))
		}
	}
}

// work is what restic does, or what it did and could not be written yet.
func (h *machine) work() {
	if len(h.unkept) > 0 {
		if in := h.unkept[0]; h.agentStep(in) && len(h.unkept) > 0 { // else its process has ended, and it is gone
			h.unkept = h.unkept[1:]
		}
		return
	}
	if len(h.running) == 0 {
		return
	}
	ids := slices.Sorted(maps.Keys(h.running))
	id := ids[h.rnd.IntN(len(ids))]
	switch {
	case h.makes(id):
	case h.updates(id):
	case h.stopping[id]:
		h.gone(id)
		h.keep(Ended{Job: id, End: topics.Finished{State: topics.Failed}, At: h.now})
	case id == h.hung:
	case h.running[id] == 0:
		h.gone(id)
		h.keep(Ended{Job: id, End: topics.Finished{State: topics.Succeeded}, At: h.now})
	default:
		h.running[id]--
		h.printed[id]++
		h.keep(Printed{Job: id, Lines: []topics.Line{{Text: fmt.Sprintf("line %d", h.printed[id])}}, At: h.now})
		if h.printed[id]%3 == 0 && h.runs[id].Kind.Reports() {
			h.keep(Reported{Job: id, Report: topics.Report{Keys: []topics.Key{{ID: fmt.Sprint(h.printed[id])}}}, At: h.now})
		}
	}
}

// fault is what happens to machines.
func (h *machine) fault() {
	switch {
	case h.calm:
		h.full = false
		h.leave(false)
	case h.chance(0.05):
		h.wake()
	case h.chance(0.05):
		h.connect()
	case h.clones && h.twin == nil && h.chance(0.05):
		h.split()
	case h.lost.replaces && h.chance(0.05) && h.replace():
	case h.past.restores && h.lose():
	case h.chance(0.05) && !h.clones && !h.past.restores:
		h.copied, h.copiedN = h.agent.Clone(), h.session.N
	case h.copied != nil && h.agent.Pending() == 0 && len(h.unkept) == 0 && h.chance(0.05):
		// What the machine did and nobody heard of is undone with it, a start
		// included; so the ledger can only be kept when there is no such thing.
		h.agent, h.session.N = h.copied.Clone(), h.copiedN // the machine was put back to a snapshot
		h.reset()
		h.up = slices.DeleteFunc(h.up, func(m any) bool { _, late := m.(birth); return late }) // that takes longer than a birth is on its way
		// it was for a connection that is no more, and may bear the number of the next one
		h.down = nil
		h.wake()
	case h.chance(0.02) && !h.clones && !h.past.restores: // what it had begun since the copy nobody could know
		marks := h.agent.Marks
		h.agent, h.session.N = protocoltest.NewAgent(h.now), 0 // the disk was lost
		h.agent.Marks = marks
		h.copied, h.full = nil, false // it is from before what the lost disk did and nobody heard of
		h.reset()
		h.wake()
	case h.chance(0.03), h.full && h.chance(0.2):
		h.full = !h.full
	case h.chance(0.01), h.away && h.chance(0.3):
		h.leave(!h.away)
	}
}

// reset is a machine whose processes and whose disk are others.
func (h *machine) reset() {
	for id := range h.running {
		h.gone(id)
	}
	h.mine = map[topics.JobID]int{}
	h.slots.undone(h.plane, h)
}

// harm breaks a rule before a step; the answer puts back what it changed for that.
func (h *machine) harm(in AgentInput) (mend func()) {
	h.harmSlots(in)
	mend = func() {}
	if h.mutant == forgetWhileAway && h.away {
		_ = h.agent.SetReceived(h.agent.LastPlace.Seq)
		h.agent.Forget()
	}
	var id topics.JobID
	switch in := in.(type) {
	case Commanded:
		id = in.Command.Job
	case Fired:
		id = in.Job
	default:
		return mend
	}
	was := map[topics.JobID]AgentJob{}
	hide := func(which func(AgentJob) bool) {
		jobs, _ := h.agent.Unended()
		for _, j := range jobs {
			if j.ID == id || !which(j) {
				continue
			}
			was[j.ID] = j
			run := *j.Run
			run.Kind = topics.FindJob
			run.Repository.ID, run.Group.ID = "hidden", "hidden"
			j.Run = &run
			h.agent.Jobs[j.ID] = j
		}
	}
	atOnce := 0
	switch h.mutant {
	case beginBesideUpdate:
		hide(func(j AgentJob) bool { return j.Run.Kind == topics.UpdateJob })
	case twoInOneRepository:
		hide(func(AgentJob) bool { return true })
	case cancelledIsOver:
		hide(func(j AgentJob) bool { return j.Cancel })
	case tooMany, oneStopsAll:
		if h.agent.Conf == nil {
			return mend
		}
		conf := *h.agent.Conf
		h.agent.Conf = &conf
		if atOnce = conf.JobsAtOnce; h.mutant == tooMany {
			conf.JobsAtOnce = topics.MaxJobsAtOnce
		} else if _, hangs := h.running[h.hung]; hangs {
			conf.JobsAtOnce = 1
		}
	default:
		return mend
	}
	return func() {
		for id, j := range was {
			h.agent.Jobs[id] = j
		}
		if atOnce > 0 {
			conf := *h.agent.Conf
			conf.JobsAtOnce = atOnce
			h.agent.Conf = &conf
		}
	}
}

// verdict says which promise was broken, if any.
func (w *world) verdict() error {
	for _, what := range append(w.slots.overlaps, w.odds...) {
		return fmt.Errorf("%s", what)
	}
	for _, id := range w.plane.Order {
		if err := w.story(id); err != nil {
			return err
		}
	}
	if err := w.slots.verdict(w.plane); err != nil {
		return err
	}
	for _, h := range w.hosts {
		for id, n := range h.mine {
			if n > 1 {
				return fmt.Errorf("job %s was started %d times", id, n)
			}
		}
		if len(h.running) > 0 && !h.refused {
			return fmt.Errorf("restic is left running on %s: %v", h.host, h.running)
		}
		if was := w.plane.Facts[h.host].Restic; h.outbox != nil && !h.refused && was != h.said {
			return fmt.Errorf("%s is known as %q, and has told that it is %q", h.host, was, h.said)
		}
	}
	if err := w.lost.verdict(w); err != nil {
		return err
	}
	if err := w.forgotten(); err != nil {
		return err
	}
	if w.twin != nil && !w.twin.alone() {
		return fmt.Errorf("two machines with one identity were not told apart")
	}
	return nil
}

// story says which promise was broken about a job, if any.
func (w *world) story(id topics.JobID) error {
	j := w.plane.Jobs[id]
	switch {
	case w.starts[id] > 1 && w.twin == nil: // of two machines one may not have been heard when the other was given the job
		return fmt.Errorf("job %s was started %d times", id, w.starts[id])
	case j.Kind == topics.UpdateJob && strings.Contains(end(w.plane, id).Message, "what was left of restic"): // it was reaped
		return fmt.Errorf("update %s ended with its agent", id)
	case !j.State.Ended():
		return fmt.Errorf("job %s is still %s", id, j.State)
	case len(w.plane.Ends[id]) != 1:
		return fmt.Errorf("job %s ended %d times", id, len(w.plane.Ends[id]))
	case j.State == topics.Succeeded && w.starts[id] == 0:
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
	if j.State != topics.Succeeded || w.starts[id] > 1 || w.past.partial(w.plane, j.Host) {
		return nil
	}
	if !j.Kind.Reports() {
		if n := len(w.plane.Parts[id]); n > 0 {
			return fmt.Errorf("job %s, a %s, has %d parts of a report", id, j.Kind, n)
		}
		return nil
	}
	for n := range end.Lines / 3 {
		if r := w.plane.Parts[id][n+1]; len(r.Keys) != 1 || r.Keys[0].ID != fmt.Sprint(3*(n+1)) {
			return fmt.Errorf("job %s: part %d of its report is %v", id, n+1, r.Keys)
		}
	}
	if got := len(w.plane.Parts[id]); got != end.Lines/3 || got > 0 && end.Result.Parts != got {
		return fmt.Errorf("job %s: %d parts of a report of %d lines", id, got, end.Lines)
	}
	return nil
}

func simulate(seed uint64, m mutant) error { return storm(seed, m).verdict() }

// storm plays one world to its end.
func storm(seed uint64, m mutant) *world {
	w := newWorld(seed, m)
	for i := range 6 {
		id := topics.JobID(fmt.Sprintf("job-%06d", i))
		w.ask(id)
		for range w.rnd.IntN(60) {
			w.step()
		}
		if w.rnd.IntN(4) == 0 {
			w.planeStep(CancelAsked{Job: topics.JobID(fmt.Sprintf("job-%06d", w.rnd.IntN(i+1))), By: "test", Now: w.now})
		}
	}
	w.calm = true
	for n := range 20_000 {
		w.step()
		if w.done(n) {
			break
		}
	}
	return w
}

// ask has a person ask for a job: a backup of some group, or a check.
func (w *world) ask(id topics.JobID) {
	h, place := w.hosts[w.rnd.IntN(len(w.hosts))], places[w.rnd.IntN(len(places))]
	j := PlaneJob{ID: id, Host: h.host, Kind: topics.BackupJob, Group: place.group, Repository: place.repository,
		NotAfter: w.now + int64(w.rnd.IntN(2_000_000))}
	if w.rnd.IntN(5) == 0 {
		j.Kind, j.Group = topics.CheckJob, ""
		if w.now%2 == 0 {
			j.Kind = topics.FindJob // it has a report
		}
	}
	if w.updating && w.rnd.IntN(4) == 0 {
		j.Kind, j.Group, j.Repository = topics.UpdateJob, "", ""
	}
	if w.hangs {
		j.NotAfter = 1 << 50 // nobody is to say that it came too late
	}
	w.plane.Queue(j)
}

// done reports whether nothing is to come any more. A job that hangs is cancelled once
// all others on other repositories have ended: those are not stopped by it.
func (w *world) done(step int) bool {
	if w.away || slices.ContainsFunc(w.hosts, func(h *machine) bool {
		return !h.refused && (h.asleep > 0 || h.full || w.plane.Lag[h.host] || !h.told() || len(h.unkept) > 0 ||
			h.outbox != nil && h.said != h.version)
	}) {
		return false
	}
	open, _ := w.plane.Open("")
	hung, hangs := w.plane.Jobs[w.hung], false
	for _, h := range w.hosts {
		if _, runs := h.running[w.hung]; runs {
			hangs = !h.refused
		} else if len(h.running) > 0 && !h.refused {
			return false
		}
	}
	if w.twin != nil && !w.twin.alone() {
		w.decide()
		return false
	}
	if !hangs {
		return len(open) == 0
	}
	if waits := slices.ContainsFunc(open, func(j PlaneJob) bool {
		return j.ID != w.hung && j.Repository != hung.Repository && w.plane.Limits[hung.Host] > 1
	}); (!waits || updating(w.plane, hung.Host)) && !hung.CancelAsked {
		w.planeStep(CancelAsked{Job: w.hung, By: "test", Now: w.now})
	}
	return false
}

// underRace is whether the race detector watches.
var underRace bool

func TestAJobStartsAtMostOnceAndEndsExactlyOnceWhateverDies(t *testing.T) {
	seeds := uint64(14_000)
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
		rerunAfterRestart, forgetSlots, overlap, twoInOneRepository, tooMany, cancelledIsOver, oneStopsAll, loseWhenFull, answerWhenFull,
		forgetWhileAway, forgetReceipted, sameEpoch, trustTheCopy, swallowClone, oneStream, initOnTwo, initOnSilence, initUnheard,
		helloAlone, hearReplaced, backUpTheEmpty, beginBesideUpdate, updateBeside, updateDies} {
		caught := false
		seed, step := uint64(0), uint64(1)
		if m == initUnheard {
			seed, step = 21, 40 // worlds that are restored, with a repository to make
		}
		for ; seed < 4000*step; seed += step {
			if err := simulate(seed, m); err != nil && (!strings.HasPrefix(string(m), "init") || strings.Contains(err.Error(), "in the middle")) {
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
