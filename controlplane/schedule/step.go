// Package schedule decides what schedules still owe: slots of hosts whose agent is
// too old to run them itself, and runs that failed or were missed.
//
// On top of [slots] are steps, each in one transaction: [Tick], [HostCame], [Fired]
// and [Ended]. A [Runner] executes them; [Retry] is a table. Steps commit first; the
// jobs engine then sends what they queued.
//
// For the latest slot that began, each group of a schedule is in one of three states:
// a job runs it, it is settled, or it is owed. A pending run holds the owed groups.
// So a retry leaves out groups that succeeded, and those that would fail in the same
// way again.
package schedule

import (
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// ReasonHost is the reason of a pending run whose host was offline; any other reason
// is the cause of a failure.
const ReasonHost = "host"

// ReasonUnmade is the reason of a pending run whose repository was not there yet. That
// is no failed attempt.
const ReasonUnmade = string(topics.CauseUnmade)

// Done is what a step did. Act on it after the commit.
type Done struct {
	Hosts []topics.HostID // hosts that changed, and may have jobs to send
	Odd   []error         // schedules that cannot be parsed, for the log
}

// Tick fires the due slots, and turns due pending runs into jobs, one per connected
// host. Pending runs whose schedule was deleted or disabled are abandoned, due or
// not. The jobs it queues wait for their host until notAfter.
func Tick(tx store.Slots, now, notAfter time.Time, online func(topics.HostID) bool) (Done, error) {
	s := step{tx: tx, now: now, notAfter: notAfter}
	resumed, err := tx.Resume(now.UnixMilli())
	if err != nil {
		return s.done, fmt.Errorf("resume schedules: %w", err)
	}
	for _, sc := range resumed {
		s.touched(sc.Host)
	}
	unpaused, err := tx.EndPauses(now.UnixMilli())
	if err != nil {
		return s.done, fmt.Errorf("note the ends of pauses: %w", err)
	}
	for _, h := range unpaused {
		s.touched(h)
	}
	schedules, err := tx.Enabled()
	if err != nil {
		return s.done, err
	}
	for _, sc := range schedules {
		p, err := Of(sc)
		if err != nil {
			s.done.Odd = append(s.done.Odd, fmt.Errorf("schedule %s: %w", sc.ID, err))
			continue
		}
		if max(sc.LastSlot, sc.Since) > now.Add(farAhead).UnixMilli() {
			if err := s.rewind(sc); err != nil {
				return s.done, fmt.Errorf("rewind schedule %s: %w", sc.ID, err)
			}
			continue
		}
		slot, n := slots.DueBut(p, time.UnixMilli(max(sc.LastSlot, sc.Since)), now, sc.Skips)
		if _, paused := slots.In(sc.Skips, now); paused || n == 0 {
			continue
		}
		if err := s.fire(sc, slot.UnixMilli(), n, online(sc.Host)); err != nil {
			return s.done, fmt.Errorf("fire schedule %s: %w", sc.ID, err)
		}
	}
	rows, err := tx.PendingRuns("")
	if err != nil {
		return s.done, err
	}
	drained := map[topics.HostID]bool{}
	for _, row := range rows {
		due := row.NextAttemptAt > 0 && row.NextAttemptAt <= now.UnixMilli() && !drained[row.Host] && online(row.Host)
		ran, err := s.drain(row, due)
		if err != nil {
			return s.done, fmt.Errorf("pending run of schedule %s: %w", row.Schedule, err)
		}
		drained[row.Host] = drained[row.Host] || ran
	}
	return s.done, nil
}

// HostCame turns every pending run of a host that said hello into jobs, due or not.
// Call it after the commit of the hello and of what the host reported before it. What
// an agent owes that runs its schedules by itself, only because it was away, it begins
// by itself about a minute later; it is asked to only after catchUp.
func HostCame(tx store.Slots, now, notAfter time.Time, host topics.HostID, catchUp time.Duration) (Done, error) {
	s := step{tx: tx, now: now, notAfter: notAfter}
	rows, err := tx.PendingRuns(host)
	if err != nil || len(rows) == 0 {
		return s.done, err
	}
	fires, err := s.fires(host)
	if err != nil {
		return s.done, err
	}
	for _, row := range rows {
		if fires && row.Reason == ReasonHost {
			row.NextAttemptAt = now.Add(catchUp).UnixMilli()
			s.touched(host)
			if err := tx.PutPending(row); err != nil {
				return s.done, err
			}
			continue
		}
		if _, err := s.drain(row, true); err != nil {
			return s.done, fmt.Errorf("pending run of schedule %s: %w", row.Schedule, err)
		}
	}
	return s.done, nil
}

// Fired records that a host began a slot itself, in the transaction that adds its
// job: the job works on the slot, and replaces what the schedule still owed for an
// earlier one.
func Fired(tx store.Slots, j store.Job) error {
	sc, known, err := tx.Schedule(j.Schedule)
	if err != nil || !known || sc.Host != j.Host {
		return err
	}
	if j.Slot > j.QueuedAt+protocol.FarAhead.Milliseconds() {
		return nil // the host's clock was far ahead; continue with ours
	}
	if j.Slot > sc.LastSlot {
		if err := tx.Fired(sc.ID, j.Slot); err != nil {
			return err
		}
	}
	groups, err := tx.Groups(sc.ID)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g.Group == j.SourceGroup && j.Slot >= g.Fired {
			g.Fired, g.Job = j.Slot, j.ID
			if err := tx.PutGroup(g); err != nil {
				return err
			}
			if err := serve(tx, sc, g, j.QueuedAt); err != nil {
				return err
			}
		}
	}
	row, had, err := tx.Pending(sc.ID)
	if err != nil || !had || row.Slot > j.Slot {
		return err
	}
	if row.Slot < j.Slot {
		if err := tx.Audit("pending_run.superseded", string(sc.ID), "slot "+moment(row.Slot)+" by that of "+moment(j.Slot)); err != nil {
			return err
		}
		return tx.RemovePending(sc.ID)
	}
	if groups, err = tx.Groups(sc.ID); err != nil || len(owing(groups, row)) > 0 {
		return err
	}
	return (&step{tx: tx, now: time.UnixMilli(j.QueuedAt)}).served(row)
}

// Ended applies the end of a job to the slots it worked on, in the transaction of the
// end. It does not matter who asked for the job: a successful backup that was queued
// after the slot settles it. A job that works on no slot changes nothing.
func Ended(tx store.Slots, j store.Job) error { return endedAfter(tx, j, slots.Grace) }

func endedAfter(tx store.Slots, j store.Job, grace time.Duration) error {
	if j.Kind != topics.BackupJob {
		return nil
	}
	if err := record(tx, j, grace); err != nil {
		return fmt.Errorf("what became of the slots of job %s: %w", j.ID, err)
	}
	s := step{tx: tx, now: time.UnixMilli(j.FinishedAt)}
	members, err := tx.Members(j.SourceGroup)
	if err != nil {
		return err
	}
	for _, g := range members {
		sc, known, err := tx.Schedule(g.Schedule)
		if err != nil || !known {
			return err
		}
		if err := s.ended(sc, g, j, grace); err != nil {
			return fmt.Errorf("the slot of schedule %s that job %s was to serve: %w", sc.ID, j.ID, err)
		}
	}
	return nil
}

// Of returns a schedule's policy.
func Of(sc store.Schedule) (slots.Policy, error) {
	return slots.Parse(sc.Cron, sc.Zone, time.Duration(sc.JitterSeconds)*time.Second, string(sc.ID))
}

type step struct {
	tx            store.Slots
	now, notAfter time.Time
	done          Done
}

func (s *step) touched(h topics.HostID) {
	if !slices.Contains(s.done.Hosts, h) {
		s.done.Hosts = append(s.done.Hosts, h)
	}
}

// fire begins a slot: as jobs if the host is connected, as a pending run if not. It
// replaces what the schedule still owed for an earlier slot.
func (s *step) fire(sc store.Schedule, slot int64, n int, online bool) error {
	if err := s.tx.Fired(sc.ID, slot); err != nil {
		return err
	}
	sc.LastSlot = slot
	s.touched(sc.Host)
	groups, err := s.tx.Groups(sc.ID)
	if err != nil {
		return err
	}
	old, had, err := s.tx.Pending(sc.ID)
	if err != nil {
		return err
	}
	if n > 1 {
		many := fmt.Sprintf("the slot of %s stands for %d before it", moment(slot), n-1)
		if n == slots.Many {
			many += " and more"
		}
		if err := s.tx.Audit("schedule.slots_passed", string(sc.ID), many); err != nil {
			return err
		}
	}
	for i := range groups {
		groups[i].Fired = slot
	}
	if online {
		for _, g := range groups {
			if err := s.begin(sc, g, 0); err != nil {
				return err
			}
		}
		if !had {
			return nil
		}
		if err := s.tx.RemovePending(sc.ID); err != nil {
			return err
		}
		return s.tx.Audit("pending_run.superseded", string(sc.ID), "slot "+moment(old.Slot)+" by that of "+moment(slot))
	}
	// A job that an offline host runs was queued before this slot, and does not count
	// for it. If it still runs when the host is back, it does.
	for _, g := range groups {
		g.Job = ""
		if err := s.tx.PutGroup(g); err != nil {
			return err
		}
	}
	row := store.PendingRun{
		Schedule:      sc.ID,
		Host:          sc.Host,
		Slot:          slot,
		NextAttemptAt: s.now.UnixMilli(),
		Reason:        ReasonHost,
		CreatedAt:     s.now.UnixMilli(),
	}
	if had {
		row.CreatedAt = old.CreatedAt
	}
	return s.pend(row)
}

// farAhead is how far in the future a fired slot may lie. If the clock was set back
// by less, the schedule waits; by more, it would not run for too long.
const farAhead = 24 * time.Hour

// rewind restarts a schedule now, after our clock was far ahead.
func (s *step) rewind(sc store.Schedule) error {
	if err := s.tx.Rewind(sc.ID, s.now.UnixMilli()); err != nil {
		return err
	}
	return s.tx.Audit("schedule.rewound", string(sc.ID), "its last slot, "+moment(sc.LastSlot)+", lies ahead: the clock was set back")
}

// pend stores a pending run. That a host which is away owes a later slot now is no news.
func (s *step) pend(row store.PendingRun) error {
	s.touched(row.Host)
	old, had, err := s.tx.Pending(row.Schedule)
	if err != nil {
		return err
	}
	if err := s.tx.PutPending(row); err != nil || had && old.Reason == ReasonHost && row.Reason == ReasonHost {
		return err
	}
	detail := fmt.Sprintf("slot %s, attempt %d, %s", moment(row.Slot), row.Attempt, row.Reason)
	return s.tx.Audit("pending_run.created", string(row.Schedule), detail)
}

// begin assigns the latest slot of a group to a job: to one that is queued or running
// already, or to a new one.
func (s *step) begin(sc store.Schedule, g store.SlotGroup, attempt int) error {
	s.touched(sc.Host)
	open, found, err := s.tx.Open(g.Group)
	if err != nil {
		return err
	}
	if found {
		g.Job = open.ID
		detail := fmt.Sprintf("slot %s by job %s, which is under way", moment(g.Fired), open.ID)
		if err := s.tx.Audit("schedule.slot_answered", string(sc.ID), detail); err != nil {
			return err
		}
		if err := s.tx.PutGroup(g); err != nil {
			return err
		}
		return serve(s.tx, sc, g, s.now.UnixMilli())
	}
	j := store.Job{
		ID:          topics.JobID(topics.NewID(s.now)),
		Host:        sc.Host,
		Kind:        topics.BackupJob,
		SourceGroup: g.Group,
		Repository:  g.Repository,
		RequestedBy: "schedule:" + sc.Name,
		QueuedAt:    s.now.UnixMilli(),
		NotAfter:    s.notAfter.UnixMilli(),
		Schedule:    sc.ID,
		Slot:        g.Fired,
		Attempt:     attempt,
	}
	added, err := s.tx.Queue(j)
	if err != nil {
		return err
	}
	if !added { // it ran already; slots are not repeated
		g.Job, g.Settled = "", g.Fired
		return s.tx.PutGroup(g)
	}
	g.Job = j.ID
	if err := s.tx.PutGroup(g); err != nil {
		return err
	}
	return serve(s.tx, sc, g, s.now.UnixMilli())
}

// drain turns a pending run into jobs if its host may get them now, or abandons it.
// It reports whether there were jobs.
func (s *step) drain(row store.PendingRun, mayRun bool) (ran bool, err error) {
	sc, known, err := s.tx.Schedule(row.Schedule)
	if err != nil {
		return false, err
	}
	groups, err := s.tx.Groups(row.Schedule)
	if err != nil {
		return false, err
	}
	owed := owing(groups, row)
	switch {
	case !known:
		return false, s.abandon(row, owed, "its schedule is gone")
	case !sc.Enabled:
		return false, s.abandon(row, owed, "its schedule is disabled")
	case len(groups) == 0:
		return false, s.abandon(row, owed, "its source groups are gone")
	case len(owed) == 0:
		return false, s.served(row)
	case row.Attempt >= Retries(topics.Cause(row.Reason), sc.RetryMax) && row.Reason != ReasonUnmade:
		return false, s.abandon(row, owed, tried(row))
	case !mayRun || s.rests(sc):
		return false, nil
	}
	if row.Reason == ReasonHost && sc.Host != "" {
		if busy, err := s.busyByItself(sc.Host); err != nil || busy {
			return false, err
		}
	}
	for _, g := range owed {
		g.Fired = row.Slot
		if err := s.begin(sc, g, row.Attempt+1); err != nil {
			return false, err
		}
	}
	return true, s.tx.RemovePending(row.Schedule)
}

// settle is how long the control plane asks for nothing after the end of a host's pause: its
// agent begins by itself what it owes then.
const settle = 3 * time.Minute

// rests reports whether a schedule's host is paused, or was a moment ago. What it owed before
// waits until then.
func (s *step) rests(sc store.Schedule) bool {
	_, paused := slots.In(sc.Skips, s.now)
	_, lately := slots.In(sc.Skips, s.now.Add(-settle))
	return paused || lately
}

// owing returns the groups that owe the slot of a pending run: it is neither settled
// nor assigned to a job. After a failure, a group for which the slot has not begun yet
// waits for its turn on the host; a host that is away has begun it for none.
func owing(groups []store.SlotGroup, row store.PendingRun) []store.SlotGroup {
	return slices.DeleteFunc(slices.Clone(groups), func(g store.SlotGroup) bool {
		return g.Settled >= row.Slot || g.Job != "" && g.Fired >= row.Slot || g.Fired < row.Slot && row.Reason != ReasonHost ||
			g.JoinedAt > row.Slot
	})
}

// fires reports whether a host's agent runs its schedules by itself.
func (s *step) fires(h topics.HostID) (bool, error) {
	ctx, x := s.tx.Tx()
	host, err := slotlog.HostOf(ctx, x, h)
	return host.Fires(), err
}

// busyByItself reports whether a host that runs its schedules by itself has a job in
// hand: it begins what it owes by itself after it.
func (s *step) busyByItself(h topics.HostID) (bool, error) {
	fires, err := s.fires(h)
	if err != nil || !fires {
		return false, err
	}
	ctx, x := s.tx.Tx()
	jobs, err := slotlog.JobsSince(ctx, x, h, 1<<62)
	return len(jobs) > 0, err
}

func tried(row store.PendingRun) string {
	why := ""
	if row.Reason == string(topics.CauseUnknown) {
		why = ", which is not tried again for ever: somebody has to look"
	}
	return fmt.Sprintf("tried again %d times, the last failure is %s%s", row.Attempt, row.Reason, why)
}

func (s *step) abandon(row store.PendingRun, owed []store.SlotGroup, why string) error {
	s.touched(row.Host)
	for _, g := range owed {
		g.Settled = row.Slot
		if err := s.tx.PutGroup(g); err != nil {
			return err
		}
	}
	if err := s.tx.RemovePending(row.Schedule); err != nil {
		return err
	}
	return s.tx.Audit("pending_run.abandoned", string(row.Schedule), "slot "+moment(row.Slot)+": "+why)
}

// served removes a pending run that owes nothing any more.
func (s *step) served(row store.PendingRun) error {
	s.touched(row.Host)
	if err := s.tx.RemovePending(row.Schedule); err != nil {
		return err
	}
	return s.tx.Audit("pending_run.served", string(row.Schedule), "slot "+moment(row.Slot))
}

// ended applies a job's end to one schedule that names its group.
func (s *step) ended(sc store.Schedule, g store.SlotGroup, j store.Job, grace time.Duration) error {
	held := g.Job == j.ID
	if !held {
		if g.Fired == 0 || !Saved(j.State, j.Cause) || j.QueuedAt < g.Fired {
			return nil
		}
		if err := ran(s.tx, slotlog.Row{Schedule: sc.ID, Group: g.Group, Slot: g.Fired, Host: sc.Host}, j, grace); err != nil {
			return err
		}
	}
	again := held && !j.CancelAsked && Retry(j.State, j.Cause)
	if g.Job = ""; !again {
		g.Settled = max(g.Settled, g.Fired)
	}
	if err := s.tx.PutGroup(g); err != nil {
		return err
	}
	row, had, err := s.tx.Pending(sc.ID)
	if err != nil {
		return err
	}
	groups, err := s.tx.Groups(sc.ID)
	if err != nil {
		return err
	}
	if !again {
		if had && len(owing(groups, row)) == 0 {
			return s.served(row)
		}
		return nil
	}
	next := store.PendingRun{Schedule: sc.ID, Host: sc.Host, Slot: g.Fired, Reason: string(j.Cause), CreatedAt: s.now.UnixMilli()}
	if j.Schedule != sc.ID || j.Slot == g.Fired { // attempts that schedules share count for each
		next.Attempt = j.Attempt
	}
	switch {
	case had && row.Slot > next.Slot: // a later slot is owed, and will include this group
		g.Settled = g.Fired
		return s.tx.PutGroup(g)
	case had && row.Slot < next.Slot:
		next.CreatedAt = row.CreatedAt
	case had: // another group owes the same slot: they share the attempts
		next.Attempt, next.CreatedAt = max(next.Attempt, row.Attempt), row.CreatedAt
	}
	if j.Cause == topics.CauseUnmade {
		next.NextAttemptAt = s.now.UnixMilli() // the job that follows waits until the repository is made
		return s.pend(next)
	}
	next.NextAttemptAt = s.now.Add(Backoff(next.Attempt)).UnixMilli()
	if next.Attempt >= Retries(j.Cause, sc.RetryMax) {
		return s.abandon(next, owing(groups, next), tried(next))
	}
	return s.pend(next)
}

func moment(ms int64) string { return words.At(ms).UTC().Format(time.RFC3339) }
