// Package protection says how well a source group is protected, in one word, from what
// can be restored now and what was promised. It is pure: the same facts and the same
// moment give the same verdict.
//
// It never takes the absence of errors for success, and time alone only makes things
// worse: a group is protected because a snapshot exists that is as new as its schedules
// promise, not because nobody complained.
package protection

import "slices"

// A Status is how well a source group, or a host, is protected. docs/STATUS.md explains
// each to people.
type Status string

// The statuses, worst first.
const (
	Lost        Status = "lost"          // snapshots are gone that no job of ours removed, or the repository is
	Failed      Status = "failed"        // the last backup made no snapshot, or the repository is damaged
	Overdue     Status = "overdue"       // three slots in a row were missed, or there is no good backup within the limit
	Empty       Status = "empty"         // the newest snapshot holds nothing, or next to nothing of what those before it held
	Late        Status = "late"          // a slot and its grace have passed without a good backup
	Warning     Status = "warning"       // there is a new snapshot, but something is missing from it
	NoBackupYet Status = "no-backup-yet" // nothing was backed up yet, and nothing was promised that has passed
	Unscheduled Status = "unscheduled"   // backed up within the limit, but no schedule says that it will be again
	Running     Status = "running"       // a backup is at work, and nothing is wrong
	Paused      Status = "paused"        // somebody switched all its schedules off, or paused the host
	Asleep      Status = "asleep"        // an intermittent host that is offline, within its limit
	Protected   Status = "protected"     // the newest good backup is as new as was promised

	Keeper  Status = "keeper"  // of hosts alone: it looks after repositories and has nothing of its own to back up
	Retired Status = "retired" // of hosts alone: out of use, its snapshots are kept
)

// Words lists all statuses, worst first. Those that are not judged come last.
var Words = []Status{Lost, Failed, Overdue, Empty, Late, Warning, NoBackupYet, Unscheduled, Running, Paused, Asleep, Protected,
	Keeper, Retired}

// Rank is the place of a status among Words; what is unknown ranks behind all.
func (s Status) Rank() int {
	if i := slices.Index(Words, s); i >= 0 {
		return i
	}
	return len(Words)
}

// Trouble reports whether somebody has to do something.
func (s Status) Trouble() bool {
	switch s {
	case Lost, Failed, Overdue, Empty, Late, Warning:
		return true
	}
	return false
}

// The causes of verdicts beside those of failed jobs, which are topics.Cause. Lists
// group by them.
const (
	CauseTwins         = "twins"                 // two machines use the host's identity, and nobody has said which one stays
	CauseSnapshotsGone = "snapshots-gone"        // lost: snapshots vanished
	CauseAcknowledged  = "snapshots-gone-before" // warning: they did, somebody has seen it, and nothing good came after
	CauseMissing       = "repository-missing"    // lost
	CauseUnreadable    = "repository-unreadable" // lost
	CauseDamaged       = "repository-damaged"    // failed
	CauseOffline       = "offline"               // overdue, late: its agent is not connected
	CauseDiskFull      = "host-disk"             // warning, overdue, late: its agent has no room for its journal, and begins nothing
	CauseDiskLow       = "host-disk-low"         // warning: it will be so before long
	CauseMissedSlots   = "missed-slots"          // overdue, late: its agent is connected, and backed nothing up
	CauseOverLimit     = "over-limit"            // overdue: no good backup within the limit in days
	CauseEmpty         = "empty-source"          // empty: no file
	CausePartEmpty     = "empty-part"            // warning: nothing of one source, and files of another
	CauseCollapsed     = "collapsed"             // empty: next to nothing of what it held before
	CauseFewFiles      = "fewer-files"           // warning
	CauseIncomplete    = "incomplete"            // warning
	CauseNever         = "never-backed-up"
	CauseNoGroups      = "no-source-groups" // no-backup-yet, of a host
	CauseNoSchedule    = "no-schedule"
	CauseRunning       = "running"
	CausePaused        = "paused"
	CauseHostPaused    = "host-paused"    // paused: somebody paused all schedules of the host for a while
	CauseReplaced      = "being-replaced" // paused, overdue: its machine was replaced, and nobody has said what becomes of its files
	CauseAsleep        = "asleep"
	CauseKeeper        = "keeper"
	CauseRetired       = "retired"
	CauseNone          = "" // protected
)
