package rollout

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// The waves of a rollout: one host first, then a tenth of them, then the rest.
const (
	Canary = 1
	Tenth  = 2
	Rest   = 3
)

// Bounds of the rule by which a rollout stops itself.
const (
	// Share is the part of the updates that may fail: one in so many. More than that stops
	// the rollout, and so does a canary that fails.
	Share = 20
	// Lost is how long a host may be away in the middle of its update before that counts as
	// failed.
	Lost = time.Hour
	// Respite is how long a host is left alone, by what begins by itself, that said when it was
	// asked that it cannot, or whose update somebody cancelled.
	Respite = 24 * time.Hour
	// Longest is how long a rollout waits for hosts that are away.
	Longest = 30 * 24 * time.Hour
)

// A Host is one that a rollout could be about, as it is now.
type Host struct {
	ID      topics.HostID
	Name    string
	Online  bool
	Gone    int64  // since when it is not, in Unix milliseconds
	Healthy bool   // nothing is wrong with it that an update could be blamed for
	Keeper  bool   // it looks after repositories, so others go first
	Number  int64  // of the build that its agent is; 0 is not known
	Version string // of it
	Cannot  string // why it cannot be updated from here, "" if it can
	Waits   string // why not now, "" if it can now: it is paused
	Failed  bool   // its update to this release failed before, or it did not take it lately; see [Respite]
	// Open is an update of it that has not ended, whoever asked for it.
	Open topics.JobID
}

// A Job is what has become of an update.
type Job struct {
	ID        topics.JobID
	State     topics.JobState
	Cause     topics.Cause
	Why       string // its cause in words
	Accepted  bool   // the agent has it
	EndedAt   int64
	CancelsBy string
}

// A Look is all that the next step of a rollout depends on.
type Look struct {
	Rollout rollouts.Rollout
	Members []rollouts.Member
	Jobs    map[topics.JobID]Job // of the members
	Hosts   []Host               // that the rollout is about: not those of an older one that goes on
	Lies    int64                // number of the release that lies here, 0 if none that hosts may be given
	LiesWas string               // its version
	NoLie   string               // why there is none
	Now     time.Time
}

// A Step is what is to be done now.
type Step struct {
	Changed []rollouts.Member // as they are from now on
	Begin   []topics.HostID   // to be updated, in this order
	Wave    int
	Cancel  []topics.JobID // that no agent has yet
	// Outcome is how the rollout ends now, "" if it goes on; Why says it in a sentence.
	Outcome rollouts.Outcome
	Why     string
	Waits   string // why nothing begins now, "" if something does or is at work
	Count   Count
}

// Count is how far a rollout is.
type Count struct {
	Hosts    int // that are to get the release by it, or got it
	Updated  int
	Failed   int
	Updating int
	Waiting  int // can, and were not begun
	Offline  int // of those, how many are away
	Paused   int // and how many are paused
	Has      int // had the release already
	Cannot   int // cannot be updated from here
	Quota    int // how many are to have finished when the wave is over
}

// Finished counts the updates that have an end.
func (c Count) Finished() int { return c.Updated + c.Failed }

// cannot are the causes that say that a host cannot be updated from here, which is no
// failure of the release.
var cannot = map[topics.Cause]bool{topics.CauseUpdateRefused: true, topics.CauseNoProgram: true, topics.CausePolicy: true,
	topics.CauseRefused: true, topics.CauseOldManifest: true} // somebody on the host went back from it

// Settle is what a member has become, given its job.
func settle(m rollouts.Member, j Job, known bool, h Host, here bool, number int64, now time.Time) rollouts.Member {
	end := func(s rollouts.State, at int64, why string) rollouts.Member {
		m.State, m.EndedAt, m.Why = s, cmp.Or(at, now.UnixMilli()), why
		return m
	}
	has := here && h.Number >= number
	switch {
	case m.Job == "":
		return m // it is being asked for
	case !known:
		if has {
			return end(rollouts.Updated, 0, "")
		}
		return end(rollouts.Later, 0, "The record of its job is gone.")
	case !j.State.Ended():
		if lost := now.Add(-Lost).UnixMilli(); j.Accepted && here && !h.Online && h.Gone > 0 && h.Gone < lost && m.State == rollouts.Updating {
			return end(rollouts.Refused, 0, "It has not come back for an hour, in the middle of its update.")
		}
		return m
	case j.State == topics.Succeeded || j.State == topics.Warnings:
		return end(rollouts.Updated, j.EndedAt, "")
	case has && (j.Cause == topics.CauseOldManifest || j.State == topics.Interrupted || j.State == topics.Abandoned ||
		j.State == topics.Cancelled):
		return end(rollouts.Updated, j.EndedAt, "Its agent was that new already.")
	case j.Cause == topics.CauseHostRemoved || j.Cause == topics.CauseReplaced:
		return end(rollouts.Cancelled, j.EndedAt, "The host was removed, or another machine took its place.")
	case j.State == topics.Abandoned:
		return end(rollouts.Later, j.EndedAt, "Its turn passed before its agent could begin.")
	case j.State == topics.Cancelled:
		return end(rollouts.Cancelled, j.EndedAt, "Its update was cancelled"+by(j.CancelsBy)+".")
	case j.State == topics.Failed && cannot[j.Cause]:
		return end(rollouts.Cannot, j.EndedAt, j.Why)
	}
	return end(rollouts.Refused, j.EndedAt, cmp.Or(j.Why, "Its update ended as "+string(j.State)+"."))
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

// Next decides what a rollout does now. It knows no clock, database or network, and says
// the same however often it is asked.
func Next(l Look) (s Step) {
	s.Wave = max(l.Rollout.Wave, Canary)
	here := map[topics.HostID]Host{}
	for _, h := range l.Hosts {
		here[h.ID] = h
	}
	members := slices.Clone(l.Members)
	mine := map[topics.HostID]rollouts.Member{}
	for i, m := range members {
		if m.State == rollouts.Updating || m.State == rollouts.Refused { // what was taken for lost may have come back
			j, known := l.Jobs[m.Job]
			h, is := here[m.Host]
			if m.State == rollouts.Updating || known && j.State.Ended() {
				if is := settle(m, j, known, h, is, l.Rollout.Number, l.Now); is != m {
					members[i], s.Changed = is, append(s.Changed, is)
				}
			}
		}
		mine[m.Host] = members[i]
	}
	waiting := s.count(l, members, mine)
	if l.Rollout.EndedAt > 0 {
		s.cancel(members, l.Jobs)
		return s
	}
	if s.Outcome, s.Why = s.stops(l, members); s.Outcome != "" {
		s.cancel(members, l.Jobs)
		return s
	}
	s.begin(l, waiting, mine)
	return s
}

// count fills in how far it is, and returns the hosts that are still to be begun.
func (s *Step) count(l Look, members []rollouts.Member, mine map[topics.HostID]rollouts.Member) (waiting []Host) {
	c := &s.Count
	for _, m := range members {
		switch m.State {
		case rollouts.Updating:
			c.Updating++
		case rollouts.Updated:
			c.Updated++
		case rollouts.Refused:
			c.Failed++
		case rollouts.Cannot:
			c.Cannot++
		case rollouts.Cancelled, rollouts.Later:
		}
	}
	for _, h := range l.Hosts {
		m, begun := mine[h.ID]
		switch {
		case begun && m.State != rollouts.Later:
		case h.Number >= l.Rollout.Number && h.Open == "":
			c.Has++
		case h.Cannot != "":
			c.Cannot++
		case l.Rollout.Automatic && h.Failed:
			c.Cannot++
		default:
			waiting = append(waiting, h)
			c.Waiting++
			switch {
			case h.Waits != "":
				c.Paused++
			case !h.Online:
				c.Offline++
			}
		}
	}
	c.Hosts = c.Finished() + c.Updating + c.Waiting
	return waiting
}

// quota is how many hosts are to have finished when a wave is over.
func (c Count) quota(wave int) int {
	switch wave {
	case Canary:
		return min(1, c.Hosts)
	case Tenth:
		return min(1+(c.Hosts+9)/10, c.Hosts)
	}
	return c.Hosts
}

// TooMany reports whether more updates failed than may: more than one in [Share] of those
// that finished. While fewer than that have, one failure is not judged before the wave ends,
// unless the wave is so small that it will be too many then.
func TooMany(failed, finished, quota int) bool {
	return failed*Share > max(finished, min(quota, Share))
}

// stops says how the rollout ends, if it does.
func (s *Step) stops(l Look, members []rollouts.Member) (rollouts.Outcome, string) {
	for _, m := range members {
		if m.Wave == Canary && m.State == rollouts.Refused {
			return rollouts.Failed, "The first host, " + nameOf(l.Hosts, m.Host) + ", failed: " + m.Why
		}
	}
	c := s.Count
	for s.Wave < Rest && c.Updating == 0 && c.Finished() >= c.quota(s.Wave) && !TooMany(c.Failed, c.Finished(), 0) {
		s.Wave++
	}
	s.Count.Quota = c.quota(s.Wave)
	over := c.Updating == 0 && c.Finished() >= s.Count.Quota // the wave is
	switch {
	case TooMany(c.Failed, c.Finished(), s.Count.Quota) || over && TooMany(c.Failed, c.Finished(), 0):
		return rollouts.Failed, fmt.Sprintf("%d of %s failed, which is more than 1 in %d.", c.Failed,
			words.Count(uint64(c.Finished()), "update", "updates"), Share)
	case l.Lies > l.Rollout.Number:
		return rollouts.Superseded, "Version " + l.LiesWas + " lies here now; " + words.Count(uint64(c.Updated), "host", "hosts") +
			" got " + l.Rollout.Version + "."
	case c.Waiting == 0 && c.Updating == 0 && l.Rollout.Host != "" && c.Updated+c.Has > 0:
		return rollouts.Done, "The host has this version."
	case c.Waiting == 0 && c.Updating == 0:
		return rollouts.Done, "Every host that can be updated from here has been."
	case c.Updating == 0 && l.Now.Sub(words.At(l.Rollout.BeganAt)) > Longest:
		return rollouts.Done, words.Count(uint64(c.Waiting), "host", "hosts") + " could not be begun within 30 days."
	}
	return "", ""
}

func nameOf(hosts []Host, id topics.HostID) string {
	for _, h := range hosts {
		if h.ID == id {
			return h.Name
		}
	}
	return string(id)
}

// cancel takes back what no agent has begun.
func (s *Step) cancel(members []rollouts.Member, jobs map[topics.JobID]Job) {
	for _, m := range members {
		if j, known := jobs[m.Job]; m.State == rollouts.Updating && known && !j.State.Ended() && !j.Accepted && j.CancelsBy == "" {
			s.Cancel = append(s.Cancel, j.ID)
		}
	}
}

// begin chooses the hosts that are begun now, or says why none is.
func (s *Step) begin(l Look, waiting []Host, mine map[topics.HostID]rollouts.Member) {
	c := s.Count
	room := min(s.Count.Quota-c.Finished()-c.Updating, l.Rollout.Most-c.Updating)
	var ready []Host
	for _, h := range waiting {
		if m := mine[h.ID]; h.Online && h.Waits == "" && (m.State != rollouts.Later || l.Now.Sub(words.At(m.EndedAt)) >= time.Minute) {
			ready = append(ready, h)
		}
	}
	if s.Wave == Canary && slices.ContainsFunc(waiting, func(h Host) bool { return h.Healthy }) {
		ready = slices.DeleteFunc(ready, func(h Host) bool { return !h.Healthy })
	}
	until, open := l.Rollout.Opens(l.Now)
	switch {
	case c.Updating > 0 && (room <= 0 || len(ready) == 0):
		return // what is at work goes on
	case l.Lies < l.Rollout.Number:
		s.Waits = cmp.Or(l.NoLie, "Version "+l.Rollout.Version+" does not lie here any more: an older one does.")
		return
	case !open:
		s.Waits = "Updates begin at " + until.Format("15:04") + " (" + l.Rollout.Zone + ")."
		return
	case len(ready) == 0 && s.Wave == Canary && c.Waiting > c.Offline+c.Paused:
		s.Waits = "A healthy host goes first, and none of them is connected."
		return
	case len(ready) == 0:
		s.Waits = waits(c)
		return
	case room <= 0:
		return
	}
	slices.SortFunc(ready, func(a, b Host) int {
		return cmp.Or(first(a.Failed, b.Failed), first(a.Keeper, b.Keeper), cmp.Compare(draw(l.Rollout.ID, a.ID), draw(l.Rollout.ID, b.ID)),
			cmp.Compare(a.ID, b.ID))
	})
	for _, h := range ready[:min(room, len(ready))] {
		s.Begin = append(s.Begin, h.ID)
	}
}

func waits(c Count) string {
	switch {
	case c.Offline > 0 && c.Paused > 0:
		return words.Count(uint64(c.Offline), "host is", "hosts are") + " offline and " + words.Count(uint64(c.Paused), "is", "are") +
			" paused: updated when that is over."
	case c.Paused > 0:
		return words.Count(uint64(c.Paused), "host is", "hosts are") + " paused: updated when that is over."
	case c.Offline > 0:
		return words.Count(uint64(c.Offline), "host is", "hosts are") + " offline: updated when they are back."
	}
	return ""
}

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// draw mixes hosts: those of one kind often have names that stand together.
func draw(rollout string, host topics.HostID) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(rollout + " " + string(host))) // never fails
	return h.Sum64()
}
