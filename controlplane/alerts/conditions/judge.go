package conditions

import (
	"cmp"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Judge returns all that holds at a moment, with nothing left out that something else
// explains, and when time alone may make it something else; the zero time is never. The
// same facts and the same moment give the same findings, in the same order.
func Judge(f Facts, l Limits, now time.Time) (holds []Finding, next time.Time) {
	j := &judging{Facts: f, limits: l, now: now.UnixMilli()}
	if j.Began > j.now { // the clock was set back since
		j.Stopped, j.Began = 0, 0
	}
	j.clocks()
	for i := range f.Hosts {
		j.host(&f.Hosts[i])
	}
	for i := range f.Repositories {
		j.repository(&f.Repositories[i])
	}
	for _, c := range f.Channels {
		j.channel(c)
	}
	for _, n := range f.Plane {
		j.plane(n)
	}
	slices.SortStableFunc(j.holds, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.On, b.On), cmp.Compare(a.Subject, b.Subject))
	})
	if j.next > 0 {
		next = time.UnixMilli(j.next)
	}
	return j.holds, next
}

// OfJob returns of facts about what a job touched the findings that the job's end decides,
// and everything that was looked for: what of that is not among the findings is over.
// [Judge] says the same of the same facts.
func OfJob(f Facts, l Limits, now time.Time) (holds []Finding, judged []alerts.Key) {
	j := &judging{Facts: f, limits: l, now: now.UnixMilli(), job: true}
	for i := range f.Hosts {
		h := &f.Hosts[i]
		if h.Retired {
			continue
		}
		if h.Restore != nil {
			j.restore(h)
		}
		for k := range h.Groups {
			g := &h.Groups[k]
			if g.Last.Job != "" {
				j.ended(h, g)
			}
			if g.Drill != nil {
				j.drilled(h, g)
			}
		}
	}
	for i := range f.Repositories {
		r := &f.Repositories[i]
		if len(r.Said) > 0 {
			j.healthy(repositoryOf(r), r)
		}
		j.upkeep(r)
	}
	return j.holds, j.judged
}

// judging is the state of one judgement.
type judging struct {
	Facts
	limits Limits
	now    int64
	next   int64
	holds  []Finding
	judged []alerts.Key
	job    bool  // what was looked for is noted
	common int64 // by how many milliseconds hosts are ahead of us because our clock is wrong

	// shut are the repositories whose lock stopped jobs for good, and how bad that is.
	shut map[topics.RepositoryID]alerts.Severity
}

// locked notes that a job failed for good, if it did so because its repository was locked.
func (j *judging) locked(id topics.RepositoryID, r Run, degree alerts.Severity) {
	if r.Cause != topics.CauseLocked || j.shut[id] == alerts.Critical {
		return
	}
	if j.shut == nil {
		j.shut = map[topics.RepositoryID]alerts.Severity{}
	}
	j.shut[id] = degree
}

// past reports whether a moment has come, and otherwise notes that it will.
func (j *judging) past(at int64) bool {
	if at <= j.now {
		return true
	}
	j.until(at)
	return false
}

// until notes that something may be otherwise at a moment; 0 is never.
func (j *judging) until(at int64) {
	if at > 0 && (j.next == 0 || at < j.next) {
		j.next = at
	}
}

// believed is a moment that a clock may have written that was right; else 0.
func (j *judging) believed(at int64) int64 {
	if at > j.now+facts.FarAhead {
		return 0
	}
	return at
}

// later is the later of two moments that can be believed.
func (j *judging) later(a, b int64) int64 { return max(j.believed(a), j.believed(b)) }

// A subject is what conditions are looked for of.
type subject struct {
	Finding        // with key, name and whereabouts, without a condition
	host    *Host  // of a host or a group
	quiet   int64  // it counts from then on for conditions that are quiet at first
	path    string // of its page
	link    string
}

// check begins to look for a condition of a subject. It returns false where nobody is to be
// told; limit is the threshold that counts, from says whose it is.
func (j *judging) check(s subject, name Name) (c Condition, limit int64, from string, on bool) {
	c = byName[name]
	key := s.Key
	key.Condition = string(name)
	if j.job {
		j.judged = append(j.judged, key)
	}
	var off bool
	if s.host != nil {
		limit, off, from = j.limits.Of(c, s.host.ID, s.host.Tags)
	} else {
		limit, off, from = j.limits.Of(c, "", nil)
	}
	if off {
		return c, 0, "", false
	}
	if c.Quiet > 0 && !j.past(j.believed(s.quiet)+c.Quiet.Milliseconds()) {
		return c, 0, "", false
	}
	return c, limit, from, true
}

// said is what is filled into the words of a condition.
type said struct {
	since  int64
	job    Run    // that proves it
	title  string // what stands behind the condition's title
	cause  string // in the place of the condition's
	do     string // the same
	limit  string // whose threshold counts, see [Limits.Of]
	value  int64  // that threshold
	degree alerts.Severity
	much   int // how much of it there is
	path   string
	link   string
}

// say notes that a condition holds.
func (j *judging) say(s subject, c Condition, w said) {
	f := s.Finding
	f.Condition, f.Severity, f.Since, f.Job = string(c.Name), cmp.Or(w.degree, c.Severity), j.believed(w.since), w.job.Job
	f.At, f.Body.Reason, f.Body.Much = w.job.At, string(w.job.Cause), int64(w.much)
	f.Body.Title, f.Body.Cause, f.Body.Do = c.Title+w.title, cmp.Or(w.cause, c.Cause), cmp.Or(w.do, c.Do)
	f.Body.Path, f.Body.Link = cmp.Or(w.path, s.path), cmp.Or(w.link, s.link)
	if w.job.Job != "" && w.path == "" {
		f.Body.Path, f.Body.Link = "/jobs/"+string(w.job.Job), "Open the job"
	}
	if c.Measure != None {
		f.Body.Limit = c.Words(w.value)
		if w.limit != "" {
			f.Body.Limit += ", of " + w.limit
		}
	}
	f.Body.Name, f.Body.Title = words.Cut(f.Body.Name, maxTitle), words.Cut(f.Body.Title, maxTitle)
	f.Body.Cause, f.Body.Do = words.Cut(f.Body.Cause, maxCause), words.Cut(f.Body.Do, maxCause)
	j.holds = append(j.holds, f)
}

// How long what an alert says may be: agents and other servers have their word in it.
const maxTitle, maxCause = 300, 2000

func (j *judging) channel(n Channel) {
	s := subject{Finding: Finding{Key: alerts.Key{On: alerts.OnChannel, Subject: n.ID}, Body: alerts.Body{Name: n.Name}},
		path: "/alerts/channels/" + n.ID, link: "Open the channel"}
	c, limit, from, on := j.check(s, ChannelFailing)
	if !on || n.FailingSince == 0 || !j.past(j.believed(n.FailingSince)+limit*1000) {
		return
	}
	answer := cmp.Or(n.Answer, "nothing")
	j.say(s, c, said{since: n.FailingSince, limit: from, value: limit, cause: fill(c.Cause, "why", words.Visible(answer))})
}

func (j *judging) plane(n Notice) {
	s := subject{Finding: Finding{Key: alerts.Key{On: alerts.OnPlane}, Body: alerts.Body{Name: "Control plane"}},
		path: "/control-plane", link: "Open the control plane"}
	c, _, _, on := j.check(s, n.Condition)
	if !on || c.On != alerts.OnPlane {
		return
	}
	w := said{since: n.Since, cause: n.Say, do: n.Do, degree: n.Severity, path: n.Path, link: n.Link}
	if i := slices.IndexFunc(j.holds, func(f Finding) bool { return f.Condition == string(n.Condition) }); i >= 0 {
		if j.holds[i].Severity == alerts.Critical || n.Severity != alerts.Critical {
			j.holds[i].Body.Cause += " " + n.Say
			return
		}
		w.cause += " " + j.holds[i].Body.Cause
		j.holds = slices.Delete(j.holds, i, i+1)
	}
	j.say(s, c, w)
}
