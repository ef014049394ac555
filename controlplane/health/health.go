// Package health says how a repository is, in one word, from what hosts last found
// when they looked at it. It is pure: the same facts and the same moment give the same
// verdict, and time alone makes it worse.
//
// A repository is never healthy because nothing was heard of it: it is healthy if a
// host opened it within a limit, a check of it is not overdue, and nothing that was
// found since speaks against it.
package health

import "github.com/restic-manager/restic-manager/topics"

// A Word is how a repository is. docs/STATUS.md explains each to people.
type Word string

// The words, worst first.
const (
	Damaged       Word = "damaged"         // a check or another job found data that does not fit together
	Unreadable    Word = "unreadable"      // its password does not open it
	Missing       Word = "missing"         // it was there, and nothing is where it was
	Unreachable   Word = "unreachable"     // its place does not answer, or lets nobody in
	Foreign       Word = "foreign"         // somebody else's snapshots or keys are in it, or ours were removed by somebody else
	Locked        Word = "locked"          // a lock keeps jobs out
	Full          Word = "full"            // there is no space for another snapshot
	CheckOverdue  Word = "check-overdue"   // nobody checked it, or opened it, within the limit
	NeverLookedAt Word = "never-looked-at" // no job has opened it yet
	Healthy       Word = "healthy"
)

// Words lists all words, worst first.
var Words = []Word{Damaged, Unreadable, Missing, Unreachable, Foreign, Locked, Full, CheckOverdue, NeverLookedAt, Healthy}

// A Verdict is what is to be said of a repository at a moment.
type Verdict struct {
	Word   Word
	Reason string // one sentence for people, without moments in it
	Cause  string // a stable key of the reason, by which lists group
	Since  int64  // Unix milliseconds of the moment it began, 0 if not known
	Until  int64  // when time alone makes it another verdict, 0 for never

	// By and Job are who found it and with which job, if one did.
	By  topics.HostID
	Job topics.JobID
}

// Restorable reports whether backups in the repository can be restored, as far as is
// known.
func (w Word) Restorable() bool {
	switch w {
	case Damaged, Unreadable, Missing:
		return false
	}
	return true
}
