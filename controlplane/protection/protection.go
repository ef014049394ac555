package protection

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/pauses"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Timing holds what is promised where nobody said otherwise.
type Timing struct {
	Grace        time.Duration // what a backup may take beyond its usual duration before its slot counts as missed
	Usual        time.Duration // more than this is not believed to be usual: a clock was set, or a host slept meanwhile
	Slots        int           // so many missed in a row are overdue
	Limit        time.Duration // a good backup may be so old where no slot counts
	Intermittent time.Duration // the same of hosts that come and go
	Collapsed    uint64        // percent of the usual files or bytes, below which a snapshot is as good as empty
	Few          uint64        // percent of the usual files, below which a person should look
}

const day = 24 * time.Hour

// DefaultTiming is an hour, three slots, two days, seven days, 2 % and a half.
func DefaultTiming() Timing {
	return Timing{Grace: slots.Grace, Usual: 7 * day, Slots: 3, Limit: 2 * day, Intermittent: 7 * day, Collapsed: 2, Few: 50}
}

// Shrunk says how far less a snapshot holds than what was before it: CauseEmpty,
// CauseCollapsed, CauseFewFiles, or "" if it does not. A measure of 0 is not known.
func (t Timing) Shrunk(files, bytes, wereFiles, wereBytes uint64) string {
	switch {
	case files == 0 && wereFiles > 0:
		return CauseEmpty
	case less(files, wereFiles, t.Collapsed) || less(bytes, wereBytes, t.Collapsed):
		return CauseCollapsed
	case less(files, wereFiles, t.Few):
		return CauseFewFiles
	}
	return ""
}

// less reports whether a part is less than so many percent of a whole that is known.
func less(part, whole, percent uint64) bool { return whole > 0 && part*100 < whole*percent }

// A Plan is a schedule that names the group.
type Plan struct {
	ID       topics.ScheduleID
	Name     string
	Policy   slots.Policy
	Enabled  bool
	Made     int64 // when it was made, or the group came to it; 0 is not known
	Since    int64 // slots up to this moment do not count: when it was made, changed or enabled
	PausedAt int64 // since when it is switched off; 0 if it is not, or not known

	PausedFrom int64 // when the pause began that ended with Since; 0 if none did
	Owed       int64 // the last slot that began before a change of plan that left no Earlier; 0 if none did

	Earlier []Earlier // what was promised before Since, the oldest first
}

// An Earlier is what a schedule promised until its plan was changed, or would have
// promised while it was paused: slots after Since that began until Until.
type Earlier struct {
	Policy       slots.Policy
	Since, Until int64
	Paused       bool
}

// Facts determine the verdict of a source group, together with the moment. Moments are
// in Unix milliseconds of the control plane's clock, 0 is none.
type Facts struct {
	facts.Group
	Name       string
	CreatedAt  int64
	AllowEmpty bool // its source may be empty
	Plans      []Plan

	ServedBy       topics.ScheduleID // the schedule for which the newest snapshot was made that holds something, "" for none
	ServedSlot     int64             // its slot
	ReplacedAt     int64             // since when another machine is the host and nobody has decided of this group; 0 is not so
	AcknowledgedAt int64             // when an administrator last acknowledged that snapshots are gone

	RunningSince int64  // when the backup that is at work began
	Waiting      bool   // a backup waits for its host
	FailedWords  string // why the last backup failed, as a sentence without a full stop; "" if it did not
	Elsewhere    int    // snapshots of the group in repositories it was backed up to before
	ElsewhereAt  int64  // when the last of these backups ended

	Repository Repository
	Host       Host
	Timing     Timing
}

// Repository is what counts of the repository the group is backed up to.
type Repository struct {
	Health health.Word
	Since  int64
}

// Host is what counts of the host for each of its groups.
type Host struct {
	Intermittent bool // it comes and goes, as laptops do
	OverdueDays  int  // the limit in days; 0 is the default
	Offline      bool // its agent is known to be gone
	Unknown      bool // nobody knows yet whether it is connected
	SeenAt       int64
	AwayUntil    int64 // when it last came back from having been offline
	Keeper       bool  // it looks after repositories
	RetiredAt    int64 // since when it is out of use; 0 is not
	TwinsSince   int64 // since when two machines use its identity; 0 is that one does
	DiskFull     bool  // its agent has no room for its journal, and begins nothing
	DiskLow      bool  // that will be so before long
	DiskSince    int64 // since when either is so

	// Pauses are when its schedules were and are paused: slots that would begin then are not
	// promised, and limits in days do not run down.
	Pauses pauses.List
}

// paused is what a pause makes of a group; false is nothing.
func (h Host) paused(now int64) (Verdict, bool) {
	p, paused := h.Pauses.At(now)
	if !paused {
		return Verdict{}, false
	}
	return Verdict{Status: Paused, Cause: CauseHostPaused, Since: p.From, Reason: PausedWords(p)}, true
}

// PausedWords says who paused a host, and until when in UTC: the one reason with a moment in
// it, since whoever paused knows it by that.
func PausedWords(p pauses.Pause) string {
	return "Paused by " + p.By + " until " + words.Stamp(context.Background(), time.UnixMilli(p.Until)) + " UTC."
}

// A Verdict is what is to be said of a group, or a host, at a moment.
type Verdict struct {
	Status     Status
	Reason     string // one sentence or two for people, without moments in them but for a pause's end
	Cause      string // a stable key, by which lists group what has the same cure
	Since      int64  // when it became so, 0 if not known
	Until      int64  // when time alone may make it another verdict, 0 for never
	PromisedBy string // what was promised: "schedule nightly", "limit of 2 days", "" for nothing

	// Good is the newest backup that can be restored whole, its zero value if there is
	// none. What is said to be restorable, and the last good backup, are of this one.
	Good facts.Snapshot
}

// worse reports whether a is to be said rather than b.
func worse(a, b Verdict) bool {
	return cmp.Or(cmp.Compare(a.Status.Rank(), b.Status.Rank()), cmp.Compare(since(a), since(b))) < 0
}

// since has what began at an unknown moment come last.
func since(v Verdict) int64 {
	if v.Since == 0 {
		return 1<<63 - 1
	}
	return v.Since
}

// Judge says how well a source group is protected at a moment: the worst of [All].
func Judge(f Facts, now time.Time) Verdict {
	j := judgement(f, now)
	return j.finished(j.worst)
}

// All returns everything that is to be said of a source group at a moment, the worst first:
// Protected alone if nothing else is. Every verdict has the same Until.
func All(f Facts, now time.Time) []Verdict {
	j := judgement(f, now)
	slices.SortStableFunc(j.said, func(a, b Verdict) int {
		switch {
		case worse(a, b):
			return -1
		case worse(b, a):
			return 1
		}
		return 0
	})
	if n := len(j.said); n > 1 && j.said[n-1].Status == Protected {
		j.said = j.said[:n-1]
	}
	for i, v := range j.said {
		j.said[i] = j.finished(v)
	}
	return j.said
}

// judgement finds all that is to be said.
func judgement(f Facts, now time.Time) *judge {
	if f.Timing == (Timing{}) {
		f.Timing = DefaultTiming()
	}
	if f.Host.RetiredAt > 0 {
		j := &judge{Facts: f}
		j.say(f.Host.retired())
		return j
	}
	f, until := f.believed(now.UnixMilli())
	j := &judge{Facts: f, now: now.UnixMilli(), served: f.Whole, until: until, skips: f.Host.Pauses.Spans()}
	if f.Good.Begun > f.Whole.Begun { // an empty one, where that is allowed
		j.served = f.Good
	}
	for _, p := range f.Plans {
		if p.Enabled {
			j.plans = append(j.plans, p)
		}
	}
	j.say(Verdict{Status: Protected, Since: f.Good.Ended, Reason: "The newest good backup is as new as was promised."})
	j.repository()
	j.lost()
	j.failed()
	j.content()
	j.promise()
	j.quiet()
	return j
}

// finished is a verdict with what all of a group have alike.
func (j *judge) finished(v Verdict) Verdict {
	if v.Until = j.until; v.Status != Retired {
		v.PromisedBy = j.promised()
	}
	if v.Good = j.Good; j.gone() {
		v.Good = facts.Snapshot{}
	}
	return v
}

// believed has the facts without moments that lie further ahead than a clock may be set
// back: they were written by a clock that was wrong, and nothing is new because of them.
// until is when the first of them is near enough to be believed, 0 if none was left out.
func (f Facts) believed(now int64) (_ Facts, until int64) {
	far := now + facts.FarAhead
	f.Plans = slices.Clone(f.Plans)
	moments := []*int64{&f.CreatedAt, &f.ServedSlot, &f.ElsewhereAt}
	for _, s := range []*facts.Snapshot{&f.Newest, &f.Whole, &f.Good} {
		moments = append(moments, &s.Begun, &s.Ended)
	}
	for i := range f.Plans {
		moments = append(moments, &f.Plans[i].Made, &f.Plans[i].Since, &f.Plans[i].Owed)
		f.Plans[i].Earlier = slices.Clone(f.Plans[i].Earlier)
		for k := range f.Plans[i].Earlier {
			moments = append(moments, &f.Plans[i].Earlier[k].Since, &f.Plans[i].Earlier[k].Until)
		}
	}
	for _, at := range moments {
		if *at <= far {
			continue
		}
		if near := *at - facts.FarAhead; until == 0 || near < until {
			until = near
		}
		*at = 0
	}
	return f, until
}

// judge is a verdict in the making.
type judge struct {
	Facts
	now    int64
	served facts.Snapshot // the newest that holds what was promised, complete or not
	plans  []Plan         // those that are enabled
	skips  []slots.Span   // when the host was and is paused
	worst  Verdict
	said   []Verdict
	until  int64
}

// say keeps a verdict, and notes whether it is the worst so far.
func (j *judge) say(v Verdict) {
	j.said = append(j.said, v)
	if j.worst.Status == "" || worse(v, j.worst) {
		j.worst = v
	}
}

// at reports whether a moment has come; if not, the verdict is good until then at most.
func (j *judge) at(moment int64) bool {
	if moment <= j.now {
		return true
	}
	if j.until == 0 || moment < j.until {
		j.until = moment
	}
	return false
}

// gone reports whether nothing can be restored from the repository at all.
func (f Facts) gone() bool {
	return f.Repository.Health == health.Missing || f.Repository.Health == health.Unreadable
}

// repository says what the repository's health does to its snapshots.
func (j *judge) repository() {
	held := count(j.Snapshots, "snapshot", "snapshots")
	switch since := j.Facts.Repository.Since; j.Facts.Repository.Health {
	case health.Missing:
		if j.Snapshots+j.Group.Lost > 0 {
			j.say(Verdict{Status: Lost, Cause: CauseMissing, Since: since,
				Reason: "The repository is not there any more, and " + held + " of this group with it."})
		}
	case health.Unreadable:
		if j.Snapshots+j.Group.Lost > 0 {
			j.say(Verdict{Status: Lost, Cause: CauseUnreadable, Since: since,
				Reason: "The password no longer opens the repository: " + held + " of this group cannot be restored."})
		}
	case health.Damaged:
		j.say(Verdict{Status: Failed, Cause: CauseDamaged, Since: since,
			Reason: "The repository is damaged: what was backed up may not come back whole."})
	}
}

// lost says that snapshots vanished. Once an administrator has acknowledged which, it
// is a warning until a good backup was made after that.
func (j *judge) lost() {
	n := j.Group.Lost
	if n == 0 {
		return
	}
	v := Verdict{Status: Lost, Cause: CauseSnapshotsGone, Since: j.LostAt}
	switch {
	case j.served.ID == "":
		v.Reason = were(n) + " gone that no job of ours removed, and nothing is left that holds files."
	case j.LostUnacknowledged > 0:
		v.Reason = were(j.LostUnacknowledged) + " gone that no job of ours removed; " + left(j.Snapshots) + "."
	case j.AcknowledgedAt > 0 && j.Good.Begun <= j.AcknowledgedAt:
		v.Status, v.Cause, v.Since = Warning, CauseAcknowledged, j.AcknowledgedAt
		v.Reason = were(n) + " gone, which an administrator has acknowledged; " + left(j.Snapshots) +
			", and no good backup was made since."
	default:
		return
	}
	j.say(v)
}

func were(n int) string {
	if n == 1 {
		return "1 snapshot of this group is"
	}
	return fmt.Sprintf("%d snapshots of this group are", n)
}

func left(n int) string {
	if n == 1 {
		return "1 is left"
	}
	return fmt.Sprintf("%d are left", n)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// failed says that the last backup made no snapshot. A running job does not hide it.
func (j *judge) failed() {
	verb := ""
	switch j.Last.State {
	case topics.Failed:
		verb = "failed"
	case topics.Interrupted:
		verb = "was interrupted"
	case topics.Abandoned:
		verb = "was given up"
	default:
		return
	}
	if j.served.ID != "" && (j.served.Begun >= j.Last.EndedAt || j.served.Job == j.Last.Job && j.Last.Job != "") {
		return
	}
	v := Verdict{Status: Failed, Cause: string(j.Last.Cause), Since: j.FailedSince, Reason: "The last backup " + verb}
	if v.Cause == "" {
		v.Cause = string(topics.CauseUnknown)
	}
	if v.Since == 0 {
		v.Since = j.Last.EndedAt
	}
	if j.FailedWords != "" {
		v.Reason += ": " + strings.ToLower(j.FailedWords[:1]) + j.FailedWords[1:]
	}
	v.Reason += "."
	j.say(v)
}

// content says what the newest snapshot lacks.
func (j *judge) content() {
	n := j.Newest
	if j.Last.State == topics.Warnings && (n.ID == "" || n.Job != j.Last.Job && n.Ended < j.Last.EndedAt) {
		j.say(Verdict{Status: Warning, Cause: string(cmp.Or(j.Last.Cause, CauseIncomplete)), Since: j.Last.EndedAt,
			Reason: "The last backup ended with warnings, and no snapshot of it is there."})
	}
	if n.ID == "" {
		return
	}
	files := fmt.Sprintf("%d files, where %d were usual", n.Files, j.MeasureFiles)
	switch cause := j.Timing.Shrunk(n.Files, n.Bytes, j.MeasureFiles, j.MeasureBytes); {
	case j.AllowEmpty: // it comes and goes
	case n.Unsized: // somebody took it in, and nobody knows
	case n.Files == 0:
		j.say(Verdict{Status: Empty, Cause: CauseEmpty, Since: n.Ended, Reason: "The newest snapshot holds no file."})
	case cause == CauseCollapsed && less(n.Files, j.MeasureFiles, j.Timing.Collapsed):
		j.say(Verdict{Status: Empty, Cause: CauseCollapsed, Since: n.Ended, Reason: "The newest snapshot holds next to nothing: " + files + "."})
	case cause == CauseCollapsed:
		j.say(Verdict{Status: Empty, Cause: CauseCollapsed, Since: n.Ended, Reason: fmt.Sprintf(
			"The newest snapshot holds next to nothing: %d bytes, where %d were usual.", n.Bytes, j.MeasureBytes)})
	case cause == CauseFewFiles:
		j.say(Verdict{Status: Warning, Cause: CauseFewFiles, Since: n.Ended, Reason: "The newest snapshot holds far fewer files than usual: " +
			files + "."})
	}
	if n.State == topics.Warnings || j.Good.ID == "" {
		v := Verdict{Status: Warning, Cause: CauseIncomplete, Since: n.Ended, Reason: "The newest snapshot is incomplete"}
		if j.Last.State == topics.Warnings && j.Last.Cause != "" {
			v.Cause = string(j.Last.Cause)
		}
		if v.Cause == CauseEmpty && n.Files > 0 {
			v.Cause = CausePartEmpty
			v.Reason += ": nothing was saved of a source that held files before"
		} else if j.FailedWords != "" && j.Last.State == topics.Warnings {
			v.Reason += ": " + strings.ToLower(j.FailedWords[:1]) + j.FailedWords[1:]
		}
		v.Reason += "."
		j.say(v)
	}
}

// limit is how old the last good backup may be where no slot counts.
func (j *judge) limit() int64 {
	switch {
	case j.Host.OverdueDays > 0:
		return (time.Duration(j.Host.OverdueDays) * day).Milliseconds()
	case j.Host.Intermittent:
		return j.Timing.Intermittent.Milliseconds()
	}
	return j.Timing.Limit.Milliseconds()
}

// over is when the limit is over that counts from a moment, and that a schedule would have
// kept: it does not run down while the host is paused.
func (j *judge) over(base int64) int64 { return j.Host.Pauses.Later(base, j.limit()) }

// promise says what was promised and not kept.
func (j *judge) promise() {
	for _, p := range j.plans {
		j.slots(p)
	}
	j.madeTooLate()
	j.replaced()
	if len(j.Plans) > 0 || j.served.ID == "" {
		return // slots are promised; or nothing was ever saved, and nothing promised
	}
	if over := j.served.Ended + j.limit(); j.at(over) {
		j.say(Verdict{Status: Overdue, Cause: CauseOverLimit, Since: over,
			Reason: "There is no good backup within the limit of " + j.days() + ", and no schedule that would make one."})
		return
	}
	j.say(Verdict{Status: Unscheduled, Cause: CauseNoSchedule, Since: j.served.Ended,
		Reason: "The last backup is within the limit of " + j.days() + ", but no schedule will make the next one."})
}

// ReplacedOpen is how long the replacement of a machine may wait for its decision before
// people are told that it does.
const ReplacedOpen = 14 * day

// replaced says that nothing is backed up because another machine is the host and nobody has
// decided what becomes of the old one's files. A pause that was not meant hides no limit.
func (j *judge) replaced() {
	if j.ReplacedAt == 0 {
		return
	}
	v := Verdict{Status: Paused, Cause: CauseReplaced, Since: j.ReplacedAt,
		Reason: "Its machine was replaced: backups are paused until somebody says that its files are restored, or to start without them."}
	if j.at(j.ReplacedAt + ReplacedOpen.Milliseconds()) {
		v.Reason += " That has been open for more than 14 days."
	}
	if j.served.ID != "" {
		if over := j.served.Ended + j.limit(); j.at(over) {
			v.Status, v.Since = Overdue, over
			v.Reason = "There is no good backup within the limit of " + j.days() + ". " + v.Reason
		}
	}
	j.say(v)
}

// madeTooLate says that the last good backup was over the limit before there was any
// schedule: a new one is no backup yet.
func (j *judge) madeTooLate() {
	if len(j.plans) == 0 || j.served.ID == "" {
		return
	}
	over := j.served.Ended + j.limit()
	for _, p := range j.Plans {
		if p.Made <= over {
			return
		}
	}
	j.say(Verdict{Status: Overdue, Cause: CauseOverLimit, Since: over,
		Reason: "There is no good backup within the limit of " + j.days() + ", and its schedule is newer than that and has made none yet."})
}

// slots says which of a schedule's slots passed without a good backup.
func (j *judge) slots(p Plan) {
	offset := p.Policy.Start(time.Time{}).Sub(time.Time{}).Milliseconds()
	start := func(slot int64) int64 { return slot + offset }
	next := func(after int64) int64 {
		t := slots.NextBut(p.Policy, time.UnixMilli(after), j.skips)
		if t.IsZero() {
			return 1 << 60
		}
		return t.UnixMilli()
	}
	grace := j.Timing.Grace.Milliseconds() + min(j.UsualSeconds*1000, j.Timing.Usual.Milliseconds())
	served := max(j.CreatedAt, j.ElsewhereAt)
	if j.served.ID != "" {
		served = j.serves(p, offset)
	}
	first := next(max(served, p.Since)) // not served, whether or not it counts
	if j.Host.Intermittent && (j.Host.Offline || j.Host.Unknown || start(first) <= j.Host.AwayUntil) {
		j.excused(p, start(first)+grace, "the host was asleep when its slots began")
	}
	if p.PausedFrom > 0 { // what was missed before the pause is not made good by it
		from := served
		if j.served.ID == "" {
			from = max(served, p.PausedFrom)
		}
		if skipped := next(from); skipped <= p.Since {
			j.excused(p, start(skipped)+grace, "the schedule was paused when its slots began")
		}
	}
	if max(served, j.served.Begun) < p.Owed && j.served.ID != "" {
		j.excused(p, start(p.Owed)+grace, "the schedule was changed after its slots had begun")
	}
	j.earlier(p, grace)
	if j.Host.Intermittent {
		if j.Host.Offline || j.Host.Unknown {
			return
		}
		first = max(first, next(max(served, p.Since, j.Host.AwayUntil-offset)))
	}
	late, over := start(first)+grace, j.over(start(first))
	limited := over
	busy := j.served.ID == "" && j.RunningSince > 0 && j.RunningSince <= start(first)+grace // with the first backup of all
	if !busy {
		last := first
		for range j.Timing.Slots - 1 {
			last = next(last)
		}
		over = min(over, start(last)+grace)
	}
	over = max(over, late)
	switch {
	case j.at(over):
		v := Verdict{Status: Overdue, Since: over, Cause: j.whyMissed(), Reason: fmt.Sprintf(
			"%s in a row of the schedule %q have passed without a good backup", count(j.Timing.Slots, "slot", "slots"), p.Name)}
		if over == limited {
			v.Reason = fmt.Sprintf("The schedule %q has made no good backup for longer than the limit of %s", p.Name, j.days())
		}
		v.Reason += j.excuse() + "."
		j.say(v)
	case !busy && j.at(late):
		j.say(Verdict{Status: Late, Since: late, Cause: j.whyMissed(), Reason: fmt.Sprintf(
			"A slot of the schedule %q has passed without a good backup%s.", p.Name, j.excuse())})
	}
}

// earlier says that a slot was missed before the schedule's plan was changed, or would
// have been while it was paused: a change makes nothing good.
func (j *judge) earlier(p Plan, grace int64) {
	if j.served.ID == "" {
		return
	}
	for _, e := range p.Earlier {
		offset := e.Policy.Start(time.Time{}).Sub(time.Time{}).Milliseconds()
		from := max(j.serves(p, offset), e.Since, p.Made)
		if from >= e.Until {
			continue
		}
		slot := slots.NextBut(e.Policy, time.UnixMilli(from), j.skips)
		if slot.IsZero() || slot.UnixMilli()+offset > e.Until {
			continue
		}
		why := "the schedule was changed after its slots had begun"
		if e.Paused {
			why = "the schedule was paused when its slots began"
		}
		j.excused(p, slot.UnixMilli()+offset+grace, why)
		return
	}
}

// serves is the moment up to which slots of a schedule are served by the newest
// snapshot.
func (j *judge) serves(p Plan, offset int64) int64 {
	switch s := j.served; j.ServedBy {
	case p.ID:
		return max(s.Begun-offset, j.ServedSlot) // its host's clock may be ahead of ours
	case "":
		return s.Begun - offset
	default:
		return max(s.Begun, s.Ended) - offset // a run for another schedule is for slots that begin while it goes on, too
	}
}

// excused says that slots did not count for longer than the limit. It counts from the
// last good backup, and begins with the first of them at the earliest.
func (j *judge) excused(p Plan, first int64, why string) {
	base := max(j.CreatedAt, p.Since)
	if j.served.ID != "" {
		base = j.served.Ended
	}
	if over := max(j.over(base), first); j.at(over) {
		j.say(Verdict{Status: Overdue, Since: over, Cause: CauseOverLimit,
			Reason: "There is no good backup within the limit of " + j.days() + "; " + why + "."})
	}
}

// whyMissed is the cause of slots that were missed.
func (j *judge) whyMissed() string {
	switch {
	case j.Host.Offline:
		return CauseOffline
	case j.Host.DiskFull:
		return CauseDiskFull
	}
	return CauseMissedSlots
}

// excuse is what goes on meanwhile.
func (j *judge) excuse() string {
	switch {
	case j.RunningSince > 0:
		return "; one is running now"
	case j.Host.Offline:
		return "; the host is offline"
	case j.Host.DiskFull:
		return "; there is no space left on the host's disk"
	case j.Waiting:
		return "; one waits to run"
	}
	return ""
}

// quiet says what is no trouble, and not yet protection either.
func (j *judge) quiet() {
	if j.RunningSince > 0 {
		j.say(Verdict{Status: Running, Cause: CauseRunning, Since: j.RunningSince, Reason: "A backup is running."})
	}
	if len(j.Plans) > 0 && len(j.plans) == 0 && j.ReplacedAt == 0 {
		var at int64
		for _, p := range j.Plans {
			at = max(at, p.PausedAt)
		}
		j.say(Verdict{Status: Paused, Cause: CausePaused, Since: at, Reason: "All schedules of this group are switched off."})
	}
	if v, paused := j.Host.paused(j.now); paused {
		pause, _ := j.Host.Pauses.At(j.now)
		j.at(pause.Until)
		j.say(v)
	}
	if j.Host.Intermittent && j.Host.Offline {
		j.say(Verdict{Status: Asleep, Cause: CauseAsleep, Since: j.Host.SeenAt,
			Reason: "The host comes and goes, and is offline; its last good backup is within the limit of " + j.days() + "."})
	}
	if j.served.ID != "" || j.RunningSince > 0 {
		return
	}
	v := Verdict{Status: NoBackupYet, Cause: CauseNever, Since: j.CreatedAt, Reason: "Nothing of this group was backed up yet."}
	if j.Elsewhere > 0 {
		v.Reason = "Nothing of this group was backed up to this repository yet; " + count(j.Elsewhere, "snapshot is", "snapshots are") +
			" in the repository it used before."
	}
	j.say(v)
}

// days is the limit in words.
func (j *judge) days() string { return count(int(j.limit()/day.Milliseconds()), "day", "days") }

// promised is what was promised, in words.
func (j *judge) promised() string {
	var names []string
	for _, p := range j.plans {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	switch {
	case len(names) == 1:
		return "schedule " + names[0]
	case len(names) > 1:
		return "schedules " + strings.Join(names, ", ")
	case len(j.Plans) > 0:
		return "" // somebody switched them off
	}
	return "limit of " + j.days()
}

// retired is the verdict of a host that is out of use, and of its groups.
func (h Host) retired() Verdict {
	return Verdict{Status: Retired, Cause: CauseRetired, Since: h.RetiredAt,
		Reason: "The host is retired: its snapshots are kept, and nothing is expected of it."}
}

// disk is what the host's own disk makes of its verdict; false is nothing.
func (h Host) disk() (Verdict, bool) {
	switch {
	case h.DiskFull:
		return Verdict{Status: Warning, Cause: CauseDiskFull, Since: h.DiskSince, Reason: "There is no space left on the disk of the " +
			"agent's state: no job begins there until there is room."}, true
	case h.DiskLow:
		return Verdict{Status: Warning, Cause: CauseDiskLow, Since: h.DiskSince, Reason: "The disk of the agent's state is almost full: " +
			"no job will begin there without room."}, true
	}
	return Verdict{}, false
}

// OfHost is the verdict of a host: the worst of its groups', or its own disk's if that is
// worse. names are the groups', in the same order.
func OfHost(h Host, groups []Verdict, names []string) Verdict {
	if h.RetiredAt > 0 {
		return h.retired()
	}
	v := h.worst(groups, names)
	if h.TwinsSince == 0 {
		if d, wrong := h.disk(); wrong && (worse(d, v) || v.Status == d.Status && h.DiskFull) {
			d.Until, d.PromisedBy, d.Good = v.Until, v.PromisedBy, v.Good
			return d
		}
		return v
	}
	if v.Cause = CauseTwins; v.Status.Rank() > Warning.Rank() {
		v.Status, v.Since, v.Reason = Warning, h.TwinsSince, ""
	}
	v.Reason = strings.TrimSpace("Two machines use this host's identity at once, and nothing is sent to either. " + v.Reason)
	return v
}

// worst is the worst verdict of the host's groups, and what is said where it has none.
func (h Host) worst(groups []Verdict, names []string) Verdict {
	switch {
	case len(groups) == 0 && h.Keeper:
		return Verdict{Status: Keeper, Cause: CauseKeeper, Reason: "It looks after repositories, and has nothing of its own to back up."}
	case len(groups) == 0:
		return Verdict{Status: NoBackupYet, Cause: CauseNoGroups, Reason: "Nothing on this host is backed up: it has no source group."}
	}
	at := 0
	for i, v := range groups {
		if worse(v, groups[at]) {
			at = i
		}
	}
	v := groups[at]
	if len(groups) > 1 {
		v.Reason = "Group " + names[at] + ": " + v.Reason
	}
	for _, g := range groups {
		if g.Until > 0 && (v.Until == 0 || g.Until < v.Until) {
			v.Until = g.Until
		}
	}
	return v
}
