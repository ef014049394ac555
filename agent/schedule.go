package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/topics"
)

// Durations of a scheduler.
const (
	// scheduleTick is how often the clock is read at least: timers stop while the
	// machine sleeps, and do not notice a clock that is set.
	scheduleTick = 30 * time.Second
	// lateAfter is how late a slot may begin before it counts as missed, and how long
	// the scheduler may not have run before the host counts as having been away.
	lateAfter = 2 * time.Minute
	// catchUp is how long a missed slot waits after the host came back, so that its
	// network and disks are there, too.
	catchUp = time.Minute
)

// A scheduler says which slots are due by the host's own clock: of each source
// group of a schedule the latest that began before now and was not fired. That
// is also how missed ones are caught up with, whatever their number. It decides
// alone; firing is for the journal, which lets each slot begin once.
//
// It belongs to the agent's loop. Moments are the clock's on the wall: none is
// compared by the machine's uptime.
type scheduler struct {
	plans  []plan
	began  map[slotKey]protocol.AgentSlot
	ahead  map[slotKey]int64 // where groups go on whose last slot lies far ahead: the clock was, before
	skips  []slots.Span      // slots that begin in them are left out
	holds  []slots.Span      // in them nothing begins
	looked time.Time
	back   time.Time // when the host was last away, it came back then
}

type slotKey struct {
	schedule topics.ScheduleID
	group    topics.SourceGroupID
}

type plan struct {
	topics.Schedule
	policy slots.Policy
}

// readPlans reads a config's schedules. What cannot be read is named, for the
// control plane to show, and holds up no other.
func readPlans(c topics.Config) (plans []plan, problem string) {
	var wrong []string
	for _, s := range c.Schedules {
		p, err := slots.Parse(s.Cron, s.Zone, time.Duration(s.JitterSeconds)*time.Second, string(s.ID))
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("schedule %q cannot be read by this agent: %v", s.Name, err))
			continue
		}
		for _, g := range s.Groups {
			if _, whole := c.Run(g.Group, topics.Slot{}); !whole {
				wrong = append(wrong, fmt.Sprintf("schedule %q names a source group that is not there: %s", s.Name, g.Group))
			}
		}
		plans = append(plans, plan{s, p})
	}
	problem = strings.Join(wrong, "; ")
	if len(problem) > 1000 {
		problem = strings.ToValidUTF8(problem[:1000], "") + " …"
	}
	return plans, problem
}

// plan replaces the scheduler's schedules by those of the journal.
func (s *scheduler) plan(c topics.Config, began []protocol.AgentSlot) {
	s.plans, _ = readPlans(c)
	s.skips, s.holds = pauses(c)
	s.began = map[slotKey]protocol.AgentSlot{}
	for _, b := range began {
		s.began[slotKey{b.Schedule, b.Group}] = b
	}
}

// pauses are the spans in which slots are left out, and those in which nothing begins. A
// pause is both, by the host's clock. If that is not the control plane's, the one that went on
// when the config was sent also lasts as long from then on: so it neither begins late nor
// never ends. What is left out are the slots that the control plane does not expect; it
// expects none by a clock that is wrong by more than a day.
func pauses(c topics.Config) (skips, holds []slots.Span) {
	for _, p := range c.Pauses {
		span := slots.Span{From: p.From, Until: p.Until}
		skips, holds = append(skips, span), append(holds, span)
		if c.Sent == 0 || c.Heard == 0 || !span.Holds(time.UnixMilli(c.Sent)) {
			continue
		}
		here := slots.Span{From: c.Heard, Until: c.Heard + p.Until - c.Sent}
		holds = append(holds, here)
		if off := c.Heard - c.Sent; max(off, -off) > protocol.FarAhead.Milliseconds() {
			skips = append(skips, here)
		}
	}
	return skips, holds
}

// A dueSlot is a slot that may begin now.
type dueSlot struct {
	slotKey
	at, start time.Time
	passed    int           // missed ones it stands for
	also      []topics.Slot // of other schedules of the group, which the same job serves
}

// look returns the due slots, earliest first, and when to look again.
func (s *scheduler) look(now time.Time) (due []dueSlot, next time.Time) {
	now = now.Round(0)
	if away := now.Sub(s.looked); s.looked.IsZero() || away > lateAfter || away < -lateAfter {
		s.back = now
	}
	s.looked = now
	next = now.Add(scheduleTick)
	sooner := func(t time.Time) {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	pause, paused := slots.In(s.holds, now)
	if paused {
		sooner(time.UnixMilli(pause.Until))
	}
	for _, p := range s.plans {
		for _, g := range p.Groups {
			key := slotKey{p.ID, g.Group}
			floor := s.floor(key, g.After, now)
			at, n := slots.DueBut(p.policy, floor, now, s.skips)
			if n == 0 {
				sooner(p.policy.Start(slots.NextBut(p.policy, floor, s.skips)))
				continue
			}
			if paused { // what was due before the pause waits for its end
				continue
			}
			start := p.policy.Start(at)
			if settled := s.back.Add(catchUp); now.Sub(start) > lateAfter && now.Before(settled) {
				sooner(settled)
				continue
			}
			due = append(due, dueSlot{slotKey: key, at: at, start: start, passed: n - 1})
		}
	}
	slices.SortStableFunc(due, func(a, b dueSlot) int {
		return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.schedule, b.schedule))
	})
	return together(due), next
}

// together has the due slots of each group be served by one job, which belongs to the
// first of them.
func together(due []dueSlot) (out []dueSlot) {
	for _, d := range due {
		i := slices.IndexFunc(out, func(o dueSlot) bool { return o.group == d.group && len(o.also) < topics.MaxAlso })
		if i < 0 {
			out = append(out, d)
			continue
		}
		out[i].also = append(out[i].also, topics.Slot{Schedule: d.schedule, At: d.at.UnixMilli()})
		out[i].passed += d.passed
	}
	return out
}

// joins reports whether a running job can serve any of a group's due slots: it serves
// one slot of each schedule.
func (s *scheduler) joins(d dueSlot, job topics.JobID) bool {
	if s.began[d.slotKey].Job != job {
		return true
	}
	return slices.ContainsFunc(d.also, func(o topics.Slot) bool { return s.began[slotKey{o.Schedule, d.group}].Job != job })
}

// floor is the moment after which a group's slots count. A last slot that lies
// far ahead was fired by a clock that was wrong, or this one is: slots count from
// the moment that showed, so that none of before is run twice.
func (s *scheduler) floor(key slotKey, after int64, now time.Time) time.Time {
	began := s.began[key]
	floor := began.Floor(after, now.UnixMilli())
	if max(after, began.At, began.High) <= now.Add(protocol.FarAhead).UnixMilli() {
		delete(s.ahead, key)
		return time.UnixMilli(floor)
	}
	since, seen := s.ahead[key]
	if !seen || since > now.UnixMilli() {
		since = now.UnixMilli()
		if s.ahead == nil {
			s.ahead = map[slotKey]int64{}
		}
		s.ahead[key] = since
	}
	return time.UnixMilli(max(floor, since))
}

// fire starts the due slots, earliest first, as far as their repositories are free and
// the host may run more jobs. The others wait until a job has ended.
func (r *runner) fire() {
	now := r.wall()
	due, next := r.scheduler.look(now)
	r.clock.Reset(max(next.Sub(now.Round(0)), time.Millisecond))
	if len(due) == 0 || r.stopping || r.onTrial() || !r.roomy() {
		return
	}
	config, _, err := r.journal.Plan()
	for _, d := range due {
		var open []protocol.AgentJob
		if err == nil {
			open, err = r.journal.Open()
		}
		if err != nil {
			r.log.Error("a slot cannot be begun, the journal does not work; trying again", "schedule", d.schedule, "err", err)
			return
		}
		in := protocol.Fired{
			Job:    topics.JobID(topics.NewID(now)),
			Slot:   topics.Slot{Schedule: d.schedule, At: d.at.UnixMilli()},
			Also:   d.also,
			Group:  d.group,
			Passed: d.passed,
			At:     now.UnixMilli(),
		}
		run, whole := config.Run(d.group, in.Slot)
		if !whole || !protocol.Free(open, config.Config, run) { // a backup of the group serves it; else the end of a job brings us here
			if whole && slices.ContainsFunc(open, func(j protocol.AgentJob) bool { return j.Serves(run) && r.scheduler.joins(d, j.ID) }) {
				err = r.step(in)
			}
			continue
		}
		if in.Refuse, in.Alone = r.refuse(run); in.Alone && in.Refuse == nil && len(open) > 0 {
			continue
		}
		r.log.Info("a slot is due", "schedule", d.schedule, "group", d.group, "slot", d.at, "passed", d.passed, "job", in.Job)
		err = r.step(in)
	}
}

// configured takes one part of a config, and applies the config when it is complete.
func (r *runner) configured(p topics.ConfigPart) {
	c, whole, err := r.assembly.Add(p)
	if err != nil || !whole {
		if err != nil {
			r.log.Error("a config is refused; the one before stays in force", "revision", p.Revision, "err", err)
		}
		return
	}
	_, problem := readPlans(c)
	c.Heard = r.wall().UnixMilli()
	if err := r.step(protocol.Configured{Config: c, Error: problem, At: now()}); err != nil {
		r.log.Error("a config cannot be kept, the journal cannot be written; the one before stays in force", "revision", c.Revision, "err", err)
		return
	}
	failpoint.Here("agent-configured")
	r.log.Info("config in force", "revision", c.Revision, "schedules", len(c.Schedules), "problem", problem,
		"paused_until", pausedUntil(c, r.wall()))
}

// pausedUntil is when the pause ends that goes on, the zero time if none does.
func pausedUntil(c topics.Config, now time.Time) (until time.Time) {
	_, holds := pauses(c)
	if pause, paused := slots.In(holds, now); paused {
		until = time.UnixMilli(pause.Until)
	}
	return until
}

// replan reads the schedules from the journal and checks at once what is due.
func (r *runner) replan() {
	c, began, err := r.journal.Plan()
	if err != nil {
		r.log.Error("the journal cannot be read", "err", err)
		return
	}
	r.scheduler.plan(c.Config, began)
	r.clock.Reset(0)
}
