package protocol_test

import (
	"fmt"
	"slices"
	"testing"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

// The schedule of the simulated world has a slot every minute, for one group.
const (
	nightly = topics.ScheduleID("nightly-0001")
	weekly  = topics.ScheduleID("weekly-00001") // every minute, of the same group: they meet
	letters = topics.SourceGroupID("letters-01")
	vault   = topics.RepositoryID("vault-00001")
	every   = int64(60_000)
)

// A slotLedger is what was started for which slot, in order, and by whom asked.
type slotLedger struct {
	started  map[int64][]topics.JobID
	asked    map[topics.JobID]topics.Slot // by the plane
	overlaps []string
}

// began notes what restic is started for.
func (w *world) began(s Start) {
	if len(w.running) > 0 {
		w.slots.overlaps = append(w.slots.overlaps, fmt.Sprintf("job %s was started while %v ran", s.Job, w.running))
	}
	if s.Run.Slot != nil && s.Run.Slot.Schedule == nightly {
		if w.slots.started == nil {
			w.slots.started = map[int64][]topics.JobID{}
		}
		w.slots.started[s.Run.Slot.At] = append(w.slots.started[s.Run.Slot.At], s.Job)
	}
}

// undone forgets what the control plane never heard of: it is undone together
// with the disk that knew.
func (l *slotLedger) undone(p *protocoltest.Plane) {
	for at, jobs := range l.started {
		l.started[at] = slices.DeleteFunc(slices.Clone(jobs), func(id topics.JobID) bool { _, known := p.Jobs[id]; return !known })
	}
}

// run is what the plane sends for a job.
func (w *world) run(id topics.JobID) *topics.Run {
	run := &topics.Run{Kind: topics.BackupJob, Group: topics.SourceGroup{ID: letters}}
	if s, ok := w.slots.asked[id]; ok {
		run.Slot = &s
	}
	return run
}

// sendConfig sends what the plane knows, as of now.
func (w *world) sendConfig() {
	after := int64(1)
	for _, s := range w.slots.asked {
		after = max(after, s.At)
	}
	late := int64(1)
	for key := range servedBy(w.plane) {
		if key.Schedule == weekly {
			late = max(late, key.At)
		}
		if key.Schedule == nightly {
			after = max(after, key.At)
		}
	}
	w.send(&w.down, topics.Config{
		Revision: 1,
		Schedules: []topics.Schedule{{ID: nightly, Groups: []topics.ScheduledGroup{{Group: letters, After: after}}},
			{ID: weekly, Groups: []topics.ScheduledGroup{{Group: letters, After: late}}}},
		Groups:       []topics.PlannedGroup{{SourceGroup: topics.SourceGroup{ID: letters}, Repository: vault}},
		Repositories: []topics.Repository{{ID: vault}},
	})
}

// schedule lets the agent look at its clock, or the plane ask for a slot: one
// that failed, or one that it believes nobody has run.
func (w *world) schedule() {
	slot := topics.Slot{Schedule: nightly, At: w.now - w.now%every}
	switch {
	case w.chance(0.3):
		id := topics.JobID(fmt.Sprintf("slot-%d-%d", slot.At/every, w.rnd.IntN(1_000_000)))
		in := Fired{Job: id, Slot: slot, Group: letters, At: w.now}
		also := topics.Slot{Schedule: weekly, At: slot.At}
		switch {
		case w.chance(0.4):
			in.Also = []topics.Slot{also}
		case w.chance(0.3):
			in.Slot = also
		}
		w.agentStep(in)
	case w.chance(0.05):
		w.sendConfig()
	case w.chance(0.15): // one job is enough, and a slot that is served is left alone
		var newest topics.JobID
		for _, id := range slices.Backward(w.plane.Order) {
			if j := w.plane.Jobs[id]; j.Schedule != "" && j.Slot >= slot.At-5*every {
				newest = id
				break
			}
		}
		if newest != "" {
			j := w.plane.Jobs[newest]
			if !j.State.Ended() || j.State == topics.Succeeded || j.State == topics.Cancelled {
				return
			}
			slot.At, slot.Attempt = j.Slot, 1+w.rnd.IntN(3)
		}
		id := topics.JobID(fmt.Sprintf("asked-%d-%d", slot.At/every, w.rnd.IntN(1_000_000)))
		if w.slots.asked == nil {
			w.slots.asked = map[topics.JobID]topics.Slot{}
		}
		w.slots.asked[id] = slot
		w.plane.Queue(PlaneJob{ID: id, Host: attic, Kind: topics.BackupJob, NotAfter: w.now + int64(w.rnd.IntN(2_000_000)),
			Schedule: nightly, Group: letters, Slot: slot.At})
	}
}

// harmSlots breaks the rules of slots on purpose.
func (w *world) harmSlots(in AgentInput) {
	if w.mutant == forgetSlots {
		clear(w.agent.Began)
	}
	if c, ok := in.(Commanded); ok && w.mutant == overlap && c.Command.Run != nil {
		if _, known := w.agent.Jobs[c.Command.Job]; !known {
			w.running[c.Command.Job] = 0
			w.began(Start{Job: c.Command.Job, Run: *c.Command.Run})
		}
	}
}

// told reports whether the plane has heard of everything the agent did.
func (w *world) told() bool {
	return !slices.ContainsFunc(w.agent.Spool, func(e topics.Event) bool { return e.Fired != nil || e.Finished != nil })
}

// servedBy is which jobs serve each slot, as the plane knows it, in the order in which
// it heard of them.
func servedBy(p *protocoltest.Plane) map[topics.Slot][]topics.JobID {
	all := map[topics.Slot][]topics.JobID{}
	for _, id := range p.Order {
		list := slices.Clone(p.Further[id])
		if f, fired := p.FiredSlots[id]; fired {
			list = append(list, f.Slot)
		}
		for _, s := range list {
			s.Attempt = 0
			if !slices.Contains(all[s], id) {
				all[s] = append(all[s], id)
			}
		}
	}
	return all
}

// verdict: a slot is started again only after its job has ended badly, and one that
// another job serves by the way is not started at all.
func (l *slotLedger) verdict(p *protocoltest.Plane) error {
	for _, what := range l.overlaps {
		return fmt.Errorf("%s", what)
	}
	for s, jobs := range servedBy(p) {
		if s.Schedule != weekly {
			continue
		}
		well := 0
		for _, id := range jobs {
			if ends := p.Ends[id]; len(ends) == 0 || ends[0].State != topics.Failed && ends[0].State != topics.Interrupted {
				well++
			}
		}
		if well > 1 {
			return fmt.Errorf("slot %d of the other schedule is served more than once, by jobs %v", s.At/every, jobs)
		}
	}
	for at, jobs := range l.started {
		for i, id := range jobs {
			ends := p.Ends[id]
			if len(ends) == 0 {
				return fmt.Errorf("slot %d was run by job %s, of which nobody knows", at/every, id)
			}
			if s := ends[0].State; i < len(jobs)-1 && s != topics.Failed && s != topics.Interrupted {
				return fmt.Errorf("slot %d was run again, by job %s, after job %s had %s", at/every, jobs[i+1], id, s)
			}
		}
	}
	return nil
}

func TestTheSimulationFiresSlotsOnBothSides(t *testing.T) {
	fired, asked, served, again, together := 0, 0, 0, 0, 0
	for seed := range uint64(1000) {
		w := storm(seed, sane)
		for id, s := range w.slots.asked {
			asked++
			if ends := w.plane.Ends[id]; len(ends) > 0 && ends[0].Cause == topics.CauseServed {
				served++
			}
			if len(w.slots.started[s.At]) > 1 {
				again++
			}
		}
		fired += len(w.plane.FiredSlots)
		for _, list := range w.plane.Further {
			together += len(list)
		}
	}
	t.Logf("%d fired by the agent, %d asked for by the plane: %d of those refused as served, %d tried again; %d served by the way",
		fired, asked, served, again, together)
	if together < 300 || fired < 1000 || asked < 300 || served < 100 || again < 3 {
		t.Error("that is too little to judge by")
	}
}
