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

// The schedules of the simulated world have a slot every minute; those of the letters
// are followed closely.
const (
	nightly = topics.ScheduleID("nightly-0001")
	weekly  = topics.ScheduleID("weekly-00001") // every minute, of the same group: they meet
	albums  = topics.ScheduleID("albums-00001") // of the photos
	letters = topics.SourceGroupID("letters-01")
	photos  = topics.SourceGroupID("photos-001")
	drawers = topics.SourceGroupID("drawers-01") // goes where the letters go
	vault   = topics.RepositoryID("vault-00001")
	shelf   = topics.RepositoryID("shelf-00001")
	every   = int64(60_000)
)

// places are the groups of each host, and where they go.
var places = []struct {
	group      topics.SourceGroupID
	repository topics.RepositoryID
}{{letters, vault}, {photos, shelf}, {drawers, vault}}

// A slotLedger is what was started for which slot, in order, and by whom asked.
type slotLedger struct {
	started  map[hostSlot][]topics.JobID
	asked    map[topics.JobID]topics.Slot // by the plane
	overlaps []string
	twice    bool // two machines have had one identity
}

// A hostSlot is a slot of a machine's schedule.
type hostSlot struct {
	machine  *machine
	schedule topics.ScheduleID
	at       int64
}

// began notes what restic is started for.
func (h *machine) began(s Start) {
	if s.Run.Kind == topics.UpdateJob { // no limit counts it, and it is in no repository
		return
	}
	for id := range h.running {
		if o := h.runs[id]; o.Repository.ID == s.Run.Repository.ID || o.Group.ID != "" && o.Group.ID == s.Run.Group.ID {
			h.slots.overlaps = append(h.slots.overlaps, fmt.Sprintf("job %s was started while %s ran in its repository", s.Job, id))
		}
	}
	if most := h.agent.Conf; most != nil && len(h.running) >= h.atOnce || len(h.running) >= topics.DefaultJobsAtOnce {
		h.slots.overlaps = append(h.slots.overlaps, fmt.Sprintf("job %s was started while %v ran", s.Job, h.running))
	}
	if s.Run.Slot != nil && s.Run.Slot.Schedule != h.named(weekly) && h.key == h.plane.Keys[h.host] {
		if h.slots.started == nil {
			h.slots.started = map[hostSlot][]topics.JobID{}
		}
		key := hostSlot{h, s.Run.Slot.Schedule, s.Run.Slot.At}
		h.slots.started[key] = append(h.slots.started[key], s.Job)
	}
}

// undone forgets what the control plane never heard of a machine: it is undone together
// with the disk that knew.
func (l *slotLedger) undone(p *protocoltest.Plane, h *machine) {
	for key, jobs := range l.started {
		if key.machine == h {
			l.started[key] = slices.DeleteFunc(slices.Clone(jobs), func(id topics.JobID) bool { _, known := p.Jobs[id]; return !known })
		}
	}
}

// run is what the plane sends for a job.
func (w *world) run(id topics.JobID) *topics.Run {
	j := w.plane.Jobs[id]
	run := &topics.Run{Kind: j.Kind, Group: topics.SourceGroup{ID: j.Group}, Repository: topics.Repository{ID: j.Repository}}
	if j.Kind == topics.InitJob {
		run.Group.ID = j.Behalf
	}
	if s, ok := w.slots.asked[id]; ok {
		run.Slot = &s
	}
	return run
}

// named is what a schedule is called on this host.
func (h *machine) named(id topics.ScheduleID) topics.ScheduleID {
	if h.host == attic {
		return id
	}
	return id + "-" + topics.ScheduleID(h.host)
}

// sendConfig sends what the plane knows, as of now.
func (w *world) sendConfig(host topics.HostID) {
	if w.fronts[host].divided {
		return
	}
	h := w.hosts[slices.IndexFunc(w.hosts, func(h *machine) bool { return h.host == host })]
	after := map[topics.ScheduleID]int64{nightly: 1, weekly: 1, albums: 1}
	for id := range after {
		for job, s := range h.slots.asked {
			if _, known := h.plane.Jobs[job]; known && s.Schedule == h.named(id) {
				after[id] = max(after[id], s.At)
			}
		}
		for key := range servedBy(h.plane) {
			if key.Schedule == h.named(id) {
				after[id] = max(after[id], key.At)
			}
		}
	}
	c := topics.Config{Revision: 1, JobsAtOnce: h.atOnce, Repositories: []topics.Repository{{ID: vault}, {ID: shelf}}}
	for _, p := range places {
		c.Groups = append(c.Groups, topics.PlannedGroup{SourceGroup: topics.SourceGroup{ID: p.group}, Repository: p.repository})
	}
	for _, s := range []topics.ScheduleID{nightly, weekly, albums} {
		group := letters
		if s == albums {
			group = photos
		}
		c.Schedules = append(c.Schedules, topics.Schedule{ID: h.named(s), Groups: []topics.ScheduledGroup{{Group: group, After: after[s]}}})
	}
	w.to(host, config{c, w.current(host)})
}

// schedule lets the agent look at its clock, or the plane ask for a slot: one
// that failed, or one that it believes nobody has run.
func (h *machine) schedule() {
	slot := topics.Slot{Schedule: h.named(nightly), At: h.now - h.now%every}
	switch {
	case h.chance(0.3):
		id := topics.JobID(fmt.Sprintf("slot-%d-%d", slot.At/every, h.rnd.IntN(1_000_000)))
		in := Fired{Job: id, Slot: slot, Group: letters, At: h.now}
		also := topics.Slot{Schedule: h.named(weekly), At: slot.At}
		switch {
		case h.chance(0.3):
			in.Slot.Schedule, in.Group = h.named(albums), photos
		case h.chance(0.4):
			in.Also = []topics.Slot{also}
		case h.chance(0.3):
			in.Slot = also
		}
		h.agentStep(in)
	case h.chance(0.05):
		h.sendConfig(h.host)
	case h.chance(0.15): // one job is enough, and a slot that is served is left alone
		var newest topics.JobID
		for _, id := range slices.Backward(h.plane.Order) {
			if j := h.plane.Jobs[id]; j.Schedule == slot.Schedule && j.Slot >= slot.At-5*every {
				newest = id
				break
			}
		}
		if newest != "" {
			j := h.plane.Jobs[newest]
			if !j.State.Ended() || j.State == topics.Succeeded || j.State == topics.Cancelled {
				return
			}
			slot.At, slot.Attempt = j.Slot, 1+h.rnd.IntN(3)
		}
		id := topics.JobID(fmt.Sprintf("asked-%d-%d", slot.At/every, h.rnd.IntN(1_000_000)))
		if h.slots.asked == nil {
			h.slots.asked = map[topics.JobID]topics.Slot{}
		}
		h.slots.asked[id] = slot
		h.plane.Queue(PlaneJob{ID: id, Host: h.host, Kind: topics.BackupJob, NotAfter: h.now + int64(h.rnd.IntN(2_000_000)),
			Schedule: slot.Schedule, Group: letters, Repository: vault, Slot: slot.At})
	}
}

// harmSlots breaks the rules of slots on purpose.
func (h *machine) harmSlots(in AgentInput) {
	if h.mutant == forgetSlots {
		clear(h.agent.Began)
	}
	if c, ok := in.(Commanded); ok && h.mutant == overlap && c.Command.Run != nil {
		if _, known := h.agent.Jobs[c.Command.Job]; !known {
			h.began(Start{Job: c.Command.Job, Run: *c.Command.Run})
			h.running[c.Command.Job], h.runs[c.Command.Job] = 0, *c.Command.Run
		}
	}
}

// told reports whether the plane has heard of everything the agent did.
func (h *machine) told() bool {
	waits := h.agent.Batch(h.agent.Got, h.agent.Pending()).Events
	return !slices.ContainsFunc(waits, func(e topics.Event) bool {
		return e.Fired != nil || e.Finished != nil || e.Facts != nil || e.Hello != nil
	})
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
	for s, jobs := range servedBy(p) {
		if l.twice {
			break // by the two machines
		}
		if !strings.HasPrefix(string(s.Schedule), string(weekly)) {
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
	for key, jobs := range l.started {
		at := key.at
		for i, id := range jobs {
			ends := p.Ends[id]
			if len(ends) == 0 && p.Gaps[key.machine.host] > 0 {
				continue // it was lost with a control plane
			}
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
			for _, h := range w.hosts {
				if len(w.slots.started[hostSlot{h, s.Schedule, s.At}]) > 1 {
					again++
				}
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
