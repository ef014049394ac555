package conditions

import (
	"cmp"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// grown is for how long somebody is told that a repository grew too fast.
const grown = 2 * day * 1000

// ofHealth are the conditions that are verdicts on a repository, by word and cause; "" is
// any cause.
var ofHealth = []struct {
	name  Name
	word  health.Word
	cause string
}{
	{RepositoryDamaged, health.Damaged, ""},
	{RepositoryMissing, health.Missing, ""},
	{RepositoryUnreadable, health.Unreadable, ""},
	{RepositoryUnreachable, health.Unreachable, ""},
	{RepositoryLocked, health.Locked, ""},
	{RepositoryFull, health.Full, ""},
	{CheckOverdue, health.CheckOverdue, ""},
	{ForeignSnapshots, health.Foreign, "foreign-snapshots"},
	{ForeignKeys, health.Foreign, "foreign-keys"},
}

func repositoryOf(r *Repository) subject {
	return subject{
		Finding: Finding{Key: alerts.Key{On: alerts.OnRepository, Subject: string(r.ID)}, Repository: r.ID, Body: alerts.Body{Name: r.Name}},
		path:    "/repositories/" + string(r.ID), link: "Open the repository",
	}
}

func (j *judging) repository(r *Repository) {
	s := repositoryOf(r)
	for _, v := range r.Said {
		j.until(v.Until)
	}
	j.upkeep(r)
	j.healthy(s, r)
	j.held(s, r)
	j.mirrored(s, r)
	if c, limit, from, on := j.check(s, RepositoryNearlyFull); on && r.Used > 0 && r.Used >= limit {
		j.say(s, c, said{limit: from, value: limit, cause: fill(c.Cause, "is", c.Words(r.Used))})
	}
	if c, limit, from, on := j.check(s, RepositoryGrowth); on && r.Growth != nil && r.Growth.fast(limit) && j.believed(r.GrowthAt) > 0 &&
		!j.past(r.GrowthAt+grown) {
		j.say(s, c, said{since: r.GrowthAt, limit: from, value: limit, cause: fill(c.Cause, "is", words.Bytes(uint64(r.Growth.Is)),
			"usual", words.Bytes(uint64(max(r.Growth.Median, 0))), "n", words.Number(uint64(r.Growth.N)))})
	}
}

// healthy says what is wrong with the repository by what hosts found.
func (j *judging) healthy(s subject, r *Repository) {
	for _, of := range ofHealth {
		c, limit, from, on := j.check(s, of.name)
		v, so := r.has(of.word, of.cause)
		if so && j.job && of.name == RepositoryLocked { // what else it stopped only a look at everything knows
			j.judged = j.judged[:len(j.judged)-1]
			continue
		}
		degree, shut := j.shut[r.ID]
		if of.name != RepositoryLocked {
			degree, shut = "", false
		}
		if !on || !so || c.Measure == Seconds && !shut && !j.past(j.believed(v.Since)+limit*1000) {
			continue
		}
		advice := v.Advice()
		j.say(s, c, said{since: v.Since, job: Run{Job: v.Job, Cause: topics.Cause(v.Cause)}, limit: from, value: limit, degree: degree,
			much:  map[Name]int{ForeignSnapshots: r.Planted, ForeignKeys: r.Keys}[of.name],
			cause: strings.TrimSpace(v.Reason + " " + advice.Effect), do: advice.Remedy})
	}
}

// has returns a verdict on the repository by its word, and by its cause unless that is "".
func (r *Repository) has(word health.Word, cause string) (health.Verdict, bool) {
	var narrow *health.Verdict
	for i, v := range r.Said {
		switch {
		case v.Word != word || cause != "" && v.Cause != cause:
		case Narrow(v.Cause):
			narrow = &r.Said[i]
		default:
			return v, true
		}
	}
	if narrow == nil {
		return health.Verdict{}, false
	}
	return *narrow, true
}

// upkeep says how forget, prune and check ended.
func (j *judging) upkeep(r *Repository) {
	s := repositoryOf(r)
	for _, of := range []struct {
		name Name
		run  *Run
	}{{ForgetFailed, r.Forget}, {PruneFailed, r.Prune}, {CheckFailed, r.Check}} {
		if of.run == nil {
			continue
		}
		c, _, _, on := j.check(s, of.name)
		since := cmp.Or(of.run.Since, of.run.At)
		if !on || !of.run.failed() || of.run.Retrying && !j.past(since+retries.Milliseconds()) {
			continue
		}
		j.locked(r.ID, *of.run, c.Severity)
		j.say(s, c, said{since: since, job: *of.run, title: behind(of.run.Brief), do: of.run.Do,
			cause: cmp.Or(of.run.Why, "It failed for a reason that is not known.")})
	}
}

// mirrored says that the mirror of the repository lacks what it should have by now.
func (j *judging) mirrored(s subject, r *Repository) {
	c, limit, from, on := j.check(s, MirrorBehind)
	m := r.Mirror
	if !on || m == nil {
		return
	}
	oldest := j.believed(m.Oldest)
	late := m.Lacks > 0 && oldest > 0 && j.past(oldest+limit*1000)
	failed := m.Lacks > 0 && m.Copy != nil && m.Copy.failed() && !m.Copy.Retrying
	if !late && !failed {
		return
	}
	lacks := words.Count(uint64(m.Lacks), "snapshot", "snapshots")
	is := said{since: oldest + limit*1000, limit: from, value: limit,
		cause: fill(c.Cause, "n", lacks, "mirror", words.Visible(m.Name), "limit", c.Words(limit))}
	if failed {
		is.since, is.job, is.title, is.do = m.Copy.At, *m.Copy, behind(m.Copy.Brief), m.Copy.Do
		is.cause = cmp.Or(m.Copy.Why, "The last copy failed for a reason that is not known.")
	}
	j.say(s, c, is)
}

// held says which plans wait for a person.
func (j *judging) held(s subject, r *Repository) {
	c, _, _, on := j.check(s, PlanHeld)
	if !on || len(r.Held) == 0 {
		return
	}
	since, names, why := int64(0), []string{}, ""
	for _, h := range r.Held {
		if since == 0 || h.Since < since {
			since = h.Since
		}
		for _, n := range h.Names {
			names = append(names, words.Visible(n))
		}
		why = cmp.Or(why, h.Why)
	}
	const most = 5
	all := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		all += " and " + words.Number(uint64(len(names)-most)) + " more"
	}
	cause := cmp.Or(why, "It would remove unusually much, or leave far less than it removes.")
	if all != "" {
		cause = "Nothing is removed of " + all + ". " + cause
	}
	j.say(s, c, said{since: since, cause: cause})
}
