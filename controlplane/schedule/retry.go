package schedule

import (
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// A retry is what becomes of a slot whose job failed because of a cause.
type retry struct {
	again   bool // automatically
	because string
	most    int // times, if a schedule would try it more often; 0 is as often as that says
}

// retries lists all causes.
var retries = map[topics.Cause]retry{
	topics.CauseLocked:        {again: true, because: "whoever holds the lock lets go of it"},
	topics.CauseUnreachable:   {again: true, because: "networks and servers come back"},
	topics.CauseAgentStopped:  {again: true, because: "the agent is back, or nobody could have told us; this is another job"},
	topics.CauseAgentDied:     {again: true, because: "the machine is back, or nobody could have told us; this is another job"},
	topics.CauseKilled:        {again: true, because: "a shutdown or a moment without memory passes"},
	topics.CauseStalled:       {again: true, because: "what hangs may have been restarted; each try blocks for half an hour", most: 2},
	topics.CauseExpired:       {again: true, because: "the host was away, which is what pending runs are for"},
	topics.CauseDiskFull:      {again: false, because: "people make room, minutes do not; each try would upload more into a full disk"},
	topics.CauseHostDisk:      {again: true, because: "temporary files and caches come and go"},
	topics.CausePassword:      {again: false, because: "it stays wrong until somebody changes it"},
	topics.CauseNoRepository:  {again: false, because: "it may be an unmounted disk or a lost one; somebody has to look"},
	topics.CauseUnmade:        {again: true, because: "the repository is being made; the backup waits for that, see step.ended"},
	topics.CauseNotMounted:    {again: true, because: "disks are mounted late; the look before costs nothing"},
	topics.CauseCertificate:   {again: false, because: "trust is decided by people"},
	topics.CauseHostKey:       {again: false, because: "trust is decided by people"},
	topics.CauseHostKeyOther:  {again: false, because: "somebody may stand between; people decide"},
	topics.CauseKeyRefused:    {again: false, because: "the server has to be given its public half first"},
	topics.CauseCredentials:   {again: false, because: "they stay wrong, and servers lock out who insists"},
	topics.CauseAppendOnly:    {again: false, because: "the server means it"},
	topics.CausePermission:    {again: false, because: "rights do not change by themselves"},
	topics.CauseSourceMissing: {again: false, because: "the paths are wrong or a disk is not mounted; somebody has to look"},
	topics.CauseShadowCopy:    {again: false, because: "the service, the rights or the file system stay as they are"},
	topics.CauseUnreadable:    {again: false, because: "a snapshot exists; the next slot reads these items again"},
	topics.CauseEmptySource:   {again: false, because: "a disk is not mounted, or the group is set up wrongly; somebody has to look"},
	topics.CauseFewerFiles:    {again: false, because: "a snapshot exists; files do not come back by themselves"},
	topics.CauseSourceMoved:   {again: false, because: "the snapshot is whole"},
	topics.CauseNothing:       {again: false, because: "there is no snapshot until a backup makes one"},
	topics.CauseProof:         {again: false, because: "what did not come back as it was saved does not mend itself"},
	topics.CauseDamaged:       {again: false, because: "writing on would bury the evidence"},
	topics.CauseNoRestic:      {again: false, because: "somebody has to install it"},
	topics.CauseServed:        {again: false, because: "another job has run it"},
	topics.CauseUsage:         {again: false, because: "the same words are refused again"},
	topics.CausePolicy:        {again: false, because: "the host has said no"},
	topics.CauseRefused:       {again: false, because: "the agent has said why, and says it again"},
	topics.CauseCancelled:     {again: false, because: "a person wanted it to end"},
	topics.CauseHook:          {again: false, because: "somebody has to look at the program"},
	topics.CauseHostRemoved:   {again: false, because: "the host is gone"},
	topics.CauseReplaced:      {again: false, because: "the new machine may not hold yet what is to be saved"},
	topics.CauseNotOwn:        {again: true, because: "its source group backs up into another repository now, and goes there"},
	topics.CauseSecrets:       {again: false, because: "they cannot be read until somebody enters them again"},
	topics.CauseTwins:         {again: false, because: "the machine that stays runs the next slot; this one has become another host"},
	topics.CauseReview:        {again: false, because: "a person has to look"},
	topics.CausePreview:       {again: false, because: "a person has to look at a new dry run"},
	topics.CauseNoMatch:       {again: false, because: "snapshots do not change"},
	topics.CauseNoSnapshot:    {again: false, because: "what is gone does not come back by itself"},
	topics.CauseTargetMoved:   {again: false, because: "somebody has to look at the target"},
	topics.CauseUpdateRefused: {again: false, because: "no schedule updates an agent; the host has said no"},
	topics.CauseSignature:     {again: false, because: "no schedule updates an agent; the same bytes have the same signature"},
	topics.CauseOldManifest:   {again: false, because: "no schedule updates an agent; it does not become newer"},
	topics.CauseNoProgram:     {again: false, because: "no schedule updates an agent; another release may have one"},
	topics.CauseChecksum:      {again: false, because: "no schedule updates an agent; somebody has to look at the file"},
	topics.CauseCannotRun:     {again: false, because: "no schedule updates an agent; somebody has to look at the host"},
	topics.CauseNotWelcomed:   {again: false, because: "no schedule updates an agent; a person decides"},
	topics.CauseLostRestic:    {again: false, because: "no schedule updates an agent; somebody has to look at the host"},
	topics.CauseRolledBack:    {again: false, because: "no schedule updates an agent; somebody on the host decided"},
	topics.CauseUnknown:       {again: true, because: "most of what nobody recognises passes, too; what it costs is not known", most: 3},
	topics.CauseNone:          {again: false, because: "there is nothing to go by"},
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

// Retries returns how often a slot that failed for a cause is tried again by a schedule
// that allows so many retries.
func Retries(cause topics.Cause, allowed int) int {
	if most := retries[cause].most; most > 0 {
		return min(most, allowed)
	}
	return allowed
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
