package health

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Limits of age.
const (
	// LookLimit is how long a good look counts, unless the schedules that back up into
	// the repository run so rarely that twice the shortest interval is longer.
	LookLimit = 8 * day
	// CheckGrace is how long after it was due a check may come that the repository's
	// keeper runs.
	CheckGrace = 7 * day
	// CheckLimit is how long a check counts if nobody checks by itself: there is no
	// keeper, or its checks are paused.
	CheckLimit = 35 * day
	// leftOver is after what time without being renewed a lock is called left over:
	// restic renews one every five minutes, and clocks differ.
	leftOver = 35 * time.Minute

	day = 24 * time.Hour
)

// Judge returns the verdict on a repository at a moment: the worst of [All].
func Judge(f looks.Facts, now time.Time) Verdict { return All(f, now)[0] }

// All returns everything that is to be said of a repository at a moment, worst first;
// Healthy alone if nothing is wrong. Every verdict has the same Until.
func All(f looks.Facts, now time.Time) []Verdict {
	j := judging{Facts: f, now: now.UnixMilli()}
	j.doubt()
	j.damage()
	j.unread()
	j.open()
	j.foreign()
	j.locked()
	j.full()
	j.age()
	if len(j.said) == 0 {
		j.healthy()
	}
	slices.SortStableFunc(j.said, func(a, b Verdict) int {
		return cmp.Compare(slices.Index(Words, a.Word), slices.Index(Words, b.Word))
	})
	for i := range j.said {
		j.said[i].Until = j.until
	}
	return j.said
}

// doubt takes moments that lie further ahead than a clock may be set back for long ago:
// they were written by a clock that was wrong, and nothing is good because of them.
func (j *judging) doubt() {
	far := j.now + facts.FarAhead
	for _, at := range []*int64{&j.AddedAt, &j.ReadyAt, &j.CheckedAt, &j.LocksAt} {
		if *at > far {
			*at = 1
		}
	}
	good := maps.Clone(j.Good)
	for kind, l := range good {
		if l.GoodAt > far {
			l.GoodAt = 1
			good[kind] = l
		}
	}
	j.Good = good
}

// Loss returns what is to be said to a host that backs up into the repository: of that
// which keeps its snapshots from being restored, the worst, which is not the order of
// [Words]; nothing can be restored from one that does not open, and some of a damaged
// one. ok is false if nothing does.
func Loss(f looks.Facts, now time.Time) (v Verdict, ok bool) {
	said := All(f, now)
	for _, w := range []Word{Missing, Unreadable, Damaged} {
		if i := slices.IndexFunc(said, func(v Verdict) bool { return v.Word == w }); i >= 0 {
			return said[i], true
		}
	}
	return said[0], false
}

// judging is the state of one judgement.
type judging struct {
	looks.Facts
	now   int64
	until int64
	said  []Verdict
}

func (j *judging) say(w Word, cause string, since int64, reason string) *Verdict {
	j.said = append(j.said, Verdict{Word: w, Cause: cause, Since: since, Reason: reason})
	return &j.said[len(j.said)-1]
}

// past reports whether a moment has come, and otherwise notes that the verdict may be
// another then.
func (j *judging) past(at int64) bool {
	if at <= j.now {
		return true
	}
	if j.until == 0 || at < j.until {
		j.until = at
	}
	return false
}

// who returns what a host is called.
func (j *judging) who(id topics.HostID) string {
	if name := j.Names[id]; name != "" {
		return words.Visible(name)
	}
	return "a host"
}

func (j *judging) damage() {
	d := j.Damage
	if d == nil {
		return
	}
	reason := "A " + string(d.Kind) + " on " + j.who(d.Host) + " met damaged data, and no check has cleared that since."
	if d.Kind == topics.CheckJob {
		reason = "A check found damaged data, and no check as large has found it whole since."
		if d.Errors > 0 {
			reason = "A check found " + words.Count(uint64(d.Errors), "error", "errors") + ", and no check as large has found it whole since."
		}
	}
	v := j.say(Damaged, "repository-damaged", d.Since, reason)
	v.By, v.Job = d.Host, d.Job
}

// unread looks whether the control plane itself can read what opens the repository.
func (j *judging) unread() {
	if len(j.Unread) == 0 {
		return
	}
	what := looks.PartWords(j.Unread)
	if slices.Equal(j.Unread, []string{"maintenance"}) {
		j.say(Unreachable, "maintenance-unread", 0, "The control plane cannot read its "+what+", so its keeper cannot look after it.")
		return
	}
	j.say(Unreadable, "secrets-unread", 0, "The control plane cannot read its "+what+".")
}

// shut says what it means that a repository did not open, by the cause.
var shut = map[topics.Cause]struct {
	word   Word
	cause  string
	reason func(host string) string
}{
	topics.CausePassword: {Unreadable, "repository-unreadable", func(h string) string {
		return "Its password does not open it, as " + h + " found out."
	}},
	topics.CauseNoRepository: {Missing, "repository-missing", func(h string) string {
		return "It was there, and " + h + " finds nothing in its place any more."
	}},
	topics.CauseUnreachable: {Unreachable, "repository-unreachable", func(h string) string {
		return "Its server does not answer " + h + "."
	}},
	topics.CauseStalled: {Unreachable, "repository-unreachable", func(h string) string {
		return "Its server, or its disk, took what " + h + " asked and then said nothing."
	}},
	topics.CauseCertificate: {Unreachable, "repository-certificate", func(h string) string {
		return "The certificate of its server is not trusted by " + h + "."
	}},
	topics.CauseHostKeyOther: {Unreachable, "repository-host-key", func(h string) string {
		return "Its server shows " + h + " another key than before."
	}},
	topics.CauseKeyRefused: {Unreachable, "repository-credentials", func(h string) string {
		return "Its server lets none of the keys in that " + h + " has."
	}},
	topics.CauseCredentials: {Unreachable, "repository-credentials", func(h string) string {
		return "Its server refuses the user and password that " + h + " was given."
	}},
	topics.CausePermission: {Unreachable, "repository-permission", func(h string) string {
		return "The file system does not let " + h + " into its folder."
	}},
}

// open looks whether the repository opens. What one host found is not the repository's
// trouble while another host opened it after that began.
func (j *judging) open() {
	said := map[Word]bool{}
	for _, l := range j.Bad {
		what, known := shut[l.Cause]
		if l.Kind != looks.Open || !known || said[what.word] || !j.counts(l) {
			continue
		}
		if what.word == Missing && (l.NeverThere || j.ReadyAt == 0 && j.Good[looks.Open].GoodAt == 0) {
			continue // there is none yet
		}
		said[what.word] = true
		v := j.say(what.word, what.cause, l.BadSince, what.reason(j.who(l.Host)))
		v.By, v.Job = l.Host, l.Job
	}
}

// counts reports whether a bad look says something of the repository. It does not while
// another host's good look contradicts it, and that is within the limit: one that came
// after the trouble began; any, if each host has a place of its own, and the one with
// the trouble never found it there.
func (j *judging) counts(l looks.Look) bool {
	good := j.Good[l.Kind]
	if good.GoodAt == 0 || good.Host == l.Host {
		return true
	}
	if good.GoodAt < l.BadSince && (l.GoodAt > 0 || places.Shared(j.Location)) {
		return true
	}
	return !j.fresh(good.GoodAt)
}

func (j *judging) foreign() {
	if keys := uint64(j.ForeignKeys); keys > 0 {
		j.say(Foreign, "foreign-keys", j.ForeignSince, words.Count(keys, "key that is not ours opens", "keys that are not ours open")+" it.")
	}
	if snapshots := uint64(j.ForeignSnapshots); snapshots > 0 {
		j.say(Foreign, "foreign-snapshots", 0, words.Count(snapshots, "snapshot", "snapshots")+" in it "+
			map[bool]string{true: "was", false: "were"}[snapshots == 1]+" not made by a job of ours.")
	}
	if lost := uint64(j.Lost); lost > 0 {
		j.say(Foreign, "snapshots-missing", j.LostAt, words.Count(lost, "snapshot of ours is", "snapshots of ours are")+
			" missing from it, and no job of ours removed "+map[bool]string{true: "it", false: "them"}[lost == 1]+".")
	}
}

// locked looks for what keeps jobs out. A job of ours at work is no trouble: its lock
// goes by itself.
func (j *judging) locked() {
	clear := j.Good[looks.Locks].GoodAt // nothing was in the way then
	for _, l := range j.Locks {
		renewed := min(j.LocksAt, j.now) - l.Time
		switch {
		case l.Alive || clear > j.LocksAt:
			continue
		case l.Exclusive && j.Good[looks.Write].GoodAt > j.LocksAt:
			continue // a job wrote since, and could not have
		case l.Dead || renewed > leftOver.Milliseconds():
			j.say(Locked, "repository-locked", min(l.Time, j.LocksAt),
				"A lock lies in it that a process on "+words.Visible(l.Hostname)+" left behind.")
			return
		case l.Exclusive:
			j.say(Locked, "repository-locked", min(l.Time, j.LocksAt), "A process on "+words.Visible(l.Hostname)+" that is no job of ours locks it.")
			return
		}
	}
	for _, l := range j.Bad {
		if l.Kind != looks.Write || l.Cause != topics.CauseLocked || !j.counts(l) {
			continue
		}
		if j.LocksAt >= l.BadAt || clear >= l.BadAt {
			continue // whoever held it was gone, or is at work, when somebody looked
		}
		v := j.say(Locked, "repository-locked", l.BadSince, "A lock kept the last job of "+j.who(l.Host)+" out.")
		v.By, v.Job = l.Host, l.Job
		return
	}
}

func (j *judging) full() {
	for _, l := range j.Bad {
		if l.Kind == looks.Write && l.Cause == topics.CauseDiskFull && j.counts(l) {
			v := j.say(Full, "repository-full", l.BadSince, "There was no space left for what "+j.who(l.Host)+" wrote.")
			v.By, v.Job = l.Host, l.Job
			return
		}
	}
}

// age looks how long ago somebody opened and checked the repository.
func (j *judging) age() {
	limit, nobody := j.checkLimit()
	if due := max(j.CheckedAt, j.AddedAt) + limit.Milliseconds(); j.past(due) {
		reason := "No check of it has ended within " + days(limit) + "."
		if nobody != "" {
			reason += " " + nobody
		}
		j.say(CheckOverdue, "check-overdue", due, reason)
	}
	opened := max(j.Good[looks.Open].GoodAt, j.ReadyAt)
	if opened == 0 {
		j.say(NeverLookedAt, "never-looked-at", j.AddedAt, "No job has opened it yet.")
		return
	}
	if !j.fresh(opened) {
		limit := j.lookLimit()
		j.say(CheckOverdue, "look-overdue", opened+limit.Milliseconds(), "No job has opened it within "+days(limit)+".")
	}
}

func (j *judging) healthy() {
	reason := "It opens, and the last check found no errors."
	if j.CheckedAt == 0 {
		reason = "It opens, and its first check is still to come."
	}
	by := j.Good[looks.Open]
	v := j.say(Healthy, "healthy", max(by.GoodAt, j.ReadyAt), reason)
	v.By = by.Host
}

// checkLimit returns for how long a check counts, and why nobody checks if nobody does.
func (j *judging) checkLimit() (limit time.Duration, nobody string) {
	switch {
	case j.Keeper == "":
		return CheckLimit, "It has no keeper, so nobody checks it by itself."
	case j.CheckPaused:
		return CheckLimit, "Its checks are paused."
	case j.CheckDaily:
		return day + CheckGrace, ""
	}
	return 7*day + CheckGrace, ""
}

// fresh reports whether a good look at a moment still counts.
func (j *judging) fresh(at int64) bool {
	if !j.past(at + LookLimit.Milliseconds()) {
		return true
	}
	limit := j.lookLimit()
	return limit > LookLimit && !j.past(at+limit.Milliseconds())
}

// lookLimit returns for how long a good look counts.
func (j *judging) lookLimit() time.Duration {
	shortest := time.Duration(0)
	for _, p := range j.Plans {
		if d := interval(p); d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	return max(LookLimit, 2*shortest)
}

// sample is a leap year in which plans are looked at.
var sample = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// intervals remembers what interval returned.
var intervals = struct {
	sync.Mutex
	of map[looks.Plan]time.Duration
}{of: map[looks.Plan]time.Duration{}}

// interval returns about the longest time between two slots of a plan, 0 if it has none:
// to the day, over a year.
func interval(p looks.Plan) time.Duration {
	p.Repository = ""
	intervals.Lock()
	defer intervals.Unlock()
	if d, known := intervals.of[p]; known {
		return d
	}
	longest := time.Duration(0)
	if policy, err := slots.Parse(p.Cron, p.Zone, 0, ""); err == nil {
		for at := sample; at.Before(sample.AddDate(1, 0, 0)); at = at.Add(day) {
			next := slots.Next(policy, at)
			if next.IsZero() {
				longest = 0
				break
			}
			longest = max(longest, next.Sub(at))
		}
	}
	if len(intervals.of) >= 1000 {
		clear(intervals.of)
	}
	intervals.of[p] = longest
	return longest
}

// days words a limit.
func days(d time.Duration) string {
	n := int64((d + day - 1) / day)
	if n == 1 {
		return "a day"
	}
	return strconv.FormatInt(n, 10) + " days"
}
