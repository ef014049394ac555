package conditions

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// retries is for how long a backup that is tried again counts as not failed yet: longer
// than all retries of a slot take while its host is there.
const retries = 6 * time.Hour

// catchUp is for how long a host that is back may take to make up for the slots that it
// missed, as long as a slot may be late.
const catchUp = time.Hour

// unusual is for how long somebody is told of a backup that changed far too much: nothing
// that comes later says that it was meant.
const unusual = 7 * 24 * time.Hour

// groupOf is a source group as a subject.
func (j *judging) groupOf(h *Host, g *Group) subject {
	return subject{
		Finding: Finding{Key: alerts.Key{On: alerts.OnGroup, Subject: string(g.ID)}, Host: h.ID, Repository: g.Repository,
			Body: alerts.Body{Name: h.Name + " · " + g.Name}},
		host: h, quiet: j.later(h.EnrolledAt, g.CreatedAt), path: "/hosts/" + string(h.ID), link: "Open the host",
	}
}

func (j *judging) group(h *Host, g *Group) {
	j.ended(h, g)
	s := j.groupOf(h, g)
	for _, v := range g.Said {
		j.until(v.Until)
	}
	j.promised(s, h, g)
	j.verdict(s, g, SnapshotsLost, protection.Lost, protection.CauseSnapshotsGone)
	j.verdict(s, g, SourceEmpty, protection.Empty, "")
	j.drilled(h, g)
}

// drilled says that the last drill did not prove the group.
func (j *judging) drilled(h *Host, g *Group) {
	s := j.groupOf(h, g)
	if c, _, _, on := j.check(s, DrillFailed); on && g.Drill != nil && g.Drill.At > 0 && !g.Drill.Proven {
		why := "The last drill did not bring its files back as they were saved."
		if g.Drill.Why != "" {
			why = Sentence(g.Drill.Why)
		}
		j.say(s, c, said{since: g.Drill.At, job: Run{Job: g.Drill.Job}, cause: why})
	}
}

// verdict says a condition of which the group's protection has said all.
func (j *judging) verdict(s subject, g *Group, name Name, is protection.Status, cause string) {
	c, _, _, on := j.check(s, name)
	if v, so := g.has(is, cause); on && so {
		w := said{since: v.Since, cause: v.Reason}
		if name == SnapshotsLost {
			w.much = g.Lost
		}
		j.say(s, c, w)
	}
}

// has returns what is said of the group's protection in a word, and for a cause unless that
// is "".
func (g *Group) has(is protection.Status, cause string) (protection.Verdict, bool) {
	for _, v := range g.Said {
		if v.Status == is && (cause == "" || v.Cause == cause) {
			return v, true
		}
	}
	return protection.Verdict{}, false
}

// ended says what the ends of the group's backups decide.
func (j *judging) ended(h *Host, g *Group) {
	s := j.groupOf(h, g)
	j.failed(s, g)
	if c, limit, from, on := j.check(s, BackupWarnings); on && g.Warned.Times > 0 && g.Warned.Times >= limit {
		j.say(s, c, said{since: g.Warned.Since, job: g.Warned.Run, title: behind(g.Warned.Brief), do: g.Warned.Do, limit: from, value: limit,
			cause: fill(c.Cause, "why", g.Warned.Why, "times", words.Number(uint64(g.Warned.Times)))})
	}
	if c, limit, from, on := j.check(s, SizeAnomaly); on && g.Size != nil {
		if what, is := g.Size.small(limit); is {
			j.say(s, c, said{since: g.Size.At, job: Run{Job: g.Size.Job}, limit: from, value: limit, cause: fill(c.Cause,
				"is", what.is, "usual", what.usual, "n", what.n)})
		}
	}
	if c, limit, from, on := j.check(s, ChangeAnomaly); on && g.Unusual != nil && j.believed(g.Unusual.At) > 0 {
		why, is := g.Unusual.changed(limit)
		if is && !j.past(g.Unusual.At+unusual.Milliseconds()) {
			j.say(s, c, said{since: g.Unusual.At, job: Run{Job: g.Unusual.Job}, cause: why, limit: from, value: limit})
		}
	}
}

func (j *judging) failed(s subject, g *Group) {
	c, _, _, on := j.check(s, BackupFailed)
	if !on || g.FailedSince == 0 || !g.Last.failed() {
		return
	}
	if g.Retrying && !g.GaveUp && !j.past(g.FailedSince+retries.Milliseconds()) {
		return
	}
	j.locked(g.Repository, g.Last, c.Severity)
	how := map[topics.JobState]string{topics.Interrupted: "was interrupted", topics.Abandoned: "was given up"}[g.Last.State]
	why := cmp.Or(g.Last.Why, "The last backup "+cmp.Or(how, "failed")+" for a reason that is not known.")
	if how != "" && g.Last.Why != "" {
		why += " The last backup " + how + "."
	}
	j.say(s, c, said{since: g.FailedSince, job: g.Last, title: behind(g.Last.Brief), cause: why, do: g.Last.Do})
}

// promised says what was promised for the group and not kept. While nobody has decided what
// becomes of a machine that was replaced, nothing is: the replacement says so itself.
func (j *judging) promised(s subject, h *Host, g *Group) {
	waits := g.Replacing
	j.overdue(s, h, g)
	late, is := g.has(protection.Late, "")
	if over, so := g.has(protection.Overdue, ""); so && !is && over.Cause != protection.CauseOverLimit &&
		over.Cause != protection.CauseReplaced {
		late, is = over, true // its slots were missed all the more
	}
	// What a host missed while it was away it begins by itself when it is back.
	if back := j.believed(h.BackAt); is && back > 0 && !j.past(back+catchUp.Milliseconds()) {
		is = false
	}
	if c, _, _, on := j.check(s, SlotMissed); on && is && !waits {
		j.say(s, c, said{since: late.Since, cause: late.Reason, path: "/schedules", link: "Open the schedules"})
	}
	never, none := g.has(protection.NoBackupYet, "")
	if c, _, _, on := j.check(s, NeverBackedUp); on && none && g.Schedules == 0 && !waits {
		j.say(s, c, said{since: g.CreatedAt, cause: never.Reason + " No schedule will do it."})
	}
	if c, _, _, on := j.check(s, Unscheduled); on && g.Schedules == 0 && g.LastGood > 0 && !waits {
		w := said{since: g.LastGood}
		if v, so := g.has(protection.Unscheduled, ""); so {
			w.cause = v.Reason
		}
		j.say(s, c, w)
	}
}

// overdue says that the last good backup is too old: by what is promised, or by a threshold
// in its place. For a host that comes and goes only one of its own counts, as it sleeps;
// none does while all schedules are paused. While the host is, the limit does not run down.
func (j *judging) overdue(s subject, h *Host, g *Group) {
	c, limit, from, on := j.check(s, Overdue)
	if !on || g.Replacing {
		return
	}
	if h.Intermittent && from != "this host" {
		limit, from = 0, ""
	}
	if limit == 0 {
		if v, so := g.has(protection.Overdue, ""); so {
			j.say(s, c, said{since: v.Since, title: j.last(g), cause: v.Reason, limit: from})
		}
		return
	}
	if g.Schedules > 0 && g.Enabled == 0 {
		return
	}
	base := j.believed(g.LastGood)
	if base == 0 {
		base = max(j.believed(g.CreatedAt), j.believed(h.EnrolledAt))
	}
	if at := h.Pauses.Later(base, limit*1000); j.past(at) {
		j.say(s, c, said{since: at, title: j.last(g), limit: from, value: limit,
			cause: "There is no good backup within the limit of " + c.Words(limit) + "."})
	}
}

// last says how long ago the last good backup was, for a title. It is in days from the
// second day on, so that the words rarely change.
func (j *judging) last(g *Group) string {
	at := j.believed(g.LastGood)
	if at == 0 {
		return " yet"
	}
	if d := (j.now - at) / (day * 1000); d >= 2 {
		return " for " + strconv.FormatInt(d, 10) + " days"
	}
	return " within its limit"
}

// behind is a short cause to stand behind a title.
func behind(brief string) string {
	if brief = strings.TrimRight(brief, "."); brief == "" {
		return ""
	}
	return ": " + strings.ToLower(brief[:1]) + brief[1:]
}

// Sentence is a text with a capital and a full stop.
func Sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}
