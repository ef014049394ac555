package protocol_test

import (
	"fmt"
	"slices"
	"testing"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

// A making is how far a repository is.
type making struct {
	made bool
	by   topics.JobID // the init that is in the middle of it
}

// begins has some worlds begin with a repository that is not there yet.
func (w *world) begins(seed uint64) {
	w.makers = map[topics.RepositoryID]making{}
	if seed%5 == 1 && !w.clones {
		w.makers[vault] = making{}
		w.plane.Unmade[vault] = Place{Address: "rest:vault"}
	}
	if w.mutant == initOnTwo {
		w.plane.Through = func(p *protocoltest.Plane) PlaneTx { return blind{p} }
	}
}

// there reports whether there is a repository.
func (w *world) there(id topics.RepositoryID) bool {
	m, late := w.makers[id]
	return !late || m.made
}

// makes plays a job in a repository that is not there: an init makes it, in the middle
// of which nobody else may begin one, and every other job finds none.
func (h *machine) makes(id topics.JobID) bool {
	run := h.runs[id]
	if h.there(run.Repository.ID) {
		return false
	}
	end := topics.Finished{State: topics.Failed, Cause: topics.CauseNoRepository, Message: "there is none"}
	m := h.makers[run.Repository.ID]
	switch {
	case h.stopping[id]:
		end.Cause = topics.CauseNone
	case run.Kind != topics.InitJob:
	case h.running[id] > 0: // its hooks
		h.running[id]--
		return true
	case m.by == "":
		h.makers[run.Repository.ID] = making{by: id}
		return true
	case m.by != id:
		h.slots.overlaps = append(h.slots.overlaps, fmt.Sprintf("job %s began a repository while %s was in the middle of that", id, m.by))
		return true
	case h.chance(0.3), h.past.times > 0 && h.chance(0.7): // it takes a while
		return true
	case h.chance(0.2):
		end.Cause = topics.CauseUnreachable
	default:
		h.makers[run.Repository.ID] = making{made: true}
		end = topics.Finished{State: topics.Succeeded, RepositoryReady: true}
	}
	h.gone(id)
	h.keep(Ended{Job: id, End: end, At: h.now})
	return true
}

// leaves is that an init is not at work any more, and what it had begun is not there.
func (h *machine) leaves(id topics.JobID) {
	repository := h.runs[id].Repository.ID
	if m := h.makers[repository]; m.by == id {
		h.makers[repository] = making{}
	}
}

// blind is a plane that does not see which init jobs it has sent.
type blind struct{ *protocoltest.Plane }

func (b blind) Open(h topics.HostID) ([]PlaneJob, error) {
	jobs, err := b.Plane.Open(h)
	for i, j := range jobs {
		if j.Kind == topics.InitJob {
			jobs[i].Repository = "hidden"
		}
	}
	return jobs, err
}

func (b blind) PutJob(j PlaneJob) error {
	j.Repository = b.Plane.Jobs[j.ID].Repository
	return b.Plane.PutJob(j)
}

// harmPlane breaks a rule of the plane's before a step.
func (w *world) harmPlane(in PlaneInput) {
	if _, tick := in.(Tick); !tick || w.mutant != initOnSilence {
		return
	}
	for _, id := range w.plane.Order {
		j := w.plane.Jobs[id]
		if j.Kind == topics.InitJob && j.State == topics.Dispatched && !j.Accepted && w.now > j.SentAt+w.timing.Silent.Milliseconds() {
			j.State = topics.Abandoned
			w.plane.Jobs[id] = j
			w.plane.Ends[id] = append(slices.Clip(w.plane.Ends[id]), topics.Finished{Job: id, State: j.State})
		}
	}
}

func TestTheSimulationMakesRepositories(t *testing.T) {
	inits, made, waited, again := 0, 0, 0, 0
	for seed := uint64(1); seed < 2000; seed += 5 {
		w := storm(seed, sane)
		n := 0
		for _, id := range w.plane.Order {
			switch j := w.plane.Jobs[id]; {
			case j.Kind == topics.InitJob:
				n++
			case j.Repository == vault && j.State == topics.Succeeded:
				waited++
			}
		}
		if inits += n; n > 1 {
			again++
		}
		if w.makers[vault].made {
			made++
		}
	}
	t.Logf("%d init jobs made %d repositories, in %d worlds more than one was needed; %d jobs succeeded there", inits, made, again,
		waited)
	if made < 200 || again < 50 || waited < 200 {
		t.Error("that is too little to judge by")
	}
}
