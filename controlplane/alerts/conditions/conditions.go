// Package conditions says what somebody should be told of: one table of conditions, and
// pure functions that find in facts and at a moment which of them hold. It knows no
// database, no clock and no channel.
//
// The facts have been judged before they come here: how well a group is protected, how a
// repository is, whether a host is proven. What is added is only what is worth waking
// somebody for, from when on, and in which words.
package conditions

import (
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// A Name is a condition's, in small letters and hyphens. It never changes its meaning.
type Name string

// A Measure is what a threshold counts.
type Measure string

// What thresholds count.
const (
	None    Measure = ""        // nothing: the condition holds or it does not
	Seconds Measure = "seconds" // a span
	Times   Measure = "times"   // how often in a row, or how many times the usual
	Percent Measure = "percent"
)

// A Condition is what may be so of a subject, and what people are told then.
type Condition struct {
	Name     Name
	On       alerts.On
	Severity alerts.Severity
	Measure  Measure
	Default  int64  // the threshold where nobody set one; 0 with a Measure is what schedules and hosts promise themselves
	Title    string // what is so, beside the subject's name: "backups fail"
	When     string // when it holds, as a sentence for the page and docs/ALERTS.md; "{limit}" is the threshold
	// Cause is why, for those of which nothing says it better. In braces is what the facts
	// fill in: see docs/ALERTS.md.
	Cause string
	Do    string // what to do
	Ends  string // how it ends, as a sentence
	// Explained names the conditions of the same subject, or of what the subject belongs
	// to, that say it better: while one of them is open, this one opens no row.
	Explained []Name
	// Quiet is how long after a host was enrolled the condition does not count.
	Quiet time.Duration
	// Stays says that nobody can snooze it.
	Stays bool
}

// A Finding is that a condition holds for a subject, now.
type Finding struct {
	alerts.Key
	Host       topics.HostID
	Repository topics.RepositoryID
	Job        topics.JobID // that proves it, "" for none
	Severity   alerts.Severity
	Since      int64 // in Unix milliseconds; 0 is not known
	At         int64 // when what proves it last ended, of jobs that failed; 0 is not known
	Body       alerts.Body
}

// Table lists all conditions: those of source groups first, then those of hosts,
// repositories, channels and the control plane.
func Table() []Condition { return slices.Clone(table) }

var table = slices.Concat(ofGroups, ofHosts, ofRepositories, ofRest)

var byName = func() map[Name]Condition {
	all := map[Name]Condition{}
	for _, c := range table {
		all[c.Name] = c
	}
	return all
}()

// Of returns the condition with a name.
func Of(name Name) (Condition, bool) {
	c, known := byName[name]
	return c, known
}

// Explains reports whether one thing that is so says better what a finding says: it opens
// no row while an alert of that is open which is as severe.
func Explains(by alerts.Key, f Finding) bool {
	c := byName[Name(f.Condition)]
	if !slices.Contains(c.Explained, Name(by.Condition)) || c.Name == BackupFailed && !fits(Name(by.Condition), topics.Cause(f.Body.Reason)) {
		return false
	}
	switch by.On {
	case f.On:
		return by.Subject == f.Subject
	case alerts.OnHost:
		return by.Subject == string(f.Host)
	case alerts.OnRepository:
		return by.Subject == string(f.Repository)
	case alerts.OnPlane:
		return true
	}
	return false
}

// Narrow reports whether something is so for a reason that stops nobody else, and so explains
// nothing: of a repository whose own maintenance cannot be reached every host can still save.
func Narrow(reason string) bool { return reason == "maintenance-unread" }

// only are the causes of failed backups that a condition explains, where it is but these.
var only = map[Name]topics.Cause{RepositoryLocked: topics.CauseLocked, RepositoryDamaged: topics.CauseDamaged,
	HostDisk: topics.CauseHostDisk}

// own are causes of failed backups that lie with the host: whatever is the matter with the
// repository meanwhile, the backup fails all the same.
var own = map[topics.Cause]bool{topics.CauseHostDisk: true, topics.CauseSourceMissing: true, topics.CauseSourceMoved: true,
	topics.CauseEmptySource: true, topics.CauseNoRestic: true, topics.CauseUsage: true, topics.CausePolicy: true, topics.CauseRefused: true,
	topics.CauseHook: true, topics.CauseShadowCopy: true}

// fits reports whether backups that failed by a cause may have done so because of a condition.
func fits(by Name, cause topics.Cause) bool {
	if one, is := only[by]; is {
		return cause == one
	}
	return byName[by].On != alerts.OnRepository || !own[cause]
}

// fill puts words in the place of what is in braces: name, value, name, value.
func fill(text string, pairs ...string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, "{"+pairs[i]+"}", pairs[i+1])
	}
	return text
}
