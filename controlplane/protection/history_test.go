package protection

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
)

// A history is what happens to a source group in a year, and what its facts become. It
// knows apart from them what went wrong.
type history struct {
	t     *rapid.T
	now   time.Time
	facts Facts
	cron  string
	zone  string

	away    time.Time // since when an intermittent host is gone
	fault   bool      // something went wrong in the history that nothing has mended since
	whole   time.Time // when the newest backup ended that holds something and still exists
	lostAll bool

	forgiven bool // the plan was changed or paused when a slot had been missed, and nothing was backed up since
}

func (h *history) ms() int64 { return h.now.UnixMilli() }

func (h *history) policy() slots.Policy {
	p, err := slots.Parse(h.cron, h.zone, time.Duration(rapid.SampledFrom([]int{0, 0, 600}).Draw(h.t, "jitter"))*time.Second, "nightly")
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// backup ends at once, as what it is.
func (h *history) backup(state topics.JobState, files uint64) {
	f, begun := &h.facts, h.ms()
	h.now = h.now.Add(time.Duration(rapid.IntRange(1, 1200).Draw(h.t, "takes")) * time.Second)
	f.Last = facts.Run{State: state, EndedAt: h.ms()}
	if state == topics.Failed {
		f.Last.Cause = topics.CauseLocked
		if f.FailedSince == 0 {
			f.FailedSince = h.ms()
		}
		h.fault = true
		return
	}
	f.FailedSince = 0
	s := facts.Snapshot{ID: fmt.Sprintf("%064d", h.ms()), Begun: begun, Ended: h.ms(), Files: files, Bytes: files * 1000, State: state}
	f.Snapshots++
	f.Newest = s
	if files > 0 {
		f.Whole, h.whole, h.lostAll, h.forgiven = s, h.now, false, false
		if state == topics.Succeeded {
			f.Good = s
		}
		f.MeasureFiles, f.MeasureBytes = 100, 100_000
	}
	h.fault = state != topics.Succeeded || files < 50 || f.Group.Lost > 0
}

// lose has snapshots vanish: all, or an old one.
func (h *history) lose(all bool) {
	f := &h.facts
	if f.Snapshots == 0 {
		return
	}
	h.fault = true
	if f.LostAt == 0 {
		f.LostAt = h.ms()
	}
	if all || f.Snapshots == 1 {
		f.Group.Lost, f.LostUnacknowledged, f.Snapshots = f.Group.Lost+f.Snapshots, f.LostUnacknowledged+f.Snapshots, 0
		f.Newest, f.Whole, f.Good, h.lostAll, h.whole = facts.Snapshot{}, facts.Snapshot{}, facts.Snapshot{}, true, time.Time{}
		return
	}
	f.Group.Lost, f.LostUnacknowledged, f.Snapshots = f.Group.Lost+1, f.LostUnacknowledged+1, f.Snapshots-1
}

// pass has time go by; where all is well, each slot is served within its grace.
func (h *history) pass(d time.Duration, well bool) {
	end := h.now.Add(d)
	f := &h.facts
	for well && len(f.Plans) > 0 && f.Plans[0].Enabled && !f.Host.Offline {
		p := f.Plans[0].Policy
		next := p.Start(slots.Next(p, h.now.Add(-p.Start(time.Time{}).Sub(time.Time{}))))
		if next.After(end) {
			break
		}
		h.now = next
		h.backup(topics.Succeeded, 100)
	}
	if h.now.Before(end) {
		h.now = end
	}
}

// missed counts the slots that counted and have begun, with their grace over,
// since the newest backup that holds something began.
func (h *history) missed() (n int) {
	f := h.facts
	if len(f.Plans) == 0 || !f.Plans[0].Enabled {
		return 0
	}
	p := f.Plans[0]
	grace := time.Hour + time.Duration(f.UsualSeconds)*time.Second
	offset := p.Policy.Start(time.Time{}).Sub(time.Time{}).Milliseconds() // a run serves what begins after it, not what is due
	from := max(f.CreatedAt, p.Since, f.Whole.Begun-offset)
	for s := slots.Next(p.Policy, time.UnixMilli(from)); n < 5 && !p.Policy.Start(s).Add(grace).After(h.now); s = slots.Next(p.Policy, s) {
		begun := p.Policy.Start(s).UnixMilli()
		if begun > f.Whole.Begun && (!f.Host.Intermittent || begun > f.Host.AwayUntil && !f.Host.Offline) {
			n++
		}
	}
	return n
}

var crons = []string{"*/10 * * * *", "30 2 * * *", "0 1,13 * * *", "0 3 * * 0", "30 2 1 * *"}

// TestAYearOfAnyHistory: no group is green whose newest snapshot that holds something is
// older than was promised, or whose snapshots are gone; and none is red without a fault.
func TestAYearOfAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 365*24*60).Draw(t, "begin")) * time.Minute)
		h := &history{t: t, now: begin,
			cron: rapid.SampledFrom(crons).Draw(t, "cron"),
			zone: rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
				"Pacific/Apia"}).Draw(t, "zone")}
		h.facts = Facts{CreatedAt: h.ms(), Timing: DefaultTiming(), Repository: Repository{Health: health.Healthy}}
		h.facts.Host.Intermittent = rapid.Bool().Draw(t, "comes and goes")
		f := &h.facts
		span := func() time.Duration {
			return time.Duration(rapid.IntRange(1, 60*24*12).Draw(t, "minutes")) * time.Minute
		}
		limit := 2 * day
		if f.Host.Intermittent {
			limit = 7 * day
		}
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			if h.now.Sub(begin) > 366*day {
				break
			}
			switch rapid.SampledFrom([]string{"well", "well", "well", "silence", "schedule", "unschedule", "pause", "resume", "change",
				"manual", "fails", "empty", "incomplete", "fewer", "lose all", "lose one", "acknowledge", "sleep", "wake"}).Draw(t, "step") {
			case "well":
				h.pass(span(), true)
			case "silence":
				h.pass(span(), false)
			case "schedule":
				h.forgiven = !h.whole.IsZero() && h.now.Sub(h.whole) > limit
				f.Plans = []Plan{{ID: "nightly-0001", Name: "nightly", Policy: h.policy(), Enabled: true, Made: h.ms(), Since: h.ms()}}
			case "unschedule":
				f.Plans, h.forgiven = nil, false
			case "change":
				if len(f.Plans) > 0 && f.Plans[0].Enabled {
					h.forgiven = h.forgiven || h.missed() > 0
					was := f.Plans[0]
					h.cron = rapid.SampledFrom(crons).Draw(t, "changed cron")
					f.Plans = []Plan{{ID: was.ID, Name: was.Name, Policy: h.policy(), Enabled: true, Made: was.Made, Since: h.ms(),
						Earlier: append(slices.Clone(was.Earlier), Earlier{Policy: was.Policy, Since: was.Since, Until: h.ms()})}}
				}
			case "pause":
				if len(f.Plans) > 0 && f.Plans[0].Enabled {
					h.forgiven = h.forgiven || h.missed() > 0
					f.Plans = []Plan{f.Plans[0]}
					f.Plans[0].Enabled, f.Plans[0].PausedAt = false, h.ms()
				}
			case "resume":
				if len(f.Plans) > 0 && !f.Plans[0].Enabled {
					p := f.Plans[0]
					p.Earlier = append(slices.Clone(p.Earlier), Earlier{Policy: p.Policy, Since: p.Since, Until: p.PausedAt},
						Earlier{Policy: p.Policy, Since: p.PausedAt, Until: h.ms(), Paused: true})
					p.Enabled, p.PausedFrom, p.PausedAt, p.Since = true, p.PausedAt, 0, h.ms()
					f.Plans = []Plan{p}
				}
			case "manual":
				if !f.Host.Offline {
					h.backup(topics.Succeeded, 100)
				}
			case "fails":
				h.backup(topics.Failed, 0)
			case "empty":
				h.backup(topics.Warnings, 0)
			case "incomplete":
				h.backup(topics.Warnings, 90)
			case "fewer":
				h.backup(topics.Succeeded, uint64(rapid.IntRange(1, 49).Draw(t, "files")))
			case "lose all":
				h.lose(true)
			case "lose one":
				h.lose(false)
			case "acknowledge":
				if f.LostUnacknowledged > 0 {
					f.LostUnacknowledged, f.AcknowledgedAt, f.LostAt = 0, h.ms(), h.ms()
				}
			case "sleep":
				if f.Host.Intermittent && !f.Host.Offline {
					f.Host.Offline, f.Host.SeenAt, h.away = true, h.ms(), h.now
				}
			case "wake":
				if f.Host.Offline {
					f.Host.Offline, f.Host.AwayUntil = false, h.ms()
				}
			}
			h.judged(limit)
		}
	})
}

// judged compares the verdict with what happened.
func (h *history) judged(limit time.Duration) {
	f := h.facts
	v := Judge(f, h.now)
	tidy(h.t, v)
	missed := h.missed()
	age := h.now.Sub(h.whole)
	switch v.Status {
	case Protected:
		switch {
		case f.Snapshots == 0 || f.Good.ID == "" || h.lostAll || f.LostUnacknowledged > 0:
			h.t.Fatalf("green, and nothing can be restored: %+v", v)
		case missed > 0:
			h.t.Fatalf("green, and %d slots were missed", missed)
		case h.forgiven && !h.whole.IsZero() && age > limit:
			h.t.Fatalf("green, and the newest backup is %s old: what was missed was forgotten", age)
		case len(f.Plans) == 0:
			h.t.Fatal("green, and nothing is promised")
		case f.Last.State != topics.Succeeded || f.Newest.Files < 50:
			h.t.Fatalf("green, and the last backup ended so: %+v", f.Last)
		}
	case Running, Asleep, Unscheduled:
		if f.Snapshots == 0 || h.lostAll || age > limit && (v.Status == Unscheduled || f.Host.Offline && h.sleptThroughOne()) {
			h.t.Fatalf("%s, and the newest backup is %s old, %d snapshots", v.Status, age, f.Snapshots)
		}
	case Lost, Failed, Empty, Warning:
		if !h.fault {
			h.t.Fatalf("%s without a fault: %s", v.Status, v.Reason)
		}
	case Late:
		if missed == 0 {
			h.t.Fatalf("late, and no slot was missed: %s", v.Reason)
		}
	case Overdue:
		old := h.whole.IsZero() && h.now.UnixMilli()-f.CreatedAt > limit.Milliseconds() || !h.whole.IsZero() && age >= limit
		if missed < 3 && !old {
			h.t.Fatalf("overdue, and %d slots were missed, the newest backup is %s old: %s", missed, age, v.Reason)
		}
	case NoBackupYet:
		if f.Snapshots > 0 || missed > 0 || f.Group.Lost > 0 {
			h.t.Fatalf("no backup yet, and there are %d snapshots, %d slots were missed", f.Snapshots, missed)
		}
	case Paused:
		if len(f.Plans) == 0 || f.Plans[0].Enabled {
			h.t.Fatal("paused, and no schedule is")
		}
	default:
		h.t.Fatalf("it is %s", v.Status)
	}
	// It lasts to the very moment it names, and time alone makes nothing better.
	for range 6 {
		if v.Until == 0 {
			if last := Judge(f, h.now.AddDate(5, 0, 0)); last != v {
				h.t.Fatalf("for ever %+v, and five years later %+v", v, last)
			}
			return
		}
		if v.Until <= h.ms() {
			h.t.Fatalf("the next change is in the past: %+v", v)
		}
		if last := Judge(f, time.UnixMilli(v.Until-1)); last != v {
			h.t.Fatalf("%+v just before its end is %+v", v, last)
		}
		next := Judge(f, time.UnixMilli(v.Until))
		if next.Status.Rank() > v.Status.Rank() {
			h.t.Fatalf("%s became %s by time alone", v.Status, next.Status)
		}
		v = next
	}
	h.t.Fatal("it changes for ever")
}

// sleptThroughOne reports whether a slot and its grace have passed since the newest
// backup.
func (h *history) sleptThroughOne() bool {
	f := h.facts
	if len(f.Plans) == 0 || !f.Plans[0].Enabled {
		return false
	}
	p := f.Plans[0]
	s := p.Policy.Start(slots.Next(p.Policy, time.UnixMilli(max(f.Whole.Begun, p.Since))))
	return !s.Add(time.Hour).After(h.now)
}
