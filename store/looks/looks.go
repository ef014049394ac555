// Package looks keeps what hosts last found when they looked at a repository: of each
// host and each kind of look when it last went well, and since when, why and in which
// job it does not. The end of every job is a look of some kinds; see [Says].
//
// Whoever judges a repository reads these rows and never walks through jobs, which are
// removed by age. Times are Unix milliseconds by the control plane's clock.
package looks

import (
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// A Kind is what a look tried.
type Kind string

// The kinds of looks.
const (
	Open  Kind = "open"  // to open the repository with its password
	List  Kind = "list"  // to list all of its snapshots
	Keys  Kind = "keys"  // to list all of its keys
	Check Kind = "check" // to verify that it fits together
	Locks Kind = "locks" // to see what keeps jobs out; it went well if nothing does
	Write Kind = "write" // to add something to it
)

// An Ended is what the end of a job says.
type Ended struct {
	Job        topics.JobID
	Host       topics.HostID
	Repository topics.RepositoryID
	Kind       topics.JobKind
	Operation  *topics.Operation
	State      topics.JobState
	Cause      topics.Cause
	Message    string
	Result     *topics.Result
	Whole      bool // a listing whose every part arrived
}

// A Said is what the end of a job says of one kind of look. One that went well has no
// cause.
type Said struct {
	Kind  Kind
	Cause topics.Cause
}

// A blame is what a cause says of the repository rather than of the host, the job or
// the data that was to be saved.
type blame int

const (
	innocent blame = iota // nothing: restic was not started, or something else was in its way
	shut                  // the repository did not open
	open                  // it opened
	barred                // it opened, and a lock kept the job out
	full                  // it opened, and had no space
	damaged               // it holds data that does not fit together
)

// blames lists what each cause of a failure says. A cause that is not in it says
// nothing.
var blames = map[topics.Cause]blame{
	topics.CauseLocked:        barred,
	topics.CausePassword:      shut,
	topics.CauseNoRepository:  shut,
	topics.CauseUnmade:        innocent, // there is none yet
	topics.CauseNotMounted:    innocent, // the same
	topics.CauseUnreachable:   shut,
	topics.CauseCertificate:   shut,
	topics.CauseHostKey:       innocent, // the host has not been introduced to the server
	topics.CauseHostKeyOther:  shut,
	topics.CauseKeyRefused:    shut,
	topics.CauseCredentials:   shut,
	topics.CauseAppendOnly:    innocent, // the server may refuse to delete before anything is read
	topics.CausePermission:    shut,     // but for those jobs that write elsewhere: see of
	topics.CauseDiskFull:      full,     // the same
	topics.CauseHostDisk:      innocent, // it says nothing of the repository's disk
	topics.CauseSourceMissing: innocent, // restic looks for the sources first
	topics.CauseEmptySource:   innocent,
	topics.CauseNothing:       innocent,
	topics.CauseProof:         innocent, // that it may be damaged, the host's own page says; a check tells
	topics.CauseFewerFiles:    innocent,
	topics.CauseSourceMoved:   innocent,
	topics.CauseShadowCopy:    innocent,
	topics.CauseUnreadable:    innocent,
	topics.CauseDamaged:       damaged,
	topics.CauseNoRestic:      innocent,
	topics.CauseUsage:         innocent,
	topics.CausePolicy:        innocent,
	topics.CauseRefused:       innocent,
	topics.CauseExpired:       innocent,
	topics.CauseHook:          innocent, // before restic, or after it with another state
	topics.CauseServed:        innocent,
	topics.CauseCancelled:     innocent,
	topics.CauseHostRemoved:   innocent,
	topics.CauseReplaced:      innocent,
	topics.CauseNotOwn:        innocent,
	topics.CauseSecrets:       innocent, // health reads that from the row itself
	topics.CauseTwins:         innocent,
	topics.CauseKilled:        innocent,
	topics.CauseStalled:       innocent, // but for those that never got into it: see blame
	topics.CauseAgentDied:     innocent,
	topics.CauseAgentStopped:  innocent,
	topics.CauseReview:        innocent,
	topics.CausePreview:       innocent,
	topics.CauseNoMatch:       open, // its snapshot was listed
	topics.CauseNoSnapshot:    open, // it was looked for
	topics.CauseTargetMoved:   open,
	topics.CauseUnknown:       innocent,
	// An update of the agent is in no repository.
	topics.CauseUpdateRefused: innocent,
	topics.CauseSignature:     innocent,
	topics.CauseOldManifest:   innocent,
	topics.CauseNoProgram:     innocent,
	topics.CauseChecksum:      innocent,
	topics.CauseCannotRun:     innocent,
	topics.CauseNotWelcomed:   innocent,
	topics.CauseLostRestic:    innocent,
	topics.CauseRolledBack:    innocent,
}

// elsewhere lists the kinds of jobs that write to the host's own disk, or read so much
// that they fill it: a full disk and a refusal of the file system are not the
// repository's there.
var elsewhere = []topics.JobKind{topics.RestoreJob, topics.CheckJob}

// before lists how messages begin of a host that could not start restic.
var before = []string{"start restic: ", "make restic's cache directory: ", "make a directory for restic's temporary files: "}

// own lists what messages say of a host that has no name server or no network: others may
// well reach the repository. A server that does not exist ("no such host") is not here,
// since its name may be the one that is wrong.
var own = []string{"temporary failure in name resolution", "server misbehaving", "network is unreachable", "network is down",
	"unreachable network", "temporary error during hostname resolution"}

// nameless reports whether a message says that a name server does not answer.
func nameless(message string) bool {
	_, rest, asked := strings.Cut(message, "lookup ")
	return asked && strings.Contains(rest, ":53: ") &&
		(strings.Contains(rest, "i/o timeout") || strings.Contains(rest, "connection refused"))
}

func (e Ended) blame() blame {
	if slices.ContainsFunc(before, func(b string) bool { return strings.HasPrefix(e.Message, b) }) {
		return innocent
	}
	if e.Cause == topics.CauseStalled && strings.HasSuffix(e.Message, topics.NeverAWord) {
		return shut
	}
	if m := strings.ToLower(e.Message); e.Cause == topics.CauseUnreachable &&
		(nameless(m) || slices.ContainsFunc(own, func(o string) bool { return strings.Contains(m, o) })) {
		return innocent
	}
	if e.Cause == topics.CauseNoRepository && strings.HasSuffix(e.Message, topics.NeverThere) {
		return innocent // there is none yet
	}
	b := blames[e.Cause]
	if (e.Cause == topics.CausePermission || b == full) && slices.Contains(elsewhere, e.Kind) {
		return innocent
	}
	return b
}

// Says returns what the end of a job says of a repository. A job that was cancelled, that
// never began or whose agent died says nothing.
func Says(e Ended) (said []Said) {
	good := func(kinds ...Kind) {
		for _, k := range kinds {
			said = append(said, Said{Kind: k})
		}
	}
	switch e.State {
	case topics.Succeeded, topics.Warnings:
		good(Open)
		if e.writes() {
			good(Write)
		}
		if e.Kind.Exclusive() {
			good(Locks) // nobody else held one
		}
		switch {
		case e.Kind == topics.CheckJob:
			good(Check)
		case !e.Whole:
		case e.Kind == topics.SnapshotsJob:
			good(List)
		case e.Kind == topics.KeyJob:
			good(Keys)
		case e.Kind == topics.LocksJob && e.Result != nil && e.Result.Count == 0:
			good(Locks)
		}
	case topics.Failed:
		switch e.blame() {
		case shut:
			said = append(said, Said{Open, e.Cause})
		case barred:
			good(Open)
			said = append(said, Said{Write, e.Cause})
		case full:
			said = append(said, Said{Write, e.Cause})
		case damaged:
			if e.Kind == topics.CheckJob {
				good(Open, Locks)
				said = append(said, Said{Check, e.Cause})
			}
		case innocent, open:
		}
	}
	return said
}

// writes reports whether a job of this kind that ended well added to the repository.
func (e Ended) writes() bool {
	if o := e.Operation; o != nil && o.DryRun {
		return false
	}
	switch e.Kind {
	case topics.BackupJob, topics.InitJob, topics.ForgetJob, topics.PruneJob, topics.TagJob, topics.RewriteJob, topics.RepairJob:
		return true
	case topics.CopyJob: // of the repository it goes to, the other has no result
		return e.Result != nil && e.Result.Copy != nil && e.Result.Copy.Copied > 0
	}
	return false
}

// Found returns in what part of the repository a job found damage, if it did. A job
// that is no check may have met it anywhere.
func Found(e Ended) (s Scope, found bool) {
	check := e.Kind == topics.CheckJob
	counted := check && e.Result != nil && e.Result.Check != nil && e.Result.Check.Errors > 0
	if e.State != topics.Failed || !counted && e.blame() != damaged {
		return "", false
	}
	if check {
		return scopeOf(e.Operation), true
	}
	return All, true
}

// Cleared returns what part of the repository a job found to be whole, if it checked
// any.
func Cleared(e Ended) (s Scope, cleared bool) {
	if e.Kind != topics.CheckJob || e.State != topics.Succeeded || e.Result == nil || e.Result.Check == nil || e.Result.Check.Errors > 0 {
		return "", false
	}
	if e.Operation != nil && e.Operation.WithCache { // it did not look at what the repository holds
		return "", false
	}
	return scopeOf(e.Operation), true
}

func scopeOf(o *topics.Operation) Scope {
	switch {
	case o == nil:
		return Structure
	case o.ReadData:
		return All
	case o.Subset != "":
		return Scope(o.Subset)
	}
	return Structure
}
