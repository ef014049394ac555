package protocol

import (
	"fmt"
	"runtime/debug"

	"github.com/restic-manager/restic-manager/topics"
)

// Bounds are how much a host may say: somebody may have its keys. They are so wide that
// an agent of ours does not reach them, whatever it has to tell after months away; see
// docs/ARCHITECTURE.md for where each figure comes from. 0 is the default.
type Bounds struct {
	Job  int64 // bytes of a job's log and report together
	Hour int64 // bytes that are stored of one host within an hour of the clock
	Far  int   // jobs an hour of slots that lie far from now: a clock may have been wrong
	Same int   // jobs that a host begins by itself for one slot: its machine may have been put back
}

// DefaultBounds is what production uses.
func DefaultBounds() Bounds { return Bounds{Job: 64 << 20, Hour: 256 << 20, Far: 24, Same: 8} }

func (b Bounds) or(d Bounds) Bounds {
	if b.Job == 0 {
		b.Job = d.Job
	}
	if b.Hour == 0 {
		b.Hour = d.Hour
	}
	if b.Far == 0 {
		b.Far = d.Far
	}
	if b.Same == 0 {
		b.Same = d.Same
	}
	return b
}

// An Aside is why something that a host said is received and counts for nothing.
type Aside string

// The reasons to set something aside.
const (
	AsideSchedule Aside = "schedule" // a slot of a schedule that the host never had
	AsideSlot     Aside = "slot"     // a slot that no plan of its schedule has or had
	AsideFar      Aside = "far"      // too many slots that lie far from now
	AsideSame     Aside = "same"     // one slot begun too often
	AsideGroup    Aside = "group"    // a slot of a source group or repository that is not there any more, or not the host's
	AsideJob      Aside = "job"      // about a job that is not the host's
	AsideReport   Aside = "report"   // a report of a job that has none
	AsideCut      Aside = "cut"      // a part of a report that had reached its limit
	AsideBroken   Aside = "broken"   // it could not be handled: a fault of ours, or the host's
	AsideWait     Aside = "wait"     // nothing of it is lost: it has to wait until the host's hour is over
	AsideQueue    Aside = "queue"    // a consumer asked for a job of the host while MostQueued waited
)

// MostQueued is how many jobs may wait on one host; nobody can ask for more. It is more
// than a person looks through, and ticks go through all that wait.
const MostQueued = 100

// Asides are all reasons there are, for documentation and tests.
var Asides = []Aside{AsideSchedule, AsideSlot, AsideFar, AsideSame, AsideGroup, AsideJob, AsideReport, AsideCut, AsideBroken,
	AsideWait, AsideQueue}

// An Hour is what was stored of a host in an hour of the clock.
type Hour struct {
	Hour  int64 `db:"hour"` // since 1970
	Bytes int64 `db:"bytes"`
	Far   int   `db:"far"`
}

// A Fit is how a slot fits its schedule.
type Fit struct {
	Why Aside // why it does not, "" if it does
	Far bool  // it lies more than FarAhead after now, or before its schedule was made
}

// An EventError is that one event of a host could not be handled.
type EventError struct {
	Host  topics.HostID
	Seq   uint64
	Panic bool
	Err   error
}

// Error implements error.
func (e *EventError) Error() string { return fmt.Sprintf("event %d of %s: %v", e.Seq, e.Host, e.Err) }

// Unwrap returns the cause.
func (e *EventError) Unwrap() error { return e.Err }

// handle is event with a wall around it: what panics is an error of that event.
func (s *planeStep) handle(host topics.HostID, e topics.Event, seq uint64, now int64) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &EventError{host, seq, true, fmt.Errorf("panic: %v\n%s", r, debug.Stack())}
		} else if err != nil {
			err = &EventError{host, seq, false, err}
		}
	}()
	return s.event(host, e, now)
}

// aside notes that something a host said counts for nothing.
func (s *planeStep) aside(why Aside) {
	if s.asides == nil {
		s.asides = map[Aside]int{}
	}
	s.asides[why]++
}

// odd is aside with a word for the log.
func (s *planeStep) odd(why Aside, host topics.HostID, job topics.JobID, what string) {
	s.aside(why)
	s.do(Odd{Host: host, Job: job, What: what})
}

// opens reads how much of the host was stored in this hour.
func (s *planeStep) opens(host topics.HostID, now int64) (err error) {
	if s.hour, err = s.tx.Hour(host); err != nil {
		return err
	}
	if hour := now / hourMs; s.hour.Hour != hour { // also of a clock that was set back
		s.hour = Hour{Hour: hour}
	}
	s.had = s.hour
	return nil
}

const hourMs = 60 * 60 * 1000

// closes stores it, and what was set aside.
func (s *planeStep) closes(host topics.HostID, now int64) error {
	if s.hour != s.had {
		if err := s.tx.PutHour(host, s.hour); err != nil {
			return err
		}
	}
	for _, why := range Asides {
		if n := s.asides[why]; n > 0 {
			if err := s.tx.SetAside(host, why, n, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// weight is about how many bytes of the database an event takes.
func weight(e topics.Event) int64 {
	n := int64(200)
	switch {
	case e.Log != nil:
		for _, l := range e.Log.Lines {
			n += lineWeight(l)
		}
		if e.Log.Gap != nil {
			n += int64(len(e.Log.Gap.Reason))
		}
	case e.Report != nil:
		n += reportWeight(*e.Report)
	case e.Fired != nil, e.Finished != nil: // what a job's row takes, and what of its own it holds
		n += max(1000, int64(len(topics.Encode(e))))
	default:
		n += int64(len(topics.Encode(e)))
	}
	return n
}

// LineBytes is what a line counts as besides its text: a log of empty lines takes room, too.
const LineBytes = 64

func lineWeight(l topics.Line) int64 { return LineBytes + int64(len(l.Text)) }

func reportWeight(r topics.Report) int64 { return int64(len(topics.Encode(r))) }

// LogFull is why lines of a log are not kept that go beyond the job's bytes.
const LogFull = "the log and the report of a job may take 64 MiB together"

// report keeps a part of what a job found out, while there is room for it.
func (s *planeStep) report(j PlaneJob, r topics.Report) error {
	switch {
	case j.State.Ended():
		return nil
	case !j.Kind.Reports():
		s.aside(AsideReport)
		return nil
	case !j.Cut && j.Bytes+reportWeight(r) <= s.bounds.Job:
		err := s.tx.AddReport(r)
		if err == nil && j.Kind == topics.FindJob {
			s.do(Changed{Job: j}) // somebody may be looking at what it has found so far
		}
		return err
	}
	s.aside(AsideCut)
	if j.Cut {
		return nil
	}
	j.Cut = true
	return s.put(j)
}

// tooLarge reports whether lines go beyond what a job may log.
func (s *planeStep) tooLarge(j PlaneJob, lines []topics.Line) bool {
	n := j.Bytes
	for _, l := range lines {
		n += lineWeight(l)
	}
	return n > s.bounds.Job
}

// fitting returns those slots that a host may have begun. What does not fit is counted.
func (s *planeStep) fitting(host topics.HostID, f topics.Fired, at int64) (fit []topics.Slot, err error) {
	for _, slot := range append([]topics.Slot{f.Slot}, f.Also...) {
		fits, err := s.tx.Fits(host, slot, f.Group, at)
		if err != nil {
			return nil, err
		}
		switch {
		case fits.Why != "":
			s.odd(fits.Why, host, f.Job, "it began a slot that its schedules do not have")
		case fits.Far && s.hour.Far >= s.bounds.Far:
			s.odd(AsideFar, host, f.Job, "it began too many slots that lie far from now")
		default:
			if fits.Far {
				s.hour.Far++
			}
			fit = append(fit, slot)
		}
	}
	return fit, nil
}

// supersede ends jobs that a host began by itself and that cannot run any more: its agent
// runs one job of a source group at a time, and no more than so many together. It
// happens where a machine was put back to a snapshot, and was not heard since. If such
// a job made a snapshot all the same, that counts when its host says so.
//
// Of a control plane that was restored from a copy, the host may have told the end before:
// it is asked, as at its hello, for as many jobs as an agent can have run.
func (s *planeStep) supersede(f topics.Fired, host topics.HostID, now int64) error {
	jobs, err := s.tx.Begun(host)
	left, recalled := len(jobs), 0
	for _, j := range jobs {
		if j.Recalled {
			recalled++
		}
	}
	for _, j := range jobs {
		if err != nil {
			break
		}
		if j.Recalled && recalled <= topics.MaxJobsAtOnce {
			left--
			continue
		}
		if s.restoring != 0 && j.Group == f.Group && recalled < topics.MaxJobsAtOnce {
			left--
			recalled++
			j.Recalled, j.CancelAsked, j.Attempts, j.NextSend = true, true, 0, 0
			err = s.put(j)
			continue
		}
		if s.elsewhere(j.ID) || j.Group != f.Group && left < topics.MaxJobsAtOnce*(1+len(s.others)) {
			continue
		}
		left--
		s.takes(j.ID, false)
		err = s.finish(j, topics.Finished{Job: j.ID, State: topics.Interrupted, Cause: topics.CauseAgentDied, Lines: j.Lines,
			Message: fmt.Sprintf("The host began job %s without a word on how this one ended.", f.Job)}, now)
	}
	return err
}
