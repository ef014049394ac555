package protocol_test

import (
	"fmt"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

func (w *world) odd(what string, args ...any) { w.odds = append(w.odds, fmt.Sprintf(what, args...)) }

// besides sees that nothing is begun beside an update.
func (h *machine) besides(s Start) {
	for id := range h.running {
		if h.runs[id].Kind == topics.UpdateJob && id != s.Job {
			h.odd("job %s was begun beside the update %s", s.Job, id)
		}
	}
}

// updates is what an update does: it waits until nothing else runs, and then the agent's
// process makes room for another one, which goes on with it.
func (h *machine) updates(id topics.JobID) bool {
	if h.runs[id].Kind != topics.UpdateJob {
		return false
	}
	if len(h.running) > 1 && h.mutant != updateBeside {
		return true
	}
	if len(h.running) > 1 {
		h.odd("the update %s went on beside %d jobs", id, len(h.running)-1)
	}
	switch {
	case h.stopping[id] || h.running[id] == 0:
		state := topics.Succeeded
		if h.stopping[id] {
			state = topics.Failed
		}
		h.gone(id)
		h.keep(Ended{Job: id, End: topics.Finished{State: state}, At: h.now})
	case h.calm:
		h.running[id]--
	default:
		h.gone(id)
		h.wake() // another process
	}
	return true
}

// end is how a job ended, as the plane was told first.
func end(p *protocoltest.Plane, id topics.JobID) topics.Finished {
	if ends := p.Ends[id]; len(ends) > 0 {
		return ends[0]
	}
	return topics.Finished{}
}

// updating reports whether an update of a host waits for what runs there, or goes on.
func updating(p *protocoltest.Plane, host topics.HostID) bool {
	open, _ := p.Open(host)
	for _, j := range open {
		if j.Kind == topics.UpdateJob {
			return true
		}
	}
	return false
}
