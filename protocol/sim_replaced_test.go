package protocol_test

import (
	"fmt"
	"testing"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

// replacing is that a host's machine is taken for lost, and another one enrolled in its
// place. The old one may live: it goes on with what it has, and tells it under its old keys.
type replacing struct {
	replaces bool
	old, new *machine
	known    map[topics.JobID]PlaneJob // what the control plane knew at that moment
	refused  int                       // messages of the old one that came after it
}

// replace enrols another machine, with keys of its own and an empty disk.
func (h *machine) replace() bool {
	r := &h.lost
	if r.old != nil || h.away || h.asleep > 0 {
		return false
	}
	r.old, r.known = h, map[topics.JobID]PlaneJob{}
	for id, j := range h.plane.Jobs {
		r.known[id] = j
	}
	h.slots.undone(h.plane, h) // what it did and has not told, it never will
	r.new = &machine{world: h.world, host: h.host, agent: protocoltest.NewAgent(h.now), running: map[topics.JobID]int{},
		stopping: map[topics.JobID]bool{}, printed: map[topics.JobID]int{}, runs: map[topics.JobID]topics.Run{},
		mine: map[topics.JobID]int{}, atOnce: h.atOnce, key: "second"}
	h.refused = true
	h.plane.Keys[h.host] = r.new.key
	if h.mutant != backUpTheEmpty {
		h.planeStep(HostReplaced{Host: h.host, Now: h.now})
	}
	h.down = nil // its connection is cut; what it has sent may have been taken by then
	h.hosts = append(h.hosts, r.new)
	r.new.wake()
	return true
}

// verdict: nothing that the old machine said since counts, and what waited for its files is
// not done with those of the new one.
func (r *replacing) verdict(w *world) error {
	if r.old == nil {
		return nil
	}
	for id := range r.old.agent.Jobs {
		_, before := r.known[id]
		if _, heard := w.plane.FiredSlots[id]; heard && !before {
			return fmt.Errorf("job %s was begun by a machine that was replaced, and is known", id)
		}
	}
	for id, j := range r.known {
		switch now := w.plane.Jobs[id]; {
		case j.Host != r.old.host || j.State.Ended():
		case j.State == topics.Queued && j.Kind != topics.BackupJob: // it is for whichever machine there is
		case now.State == topics.Succeeded:
			return fmt.Errorf("job %s was %s when its machine was replaced, and succeeded", id, j.State)
		case r.new.mine[id] > 0:
			return fmt.Errorf("job %s, for the machine of before, was started on the one that replaced it", id)
		}
	}
	return nil
}

func TestTheSimulationReplacesMachines(t *testing.T) {
	replaced, inHand, worked, late := 0, 0, 0, 0
	for seed := uint64(6); seed < 4000; seed += 8 {
		w := storm(seed, sane)
		if err := w.verdict(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if w.lost.old == nil {
			continue
		}
		replaced++
		late += w.lost.refused
		for id, j := range w.lost.known {
			if j.Host == w.lost.old.host && !j.State.Ended() && w.plane.Jobs[id].State.Ended() {
				inHand++
			}
		}
		worked += len(w.lost.new.mine)
	}
	t.Logf("%d machines were replaced; of %d jobs nobody heard the end; the new ones started %d; %d messages were refused", replaced, inHand,
		worked, late)
	if replaced < 100 || inHand < 100 || worked < 100 || late < 100 {
		t.Error("that is too little to judge by")
	}
}
