// Package conditions says what somebody should be told of: one table of conditions, and
// pure functions that find in facts and at a moment which of them hold. It knows no
// database, no clock and no channel.
package conditions

import (
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
	Times   Measure = "times"   // how often in a row
	Percent Measure = "percent"
)

// A Condition is what may be so of a subject, and what people are told then.
type Condition struct {
	Name     Name
	On       alerts.On
	Severity alerts.Severity
	Measure  Measure
	Default  int64  // the threshold where nobody set one
	Title    string // what is so, beside the subject's name: "backups fail"
	When     string // when it holds, as a sentence for the page and docs/ALERTS.md; "{limit}" is the threshold
	Do       string // what to do
	Ends     string // how it ends, as a sentence
	// Explained names the conditions of the same subject, or of what the subject belongs
	// to, that say it better: while one of them is open, this one opens no row.
	Explained []Name
	// Quiet is how long after a host was enrolled the condition does not count.
	Quiet time.Duration
}

// A Finding is that a condition holds for a subject, now.
type Finding struct {
	alerts.Key
	Host       topics.HostID
	Repository topics.RepositoryID
	Job        topics.JobID // that proves it, "" for none
	Severity   alerts.Severity
	Since      int64 // in Unix milliseconds; 0 is not known
	Body       alerts.Body
}
