package protocol_test

import (
	"fmt"
	"testing"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A front is what the plane knows in memory of who has a host's identity.
type front struct {
	witness *Witness
	held    *machine       // waits for its welcome
	known   topics.Session // the newest that was heard of
	divided bool           // several machines have it
	lanes   map[int64]*lane
	decided bool
}

// A lane is the session of one of several machines, by its epoch.
type lane struct{ birth, death topics.Session }

func newFront(t Timing) *front { return &front{witness: NewWitness(t), lanes: map[int64]*lane{}} }

func (f *front) lane(epoch int64) *lane {
	if f.lanes[epoch] == nil {
		f.lanes[epoch] = &lane{}
	}
	return f.lanes[epoch]
}

// session is where a receipt for this epoch is sent.
func (f *front) session(epoch int64) topics.Session {
	if f.divided {
		return f.lane(epoch).birth
	}
	return f.known
}

// renamed is another process of the agent, or another epoch.
func (h *machine) renamed() { h.process = fmt.Sprintf("%s %p %d", h.host, h, h.rnd.Int64()) }

// parted is a connection that is over, if there was one: the last will says so, mostly.
func (h *machine) parted() {
	f := h.fronts[h.host]
	if h.session.N == 0 || f == nil || h.chance(0.2) {
		return
	}
	f.witness.Died(h.session)
	if l := f.lane(h.session.Epoch); h.session.After(l.death) {
		l.death = h.session
	}
}

// split copies the machine while it runs: disk, identity and all.
func (h *machine) split() {
	t := &machine{world: h.world, host: h.host, agent: h.agent.Clone(), session: topics.Session{Epoch: h.session.Epoch},
		running: map[topics.JobID]int{}, stopping: map[topics.JobID]bool{}, printed: map[topics.JobID]int{}, runs: map[topics.JobID]topics.Run{},
		mine: map[topics.JobID]int{}, atOnce: h.atOnce, key: h.key}
	h.twin, h.hosts, h.slots.twice = t, append(h.hosts, t), true
	n := h.session.N
	t.wake()
	if t.session.N = n + 1; t.asleep == 0 { // what the disk said when it was copied
		t.up = nil
		t.send(&t.up, birth{t.process, t.session})
	}
}

// alone reports whether it was decided which of the two stays.
func (h *machine) alone() bool { return h.fronts[h.host].decided }

// meet answers an authenticated birth.
func (h *machine) meet(s Sighting) {
	f := h.fronts[h.host]
	if h.key != h.plane.Keys[h.host] { // its certificate is none any more
		return
	}
	if h.refused {
		h.send(&h.down, welcome{Sighting: s, refused: true})
		return
	}
	before := f.known
	if s.Session.After(f.known) {
		f.known = s.Session
	}
	switch {
	case !h.clones || h.mutant == oneStream:
		known := f.known
		if epoch := h.past.stranded[h.host]; epoch != 0 && epoch == s.Session.Epoch {
			known = topics.Session{Epoch: epoch, N: s.Session.N + 1}
		}
		h.send(&h.down, welcome{Sighting: s, known: known, received: h.plane.Places[h.host], plane: h.plane.Epoch})
	case f.divided:
		f.known = before
		h.born(s)
	default:
		switch f.witness.Born(s, h.now) {
		case Admit:
			f.held = nil
			h.send(&h.down, welcome{Sighting: s, known: f.known, received: h.plane.Places[h.host]})
		case Hold:
			f.held = h
			f.known = before
		case Twins:
			f.known = before
			h.planeStep(TwinsFound{Host: h.host, Sighting: f.witness.Holder()})
			f.divided, f.lanes = true, map[int64]*lane{}
			f.lane(f.witness.Holder().Session.Epoch).birth = f.witness.Holder().Session
			if other := f.held; other != nil && other != h {
				other.born(Sighting{Instance: other.process, Session: other.session})
			}
			f.held = nil
			h.born(s)
		}
	}
}

// born answers the birth of one of several machines.
func (h *machine) born(s Sighting) {
	f := h.fronts[h.host]
	l := f.lane(s.Session.Epoch)
	high := f.known
	for _, o := range f.lanes {
		if o.birth.After(high) {
			high = o.birth
		}
	}
	h.planeStep(Born{Host: h.host, Sighting: s, Known: high, Last: l.birth, Gone: l.birth != (topics.Session{}) && !l.birth.After(l.death)})
}

func (w *world) greet(g Greet) {
	if g.Known == (topics.Session{}) && !g.Refused {
		w.fronts[g.Host].lane(g.Session.Epoch).birth = g.Session
	}
	w.to(g.Host, welcome{Sighting: g.Sighting, known: g.Known, received: g.Received, refused: g.Refused})
}

// cut closes the connections of a host, or of one session, and reports whether there
// was one. Who lives comes back.
func (w *world) cut(host topics.HostID, s *Sighting) (found bool) {
	for _, h := range w.hosts {
		if h.host == host && h.asleep == 0 && (s == nil || h.session == s.Session && h.process == s.Instance) {
			found = true
			h.up, h.down = nil, nil
			h.connect()
		}
	}
	return found
}

// look does what a witness says it is time for.
func (w *world) look() {
	if !w.clones || w.away || w.mutant == oneStream {
		return
	}
	for _, h := range w.hosts { // one that was replaced and is heard all the same
		f, newest := w.fronts[h.host], w.fronts[h.host].known
		if f.divided {
			newest = f.lane(h.session.Epoch).birth
		}
		if h.outbox != nil && h.session != newest && w.rnd.IntN(50) == 0 {
			h.up, h.down = nil, nil
			h.connect()
		}
	}
	for _, host := range []topics.HostID{attic, cellar} {
		f := w.fronts[host]
		if f == nil {
			continue
		}
		cut, admit := f.witness.Look(w.now)
		if cut != nil && !w.cut(host, cut) {
			f.witness.Vanished(cut.Session)
		}
		if admit != nil && f.held != nil {
			if admit.Session.After(f.known) {
				f.known = admit.Session
			}
			f.held.send(&f.held.down, welcome{Sighting: *admit, known: f.known, received: w.plane.Places[host]})
			f.held = nil
		}
	}
}

// decide has a person say which machine stays, once both have told everything.
func (w *world) decide() {
	host := w.twin.host
	f := w.fronts[host]
	if !f.divided {
		return
	}
	var stays *machine
	for _, h := range w.hosts {
		if h.host == host && h.outbox == nil {
			return // it is not heard
		}
		if h.host == host && (stays == nil || w.rnd.IntN(2) == 0) {
			stays = h
		}
	}
	w.planeStep(TwinsDecided{Host: host, Epoch: stays.session.Epoch, By: "anna", Now: w.now})
	for _, h := range w.hosts {
		if h.host == host {
			h.refused = h != stays
		}
	}
	f.divided, f.decided, f.witness, f.known = false, true, NewWitness(w.timing), stays.session
	w.cut(host, nil)
}

func TestTheSimulationCopiesMachines(t *testing.T) {
	copies, both := 0, 0
	for seed := uint64(3); seed < 3000; seed += 8 {
		w := storm(seed, sane)
		if err := w.verdict(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if w.twin == nil {
			continue
		}
		copies++
		for key := range w.slots.started {
			if key.machine == w.twin {
				both++
				break
			}
		}
	}
	t.Logf("%d machines were copied; %d copies began slots", copies, both)
	if copies < 100 || both < 50 {
		t.Error("that is too little to judge by")
	}
}
