package schedule

import (
	"cmp"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// Saved reports whether a backup that ended like this serves the slots it ran for: it
// made a snapshot that holds something.
func Saved(state topics.JobState, cause topics.Cause) bool {
	return state == topics.Succeeded || state == topics.Warnings && cause != topics.CauseEmptySource
}

// serve notes that a job has a group's latest slot in hand.
func serve(tx store.Slots, sc store.Schedule, g store.SlotGroup, now int64) error {
	ctx, x := tx.Tx()
	return slotlog.Serve(ctx, x, slotlog.Row{Schedule: sc.ID, Group: g.Group, Slot: g.Fired, Host: sc.Host, Job: g.Job, At: now})
}

// record stores what became of the slots that a job had in hand, in the transaction of
// its end.
func record(tx store.Slots, j store.Job, grace time.Duration) error {
	ctx, x := tx.Tx()
	rows, err := slotlog.OfJob(ctx, x, j.ID)
	if err != nil {
		return err
	}
	if j.Cause == topics.CauseServed { // another job has the slot in hand, or a later slot
		for _, r := range rows {
			h, err := slotlog.HostOf(ctx, x, j.Host)
			if err != nil {
				return err
			}
			if r.Outcome == "" {
				r.Outcome, r.Reason = away(h, true)
			}
			if r.Job, r.At = "", j.FinishedAt; r.Outcome != slotlog.Failed {
				err = slotlog.Put(ctx, x, r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	own := slotlog.Row{Schedule: j.Schedule, Group: j.SourceGroup, Slot: j.Slot, Host: j.Host}
	if j.Schedule != "" && j.Slot <= j.FinishedAt+protocol.FarAhead.Milliseconds() && !slices.ContainsFunc(rows, func(r slotlog.Row) bool {
		return r.Schedule == own.Schedule && r.Group == own.Group && r.Slot == own.Slot
	}) { // begun before the slots were noted, or by a host whose clock was wrong
		rows = append(rows, own)
	}
	for _, r := range rows {
		if err := ran(tx, r, j, grace); err != nil {
			return err
		}
	}
	return nil
}

// ran stores the outcome of a slot that a job ran for.
func ran(tx store.Slots, r slotlog.Row, j store.Job, grace time.Duration) error {
	ctx, x := tx.Tx()
	start := r.Slot
	if sc, known, err := tx.Schedule(r.Schedule); err != nil {
		return err
	} else if p, err := Of(sc); known && err == nil {
		start += Offset(p).Milliseconds()
	}
	r.Job, r.Cause, r.Reason, r.At = j.ID, "", "", j.FinishedAt
	switch {
	case Saved(j.State, j.Cause) && max(j.StartedAt, j.QueuedAt) > start+grace.Milliseconds():
		r.Outcome = slotlog.Late
	case Saved(j.State, j.Cause):
		r.Outcome = slotlog.Ran
	case j.Cause == topics.CauseUnmade:
		r.Outcome, r.Cause = slotlog.Waiting, j.Cause
	case j.State == topics.Abandoned && j.StartedAt == 0:
		h, err := slotlog.HostOf(ctx, x, j.Host)
		if err != nil {
			return err
		}
		r.Outcome, r.Reason = away(h, false)
	default:
		r.Outcome, r.Cause = slotlog.Failed, j.Cause
	}
	return slotlog.Put(ctx, x, r)
}

// A miss is what is known of a slot that nobody began within its grace.
type miss struct {
	paused  bool // its schedule was paused
	rested  bool // its host was
	here    bool // its host is connected, and told all that it did before
	back    bool // it is, but was not when the slot was due
	unheard bool // the control plane was not running when the slot was due
	full    bool // the host's agent cannot write its journal
	behind  bool // the host does not have this form of the schedule
	host    slotlog.Host
	jobs    []slotlog.Job // of the host since the slot was due
	start   time.Time     // when the slot was due, with its share of the jitter
	end     time.Time     // when its grace was over
	group   topics.SourceGroupID
	place   topics.RepositoryID // of the group
}

// judge says what became of a slot that nobody began. If a backup of its group served
// it by the way, that is its job; one that has not ended has the slot in hand.
func (m miss) judge() (slotlog.Outcome, topics.JobID, string) {
	if !m.paused && !m.rested {
		if j, ok := m.byTheWay(); ok {
			switch {
			case j.Finished == 0:
				return "", j.ID, ""
			case j.Began() > m.end.UnixMilli():
				return slotlog.Late, j.ID, ""
			}
			return slotlog.Ran, j.ID, ""
		}
	}
	switch {
	case m.paused:
		return slotlog.MissedPaused, "", "Its schedule was paused."
	case m.rested:
		return slotlog.MissedPaused, "", "Its host was paused."
	case m.full:
		return slotlog.MissedDisk, "", "The agent could not write its journal, most likely because its disk is full. Make room there."
	case m.unheard && !m.host.Fires():
		return slotlog.MissedOffline, "", "This server was not running, and the host's agent is too old to run schedules by itself. Update it."
	case m.here && m.busy():
		return slotlog.MissedBusy, "", m.busyWith()
	case !m.here || m.back:
		outcome, reason := away(m.host, m.back)
		return outcome, "", reason
	case m.host.Problem != "":
		return slotlog.Failed, "", "Its host was connected and began nothing; of its schedules its agent said: " + m.host.Problem
	case m.behind || m.host.Fires() && m.host.Applied != m.host.Revision:
		return slotlog.Failed, "", "Its host was connected and began nothing: it did not have this form of the schedule."
	}
	return slotlog.Failed, "", "Its host was connected, free to begin it, and began nothing. Compare its clock, and look at the agent's log."
}

// away is the outcome of a slot whose host was not connected.
func away(h slotlog.Host, back bool) (slotlog.Outcome, string) {
	outcome, reason := slotlog.MissedOffline, "Its host was not connected"
	if h.Intermittent {
		outcome, reason = slotlog.MissedAsleep, "Its host, which is not always on, was not connected"
	}
	switch {
	case back:
		reason += " when it was due."
	case h.Fires():
		reason += ". If its agent ran it all the same, this changes when the host is back."
	default:
		reason += "."
	}
	return outcome, reason
}

// byTheWay returns the backup of the slot's group that served it although it was not
// begun for it: one that ran when the slot was due, or began within the grace.
func (m miss) byTheWay() (found slotlog.Job, ok bool) {
	for _, j := range m.jobs {
		if j.Kind != topics.BackupJob || j.Group != m.group || j.Queued > m.end.UnixMilli() ||
			j.Finished > 0 && (j.Finished < m.start.UnixMilli() || !Saved(j.State, j.Cause)) {
			continue
		}
		if !ok || j.Began() < found.Began() {
			found, ok = j, true
		}
	}
	return found, ok
}

// busy reports whether the host could not begin the slot from when it was due until its
// grace was over: another job ran in the repository, or as many as it may run at once.
// Between two of them it may have rested for a moment.
func (m miss) busy() bool {
	return m.held(func(here, all int) bool { return here > 0 || all >= max(m.host.AtOnce, 1) })
}

// busyWith says what kept a busy host from the slot.
func (m miss) busyWith() string {
	if max(m.host.AtOnce, 1) > 1 && m.held(func(here, _ int) bool { return here > 0 }) {
		return "Its host ran other jobs in the repository all the time."
	}
	return "Its host ran other jobs all the time."
}

// held reports whether something held of the jobs that ran, those in the group's
// repository and all of them, all the time but for moments.
func (m miss) held(when func(here, all int) bool) bool {
	const rest = 2 * time.Minute
	type change struct {
		at        int64
		here, all int
	}
	start, end := m.start.UnixMilli(), m.end.UnixMilli()
	changes := []change{{at: end}}
	for _, j := range m.jobs {
		if j.State == topics.Queued {
			continue
		}
		c := change{at: max(j.Began(), start), all: 1}
		if j.Place == m.place {
			c.here = 1
		}
		if c.at >= end || j.Finished > 0 && j.Finished <= start {
			continue
		}
		changes = append(changes, c)
		if j.Finished > 0 && j.Finished < end {
			changes = append(changes, change{at: j.Finished, here: -c.here, all: -1})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	here, all, free := 0, 0, start // since when nothing held, while it does not
	for _, c := range changes {
		if !when(here, all) && c.at-free > rest.Milliseconds() {
			return false
		}
		held := when(here, all)
		here, all = here+c.here, all+c.all
		if held {
			free = c.at
		}
	}
	return true
}

// latest is the newest slot that a schedule should have begun by now, after a moment; those in
// which its host was paused are none.
func latest(p slots.Policy, after, now time.Time, skips []slots.Span) (time.Time, bool) {
	slot, n := slots.DueBut(p, after, now, skips)
	return slot, n > 0
}
