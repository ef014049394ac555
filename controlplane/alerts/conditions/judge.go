package conditions

import (
	"time"

	"github.com/restic-manager/restic-manager/store/alerts"
)

// Judge returns all that holds at a moment, with nothing left out that something else
// explains, and when time alone may make it something else; the zero time is never. The
// same facts and the same moment give the same findings, in the same order.
func Judge(f Facts, l Limits, now time.Time) (holds []Finding, next time.Time) {
	return nil, time.Time{}
}

// OfJob returns of facts about what a job touched the findings that the job's end decides,
// and everything that was looked for: what of that is not among the findings is over.
// [Judge] says the same of the same facts.
func OfJob(f Facts, l Limits, now time.Time) (holds []Finding, judged []alerts.Key) {
	return nil, nil
}
