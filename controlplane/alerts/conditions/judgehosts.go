package conditions

import (
	"cmp"
	"time"

	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

const (
	// asleep is for how long a host that comes and goes may be away where nobody set its
	// limit: as long as protection lets it be without a backup.
	asleep = 7 * day
	// refused is for how long somebody is told of messages that were refused.
	refused = day * 1000
	// restored is for how long somebody is told of a restore that is not complete.
	restored = 7 * day * 1000
	// doubt is when it is looked again at a host of which nobody knows whether it is there.
	doubt = 30 * 1000
)

func hostOf(h *Host) subject {
	return subject{
		Finding: Finding{Key: alerts.Key{On: alerts.OnHost, Subject: string(h.ID)}, Host: h.ID, Body: alerts.Body{Name: h.Name}},
		host:    h, quiet: h.EnrolledAt, path: "/hosts/" + string(h.ID), link: "Open the host",
	}
}

func (j *judging) host(h *Host) {
	if h.Retired {
		return
	}
	s := hostOf(h)
	for i := range h.Groups {
		j.group(h, &h.Groups[i])
	}
	if c, _, _, on := j.check(s, NeverBackedUp); on && len(h.Groups) == 0 && !h.Keeper && !h.Revoked {
		j.say(s, c, said{since: h.EnrolledAt, cause: "Nothing on this host is backed up: it has no source group."})
	}
	j.restore(h)
	j.drills(s, h)
	if h.Revoked { // nothing is heard of it, as somebody wanted
		return
	}
	j.offline(s, h)
	j.state(s, h)
}

// restore says that the last restore is not complete.
func (j *judging) restore(h *Host) {
	s := hostOf(h)
	c, _, _, on := j.check(s, RestoreFailures)
	r := h.Restore
	if !on || r == nil || !r.failed() && r.State != topics.Warnings || j.believed(r.At) == 0 || j.past(r.At+restored) {
		return
	}
	w := said{since: r.At, job: *r, cause: cmp.Or(r.Why, "It ended without all of its files."), do: r.Do}
	if r.Missed > 0 {
		w.cause += " " + words.Count(uint64(r.Missed), "file was", "files were") + " not brought back."
	}
	j.say(s, c, w)
}

// drills says that it was not tried for too long whether the host can be restored. What a
// drill has found since is another condition. Where all is paused, drills are too.
func (j *judging) drills(s subject, h *Host) {
	c, limit, from, on := j.check(s, DrillOverdue)
	if !on || !h.DrillPlanned || h.Proof.Word == drills.Disproved {
		return
	}
	base, rests := j.believed(h.Proof.At), true
	for i := range h.Groups {
		g := &h.Groups[i]
		rests = rests && (g.Replacing || g.Schedules > 0 && g.Enabled == 0)
		if h.Proof.At == 0 && (g.Drill == nil || g.Drill.ProvenAt == 0) {
			base = max(base, j.believed(g.CreatedAt), j.believed(h.EnrolledAt))
		}
	}
	if len(h.Groups) == 0 || rests {
		return
	}
	if at := h.Pauses.Later(base, limit*1000); j.past(at) {
		why := "A source group of it was never proven."
		if h.Proof.At > 0 {
			why = "A source group of it was proven longer ago than the limit of " + c.Words(limit) + "."
		}
		j.say(s, c, said{since: at, cause: why, limit: from, value: limit})
	}
}

// offline says that the host was not heard of for too long. While the control plane was
// stopped it could hear nobody.
func (j *judging) offline(s subject, h *Host) {
	c, limit, from, on := j.check(s, HostOffline)
	if !on || !h.Offline && !h.Unknown {
		return
	}
	if h.Unknown {
		j.until(j.now + doubt)
	}
	if h.Intermittent && from != "this host" { // it sleeps: its own limit counts
		if limit, from = asleep, ""; h.OverdueDays > 0 {
			limit, from = h.OverdueDays*day, "this host"
		}
	}
	seen := h.SeenAt
	if seen > j.now { // by a clock that was set back since
		seen = j.Began
	}
	if seen == 0 { // enrolled, and never heard of
		seen = j.believed(h.EnrolledAt)
	}
	at := seen + limit*1000
	if at > j.Stopped && seen < j.Began { // it was not silent for too long when the plane stopped
		at = max(at, j.Began+at-max(j.Stopped, seen))
	}
	if h.Unknown && at > j.Stopped && j.Began > 0 {
		j.until(at)
		return
	}
	if j.past(at) {
		j.say(s, c, said{since: seen, limit: from, value: limit, cause: fill(c.Cause, "limit", c.Words(limit))})
	}
}

// about is a span that is measured again and again and a little other each time, so rounded
// that the words rarely change.
func about(d time.Duration) time.Duration {
	for _, n := range []time.Duration{time.Hour, time.Minute, 10 * time.Second} {
		if d >= 10*n {
			return d.Round(n)
		}
	}
	return d.Round(time.Second)
}

// state says what is wrong with the host's disk, certificate, agent and clock, and with who
// it is.
func (j *judging) state(s subject, h *Host) {
	if c, _, _, on := j.check(s, HostDisk); on && (h.DiskFull || h.DiskLow) {
		w := said{since: h.DiskSince, cause: "There is no space left on the disk of the agent's state: no job begins there until there is room."}
		if h.DiskSays != "" {
			w.cause += " The agent says: " + Sentence(words.Visible(h.DiskSays))
		}
		if !h.DiskFull {
			w.title, w.degree = " soon", alerts.Warning
			w.cause = "The disk of the agent's state is almost full: no job will begin there without room."
		}
		j.say(s, c, w)
	}
	if c, limit, from, on := j.check(s, CertificateEnding); on && h.CertifiedUntil > 0 && j.past(h.CertifiedUntil-limit*1000) {
		w := said{since: h.CertifiedUntil - limit*1000, limit: from, value: limit,
			cause: "The certificate by which it is known ends within " + c.Words(limit) + ", and was not renewed."}
		if j.past(h.CertifiedUntil) {
			w.title, w.degree = ", or has ended", alerts.Critical
			w.cause = "The certificate by which it is known has ended: it is let in no more."
			w.do = "Enrol the host again: make a token for it on its page, and give it with enroll --again there."
		}
		j.say(s, c, w)
	}
	if c, _, _, on := j.check(s, AgentTooOld); on && h.TooOld != "" {
		j.say(s, c, said{cause: h.TooOld})
	}
	if c, limit, from, on := j.check(s, ClockOff); on && !h.Offline {
		off, way := h.Clock, "ahead of"
		if off < 0 {
			off, way = -off, "behind"
		}
		if own := h.Clock - j.common; max(own, -own) > limit*1000 {
			is := words.Span(about(time.Duration(off) * time.Millisecond))
			j.say(s, c, said{limit: from, value: limit, cause: fill(c.Cause, "is", is, "way", way)})
		}
	}
	if c, _, _, on := j.check(s, Twins); on && h.TwinsSince > 0 {
		j.say(s, c, said{since: h.TwinsSince})
	}
	if c, _, _, on := j.check(s, MessagesRefused); on && j.believed(h.RefusedAt) > 0 && !j.past(h.RefusedAt+refused) {
		j.say(s, c, said{since: h.RefusedAt, cause: cmp.Or(h.RefusedSays, "Messages in its name were refused.")})
	}
}
