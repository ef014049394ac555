package protocol_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

// A past is what there is to restore the control plane from, in worlds where it is lost.
type past struct {
	restores bool
	copied   *protocoltest.Plane
	times    int
	hear     int64                   // what a tick has as HearUntil
	stranded map[topics.HostID]int64 // epochs of which nobody has the beginning any more
}

// begins says what a machine's agent keeps of what was received: all, or little, or, as
// an older version, nothing.
func (p *past) begins(h *machine) {
	p.stranded = map[topics.HostID]int64{}
	if !p.restores {
		return
	}
	switch h.rnd.IntN(4) {
	case 0:
		h.agent.Keep = 2 + h.rnd.IntN(6)
	case 1:
		h.agent.Keep, h.old = 0, true
	}
	if h.mutant == forgetReceipted {
		h.agent.Keep = 0
	}
}

// aged is a batch as an agent of this version sends it.
func (h *machine) aged(b topics.Events) topics.Events {
	if !h.old {
		return b
	}
	b.Events = slices.Clone(b.Events)
	for i, e := range b.Events {
		if e.Accepted != nil {
			b.Events[i].Accepted = &topics.Accepted{Job: e.Accepted.Job}
		}
	}
	return b
}

// hurry has the control plane be copied while nobody makes a repository that has to be
// made, and be lost while somebody does.
func (w *world) hurry() {
	open, _ := w.plane.Open("")
	switch {
	case !w.past.restores || len(w.makers) == 0 || w.there(vault) || w.away:
	case w.makers[vault].by == "" && !slices.ContainsFunc(open, func(j PlaneJob) bool { return j.Kind == topics.InitJob }) && w.chance(0.1):
		w.past.copied = w.plane.Clone()
	case w.makers[vault].by != "" && w.past.copied != nil && w.past.times < 3 && w.chance(0.3):
		w.restore()
	}
}

// lose copies the control plane, or has it be lost and restored from the copy.
func (w *world) lose() bool {
	switch {
	case w.away:
	case w.chance(0.1):
		w.past.copied = w.plane.Clone()
		return true
	case w.past.copied != nil && w.past.times < 3 && w.chance(0.1):
		w.restore()
		return true
	}
	return false
}

// restore has the control plane be what its copy was.
func (w *world) restore() {
	w.past.times++
	if w.mutant != initUnheard {
		w.past.hear = w.now + (10 * time.Minute).Milliseconds()
	}
	gaps := w.plane.Gaps
	w.plane = w.past.copied.Clone()
	w.plane.Gaps = gaps // the ledger's, not the plane's: a host that told in part once may have done so again
	for _, h := range w.hosts {
		w.fronts[h.host] = newFront(w.timing)
		w.fronts[h.host].known = w.plane.Greetings[h.host]
		if w.mutant != sameEpoch {
			w.plane.Restored(int64(1+w.past.times), h.host)
		}
		h.up, h.down, h.outbox = nil, nil, nil
		if _, makes := h.running[w.makers[vault].by]; h.asleep == 0 && !makes { // who makes a repository comes last
			h.connect()
		}
	}
	if w.mutant == trustTheCopy {
		w.plane.Through = func(p *protocoltest.Plane) PlaneTx { return trusting{p} }
	}
}

// trusting is a plane that asks for no job's end.
type trusting struct{ *protocoltest.Plane }

func (t trusting) PutJob(j PlaneJob) error {
	if j.Recalled && !j.State.Ended() {
		j.State = topics.Interrupted
		_ = t.Finished(j, topics.Finished{Job: j.ID, State: j.State, Lines: j.Lines}, 0)
	}
	return t.Plane.PutJob(j)
}

// partial reports whether a host could not tell all of what it did.
func (p *past) partial(plane *protocoltest.Plane, host topics.HostID) bool {
	return p.restores && plane.Gaps[host] > 0
}

// forgotten says which job of those that were done the control plane does not know, or not as
// it ended.
func (w *world) forgotten() error {
	if !w.past.restores {
		return nil
	}
	for _, h := range w.hosts {
		for id, j := range h.agent.Jobs {
			p, known := w.plane.Jobs[id]
			switch {
			case !known && w.starts[id] > 0 && (w.mutant == forgetReceipted || !h.old && h.agent.Keep < 0):
				return fmt.Errorf("job %s was run and is not known any more", id)
			case known && p.Recalled && j.End != nil && j.End.Message == NeverStarted: // and nobody knows who asked for that
			case known && j.End != nil && len(w.makers) > 0 && w.past.partial(w.plane, h.host) &&
				(p.State == topics.Interrupted || p.State == topics.Abandoned):
				// It waited long for the repository, and its end is in the gap: nobody was told.
			case known && j.End != nil && j.End.State != p.State:
				return fmt.Errorf("job %s ended as %s on its host and as %s here: %q %q", id, j.End.State, p.State,
					j.End.Message, w.plane.Ends[id][0].Message)
			}
		}
	}
	return nil
}

func TestTheSimulationRestoresTheControlPlane(t *testing.T) {
	restored, gaps, recovered, recalled := 0, 0, 0, 0
	for seed := uint64(5); seed < 6000; seed += 8 {
		w := storm(seed, sane)
		if err := w.verdict(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		restored += w.past.times
		for _, n := range w.plane.Gaps {
			gaps += n
		}
		for _, j := range w.plane.Jobs {
			if j.Recalled {
				recalled++
			}
			if !j.Fired && j.QueuedAt > 0 && j.Kind != topics.InitJob {
				recovered++
			}
		}
	}
	t.Logf("restored %d times; %d hosts could not tell all; %d jobs were unknown to the copy, of %d their hosts were asked", restored, gaps,
		recovered, recalled)
	if restored < 300 || gaps < 50 || recovered < 10 || recalled < 20 {
		t.Error("that is too little to judge by")
	}
}
