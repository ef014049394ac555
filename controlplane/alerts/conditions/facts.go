package conditions

import (
	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/pauses"
	"github.com/restic-manager/restic-manager/topics"
)

// Facts is all that is judged, as it is at one moment. Moments are in Unix milliseconds by
// the control plane's clock, 0 is none.
type Facts struct {
	Hosts        []Host
	Repositories []Repository
	Channels     []Channel
	Plane        []Notice

	// Began is when this process of the control plane began to hear hosts, and Stopped when
	// the one before it was last known to: nobody was heard of in between, which is no
	// host's fault.
	Stopped, Began int64
}

// A Host is one in care.
type Host struct {
	ID         topics.HostID
	Name       string
	Tags       []string
	EnrolledAt int64
	Retired    bool // nothing is expected of it
	Revoked    bool // it is not let in any more
	Keeper     bool // it looks after repositories
	Groups     []Group

	// Offline says that its agent is known not to be connected, Unknown that nobody knows
	// yet: the control plane has just started.
	Offline, Unknown bool
	SeenAt           int64 // when it was last heard of
	BackAt           int64 // when it last came back from having been offline
	Intermittent     bool  // it comes and goes, as laptops do
	OverdueDays      int64 // the limit in days that somebody set; 0 is none

	DiskFull, DiskLow bool   // of its agent's state
	DiskSince         int64  // since when
	DiskSays          string // what the agent says of it, while it is full

	CertifiedUntil int64
	TooOld         string // what its agent cannot do, as a sentence; "" for nothing
	Clock          int64  // how far its clock is ahead of ours, in milliseconds, while it is connected
	TwinsSince     int64  // since when several machines use its identity; 0 is that one does
	RefusedAt      int64  // when a message was last refused, here or there
	RefusedSays    string // what was, as a sentence

	Proof        drills.State
	DrillPlanned bool // drills are to prove it by themselves

	Pauses pauses.List // when its schedules were and are paused

	Restore *Run // the last restore that ended there
}

// A Group is a source group.
type Group struct {
	ID         topics.SourceGroupID
	Name       string
	Repository topics.RepositoryID
	CreatedAt  int64
	Said       []protection.Verdict // all that is to be said of how it is protected, the worst first
	LastGood   int64                // when its newest backup ended that can be restored whole
	Schedules  int                  // that name it, also those that are paused
	Enabled    int                  // of them, those that are on
	Replacing  bool                 // its host's machine was replaced, and nobody has decided what becomes of it

	Last        Run   // the last backup that ended; its zero value is none
	FailedSince int64 // when the first of the failures in a row ended; 0 if the last did not fail
	Retrying    bool  // what failed is to be tried again by itself, or is being
	GaveUp      bool  // it was not tried again after one of these failures
	Warned      Streak
	Size        *Size // how the last good backup compares; nil is not known
	Unusual     *Size // the last one whose change was unusual, and that nobody accepted
	Drill       *drills.Verdict
	Lost        int // snapshots that are gone and that nobody acknowledged
}

// A Run is how a job ended.
type Run struct {
	Job    topics.JobID
	State  topics.JobState
	Cause  topics.Cause
	At     int64  // when it ended
	Why    string // as a sentence, in the words of docs/CAUSES.md
	Do     string
	Brief  string // the same as Why, to stand in a title: "repository locked"
	Missed int    // files that a restore did not bring back, 0 is not known

	// Of maintenance alone:
	Since    int64 // when the first of the failures in a row ended
	Retrying bool  // it is to be tried again by itself
}

// failed reports whether the job did not do what it was for.
func (r Run) failed() bool {
	switch r.State {
	case topics.Failed, topics.Interrupted, topics.Abandoned:
		return true
	}
	return false
}

// A Streak is how often in a row backups ended with the same warnings.
type Streak struct {
	Times int64
	Since int64 // when the first of them ended
	Run
}

// A Size is how one good backup compares with the last of its group before it.
type Size struct {
	Job   topics.JobID
	At    int64 // when it ended
	Files Compared
	Bytes Compared
	Added Compared // bytes that it added to the repository
	// Changed are files that are new or other than in the snapshot before it.
	Changed Compared
}

// A Compared is a figure and what is usual for it.
type Compared struct {
	Is     float64 `json:"is"`
	Median float64 `json:"median"`
	Spread float64 `json:"spread"` // the median of how far the others are from the median
	N      int     `json:"n"`      // of how many backups
}

// A Repository is one in care.
type Repository struct {
	ID       topics.RepositoryID
	Name     string
	Said     []health.Verdict // all that is to be said of it, the worst first
	Held     []Held           // what waits for a review
	Forget   *Run             // the last that ended; nil is none
	Prune    *Run
	Check    *Run
	Planted  int   // snapshots that nobody knows
	Keys     int   // that nobody trusts
	Used     int64 // percent of the space where it lies; 0 is not known
	Growth   *Compared
	GrowthAt int64
	Mirror   *Mirror // where it is copied to; nil is nowhere
}

// A Mirror is a repository that another one is copied to.
type Mirror struct {
	Name   string
	Lacks  int   // snapshots of the first one
	Oldest int64 // when the oldest of them was made
	Copy   *Run  // the last that ended; nil is none
}

// A Held is a plan of retention that waits for a person.
type Held struct {
	Since int64
	Names []string // of the source groups that it holds, as people call them
	Why   string   // why it is unusual, as a sentence
}

// A Channel is a way of telling people.
type Channel struct {
	ID           string
	Name         string
	FailingSince int64
	Answer       string // of the other side, at the last try
}

// A Notice is that something is so of the control plane itself.
type Notice struct {
	Condition Name
	Severity  alerts.Severity
	Since     int64
	Say, Do   string
	Path      string // where that is done
	Link      string // what that page is called
}
