package schedule

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// A watch looks at each slot twice: when it is due, whether its host is away and owes
// it, and when its grace is over, whether somebody began it. It knows when the next
// look at each schedule is due, so that a tick costs what is due and no more.
//
// It belongs to the runner's loop. What it holds is in the database, too, but for the
// plan that a schedule had before its last change.
type watch struct {
	mark  int64 // of the database; negative until the first read
	plans map[topics.ScheduleID]*planned
	hosts map[topics.HostID][]topics.ScheduleID
	due   dues
	next  map[topics.ScheduleID]time.Time // as in due; other entries are outdated
}

// planned is what a watch holds of a schedule.
type planned struct {
	store.Schedule
	policy slots.Policy
	judged int64    // slots up to this one have an outcome, or need none
	looked int64    // slots up to this one were looked at when they were due
	was    *planned // how it was before its last change; its slots up to until are still to be judged
	until  int64
	held   bool // its host was unknown at the last look: it may yet say that it ran them
}

// paused reports whether a slot lies in a pause, of the schedule or of its host.
func (p *planned) paused(start time.Time) (schedule, host bool) {
	_, host = slots.In(p.Skips, start)
	return !p.Enabled && p.PausedAt <= start.UnixMilli(), host
}

// lookAt is when a schedule is to be looked at next; the zero time is never.
func (p *planned) lookAt(grace time.Duration) time.Time {
	judge := p.judgeAt(grace)
	if p.Enabled {
		if slot := slots.NextBut(p.policy, time.UnixMilli(p.looked), p.Skips); !slot.IsZero() {
			if start := p.policy.Start(slot); judge.IsZero() || start.Before(judge) {
				return start
			}
		}
	}
	return judge
}

func (p *planned) judgeAt(grace time.Duration) time.Time {
	if p.was != nil {
		if slot := slots.Next(p.was.policy, time.UnixMilli(p.was.judged)); !slot.IsZero() && slot.UnixMilli() <= p.until {
			return p.was.policy.Start(slot).Add(grace)
		}
	}
	slot := slots.Next(p.policy, time.UnixMilli(p.judged))
	if slot.IsZero() {
		return slot
	}
	return p.policy.Start(slot).Add(grace)
}

// A markSource is what a watch reads from the database besides the schedules.
type markSource interface {
	ListSource
	SlotMarks(ctx context.Context) ([]slotlog.Mark, error)
}

// refresh reads the schedules that changed.
func (w *watch) refresh(ctx context.Context, source markSource, grace time.Duration) error {
	first := w.plans == nil
	marks := map[topics.ScheduleID]int64{}
	if first {
		w.plans, w.hosts, w.next, w.mark = map[topics.ScheduleID]*planned{}, map[topics.HostID][]topics.ScheduleID{},
			map[topics.ScheduleID]time.Time{}, -1
		rows, err := source.SlotMarks(ctx)
		if err != nil {
			return fmt.Errorf("read how far slots were judged: %w", err)
		}
		for _, m := range rows {
			marks[m.Schedule] = m.Judged
		}
	} else if mark, err := source.ScheduleMark(ctx); err != nil || mark == w.mark {
		return err
	}
	c, err := source.SchedulesSince(ctx, w.mark)
	if err != nil {
		return fmt.Errorf("read the schedules: %w", err)
	}
	w.mark = c.Mark
	changed := c.Changed
	if c.All {
		changed = nil
		for h := range w.hosts {
			changed = append(changed, h)
		}
	}
	stale := map[topics.ScheduleID]*planned{}
	for _, h := range changed {
		for _, id := range w.hosts[h] {
			stale[id] = w.plans[id]
			delete(w.plans, id)
			delete(w.next, id)
		}
		delete(w.hosts, h)
	}
	for _, sc := range c.Schedules {
		w.take(sc, stale[sc.ID], marks[sc.ID], grace)
	}
	return nil
}

// take holds a schedule as it is now; old is how it was held before, nil if it was not.
func (w *watch) take(sc store.Schedule, old *planned, judged int64, grace time.Duration) {
	// What became of slots before a change that nobody watched is not known.
	p := &planned{Schedule: sc, judged: max(judged, sc.Since), looked: max(sc.Since, sc.LastSlot)}
	w.hosts[sc.Host] = append(w.hosts[sc.Host], sc.ID)
	var err error
	if p.policy, err = Of(sc); err != nil {
		return // it has no slots; the tick says so in the log
	}
	switch {
	case old == nil:
	case sc.Since > old.Since: // another plan, or it was resumed
		p.was, p.until, p.judged = old, sc.Since, max(old.judged, sc.Since)
		if old.was != nil { // changed twice within the grace: of the time between nobody asks
			p.was, p.until = old.was, old.until
		}
	default:
		p.judged, p.looked, p.was, p.until = old.judged, max(old.looked, p.looked), old.was, old.until
	}
	w.plans[sc.ID] = p
	w.push(p, p.lookAt(grace))
}

func (w *watch) push(p *planned, at time.Time) {
	if at.IsZero() {
		delete(w.next, p.ID)
		return
	}
	w.next[p.ID] = at
	heap.Push(&w.due, due{at, p.ID})
}

// pop returns up to n schedules that are due to be looked at.
func (w *watch) pop(now time.Time, n int) (list []*planned) {
	for len(w.due) > 0 && len(list) < n && !w.due[0].at.After(now) {
		d := heap.Pop(&w.due).(due) //nolint:forcetypeassert // it holds nothing else
		if p := w.plans[d.id]; p != nil && w.next[d.id].Equal(d.at) {
			delete(w.next, d.id)
			list = append(list, p)
		}
	}
	return list
}

// Bounds of one step of the watch.
const (
	watchSchedules = 200 // in one transaction
	watchSlots     = 300 // of one schedule in one transaction
)

// watchTick judges the slots that are due to be, some in each transaction.
func (r *Runner) watchTick(ctx context.Context) {
	now := r.Now()
	if now.Before(r.watched.Add(-r.Timing.Tick)) { // our clock was set back
		r.watch = watch{}
	}
	r.watched = now
	if err := r.watch.refresh(ctx, r.Store, r.Timing.Grace); err != nil {
		if ctx.Err() == nil {
			r.Log.Error("looking at slots failed", "err", err)
		}
		return
	}
	for ctx.Err() == nil {
		list := r.watch.pop(now, watchSchedules)
		if len(list) == 0 {
			break
		}
		list = slices.DeleteFunc(list, func(p *planned) bool { return r.wellBegun(p, now) })
		if len(list) == 0 {
			continue
		}
		var again []planned
		ok := r.step(ctx, func(tx store.Slots, now, _ time.Time) (Done, error) {
			s := step{tx: tx, now: now}
			again = again[:0]
			for _, p := range list {
				next := *p
				if err := s.look(&next, r); err != nil {
					return s.done, fmt.Errorf("slots of schedule %s: %w", p.ID, err)
				}
				again = append(again, next)
			}
			return s.done, nil
		})
		for i, p := range list {
			if !ok { // at the next tick
				r.watch.push(p, now.Add(r.Timing.Tick))
				continue
			}
			*p = again[i]
			at := p.lookAt(r.Timing.Grace)
			if !at.After(now) && p.held { // its host is unknown yet
				at = now.Add(r.Timing.Tick)
			}
			r.watch.push(p, at)
		}
	}
	r.sweep(ctx, now)
}

// wellBegun passes over a schedule whose host is here when a slot is due: nothing is
// owed, and whether it was begun is looked at later.
func (r *Runner) wellBegun(p *planned, now time.Time) bool {
	if !r.Online(p.Host) || !p.judgeAt(r.Timing.Grace).After(now) {
		return false
	}
	if slot, due := latest(p.policy, time.UnixMilli(p.looked), now, p.Skips); due {
		p.looked = slot.UnixMilli()
	}
	r.watch.push(p, p.lookAt(r.Timing.Grace))
	return true
}

// look looks at one schedule.
func (s *step) look(p *planned, r *Runner) error {
	here := r.Online(p.Host)
	if p.held = !here && !r.offline(p.Host); p.held {
		return nil // it is unknown yet: the host may say that it ran them
	}
	if far := s.now.Add(farAhead).UnixMilli(); p.judged > far || p.looked > far {
		p.was, p.judged, p.looked = nil, s.now.UnixMilli(), s.now.UnixMilli()
		ctx, x := s.tx.Tx()
		if err := slotlog.Undo(ctx, x, p.ID, p.judged); err != nil {
			return err
		}
		return slotlog.PutMark(ctx, x, slotlog.Mark{Schedule: p.ID, Judged: p.judged})
	}
	ctx, x := s.tx.Tx()
	host, err := slotlog.HostOf(ctx, x, p.Host)
	if err != nil {
		return err
	}
	if err := s.owe(p, host, here); err != nil {
		return err
	}
	was := p.judged
	if o := p.was; o != nil {
		done, err := s.judge(o, p.until, host, here, r)
		if err != nil || !done {
			return err
		}
		p.was = nil
	}
	if _, err := s.judge(p, 1<<62, host, here, r); err != nil {
		return err
	}
	if p.judged == was {
		return nil
	}
	if err := slotlog.PutMark(ctx, x, slotlog.Mark{Schedule: p.ID, Judged: p.judged}); err != nil {
		return err
	}
	if p.judged/dayMillis == was/dayMillis { // once a day is enough
		return nil
	}
	_, err = slotlog.Thin(ctx, x, p.ID, r.Limits)
	return err
}

const dayMillis = 24 * 60 * 60 * 1000

// owe stores a pending run for the slot that has come due while its host is away, of a
// host that runs its schedules by itself; for others, firing does. It is served when
// the host tells that it ran the slot, or runs it when it is back.
func (s *step) owe(p *planned, host slotlog.Host, here bool) error {
	slot, due := latest(p.policy, time.UnixMilli(p.looked), s.now, p.Skips)
	if !due || !p.Enabled {
		return nil
	}
	p.looked = slot.UnixMilli()
	sc, known, err := s.tx.Schedule(p.ID)
	if err != nil || !known || !sc.Enabled || sc.RetryMax == 0 || !host.Fires() || here || sc.LastSlot >= p.looked {
		return err
	}
	row, had, err := s.tx.Pending(sc.ID)
	if err != nil || had && row.Slot >= p.looked {
		return err
	}
	next := store.PendingRun{Schedule: sc.ID, Host: sc.Host, Slot: p.looked, Reason: ReasonHost, CreatedAt: s.now.UnixMilli()}
	if had {
		next.CreatedAt = row.CreatedAt
	}
	return s.pend(next)
}

// judge gives an outcome to the slots of a plan up to one, of which the grace is over.
// It reports whether it reached the last of these.
func (s *step) judge(p *planned, until int64, host slotlog.Host, here bool, r *Runner) (done bool, err error) {
	for n := 0; n < watchSlots; {
		slot := slots.Next(p.policy, time.UnixMilli(p.judged))
		if slot.IsZero() || slot.UnixMilli() > until {
			return true, nil
		}
		start := p.policy.Start(slot)
		if start.Add(r.Timing.Grace).After(s.now) {
			return false, nil
		}
		if next := slots.Next(p.policy, slot); s.now.Sub(slot) > time.Duration(r.Limits.Each)*next.Sub(slot) &&
			next.UnixMilli()/dayMillis == slot.UnixMilli()/dayMillis {
			p.judged = slot.UnixMilli() // so many came after it that it would not be kept: the day's last one is
			continue
		}
		n++
		if err := s.miss(p, slot, start, host, here, r); err != nil {
			return false, err
		}
		p.judged = slot.UnixMilli()
	}
	return false, nil
}

// miss gives an outcome to one slot of each group that nobody began.
func (s *step) miss(p *planned, slot, start time.Time, host slotlog.Host, here bool, r *Runner) error {
	ctx, x := s.tx.Tx()
	known, err := slotlog.At(ctx, x, p.ID, slot.UnixMilli())
	if err != nil {
		return err
	}
	groups, err := s.tx.Groups(p.ID)
	if err != nil {
		return err
	}
	var jobs []slotlog.Job
	for _, g := range groups {
		if g.JoinedAt > slot.UnixMilli() || slices.ContainsFunc(known, func(k slotlog.Row) bool {
			return k.Group == g.Group && (k.Outcome != "" || k.Job != "")
		}) {
			continue
		}
		if jobs == nil {
			if jobs, err = slotlog.JobsSince(ctx, x, p.Host, start.UnixMilli()); err != nil {
				return err
			}
		}
		m := miss{
			here:    here,
			back:    here && r.cameAt(p.Host).After(start),
			unheard: start.Before(r.began),
			full:    r.Full != nil && r.Full(p.Host),
			host:    host,
			jobs:    jobs,
			start:   start,
			end:     start.Add(r.Timing.Grace),
			group:   g.Group,
			place:   g.Repository,
		}
		m.paused, m.rested = p.paused(start)
		row := slotlog.Row{Schedule: p.ID, Group: g.Group, Slot: slot.UnixMilli(), Host: p.Host, At: s.now.UnixMilli()}
		if row.Outcome, row.Job, row.Reason = m.judge(); row.Outcome == "" {
			err = slotlog.Serve(ctx, x, row)
		} else {
			err = slotlog.Put(ctx, x, row)
		}
		if err != nil {
			return err
		}
		s.touched(p.Host)
	}
	return nil
}

// sweep removes old rows, a few at a time.
func (r *Runner) sweep(ctx context.Context, now time.Time) {
	if now.Sub(r.swept) < r.Timing.Sweep && !now.Before(r.swept) {
		return
	}
	n := int64(0)
	ok := r.step(ctx, func(tx store.Slots, now, _ time.Time) (_ Done, err error) {
		ctx, x := tx.Tx()
		n, err = slotlog.Sweep(ctx, x, r.Limits, now.UnixMilli())
		return Done{}, err
	})
	if ok && n < int64(r.Limits.Step) { // else it goes on at the next tick
		r.swept = now
	}
}
