package schedule

import (
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// retries lists for every cause whether a slot whose job failed because of it is
// retried automatically, and why.
var retries = map[topics.Cause]struct {
	again   bool
	because string
}{
	topics.CauseLocked:        {true, "whoever holds the lock lets go of it"},
	topics.CauseUnreachable:   {true, "networks and servers come back"},
	topics.CauseAgentDied:     {true, "the machine is back, or nobody could have told us; the job itself is never run again, this is another"},
	topics.CauseKilled:        {true, "a shutdown or a moment without memory passes"},
	topics.CauseExpired:       {true, "the host was away, which is what pending runs are for"},
	topics.CauseDiskFull:      {false, "people make room, minutes do not; each try would upload more into a full disk"},
	topics.CauseHostDisk:      {true, "temporary files and caches come and go"},
	topics.CausePassword:      {false, "it stays wrong until somebody changes it"},
	topics.CauseNoRepository:  {false, "it may be an unmounted disk or a lost one; somebody has to look"},
	topics.CauseCertificate:   {false, "trust is decided by people"},
	topics.CauseCredentials:   {false, "they stay wrong, and servers lock out who insists"},
	topics.CauseAppendOnly:    {false, "the server means it"},
	topics.CausePermission:    {false, "rights do not change by themselves"},
	topics.CauseSourceMissing: {false, "the paths are wrong or a disk is not mounted; somebody has to look"},
	topics.CauseUnreadable:    {false, "a snapshot exists; the next slot reads these items again"},
	topics.CauseEmptySource:   {false, "a disk is not mounted, or the group is set up wrongly; somebody has to look"},
	topics.CauseFewerFiles:    {false, "a snapshot exists; files do not come back by themselves"},
	topics.CauseSourceMoved:   {false, "the snapshot is whole"},
	topics.CauseDamaged:       {false, "writing on would bury the evidence"},
	topics.CauseNoRestic:      {false, "somebody has to install it"},
	topics.CauseServed:        {false, "another job has run it"},
	topics.CauseUsage:         {false, "the same words are refused again"},
	topics.CausePolicy:        {false, "the host has said no"},
	topics.CauseRefused:       {false, "the agent has said why, and says it again"},
	topics.CauseCancelled:     {false, "a person wanted it to end"},
	topics.CauseReview:        {false, "a person has to look"},
	topics.CauseUnknown:       {false, "what nobody understood is shown instead of repeated"},
	topics.CauseNone:          {false, "there is nothing to go by"},
}

// Retry reports whether a job that ended like this should be retried. A job that made
// a snapshot needs no retry, and one that a person cancelled gets none.
func Retry(state topics.JobState, cause topics.Cause) bool {
	switch state {
	case topics.Failed, topics.Interrupted, topics.Abandoned:
		return retries[cause].again
	}
	return false
}

// Backoff returns how long a failed slot waits for its next attempt: a minute,
// doubled each time, at most half an hour.
func Backoff(attempt int) time.Duration {
	const first, most = time.Minute, 30 * time.Minute
	if attempt >= 5 {
		return most
	}
	return min(first<<max(attempt, 0), most)
}
