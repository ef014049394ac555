package topics

import "slices"

// JobKind is the restic operation a job runs, in restic's own word.
type JobKind string

// The operations.
const (
	BackupJob    JobKind = "backup"
	InitJob      JobKind = "init"   // makes the repository; nothing else does
	ForgetJob    JobKind = "forget" // snapshots by their IDs; what to keep is decided elsewhere
	PruneJob     JobKind = "prune"
	CheckJob     JobKind = "check"
	UnlockJob    JobKind = "unlock"
	SnapshotsJob JobKind = "snapshots"
	StatsJob     JobKind = "stats"
	DiffJob      JobKind = "diff"
	RestoreJob   JobKind = "restore"
	FindJob      JobKind = "find"
	KeyJob       JobKind = "key"     // lists the repository's keys; with a KeyChange it changes them first
	LocksJob     JobKind = "locks"   // lists what lies in its locks
	DrillJob     JobKind = "drill"   // restores a sample into a scratch folder, proves it, and removes it
	CopyJob      JobKind = "copy"    // snapshots into a second repository, and looks whether they are there
	TagJob       JobKind = "tag"     // adds, removes or sets tags of snapshots
	RewriteJob   JobKind = "rewrite" // takes files out of snapshots
	RepairJob    JobKind = "repair"  // puts the index, packs or snapshots in order
)

// Kinds lists every operation.
var Kinds = []JobKind{BackupJob, InitJob, ForgetJob, PruneJob, CheckJob, UnlockJob, SnapshotsJob, StatsJob, DiffJob, RestoreJob,
	FindJob, KeyJob, LocksJob, DrillJob, CopyJob, TagJob, RewriteJob, RepairJob}

// UpdateJob is the one kind that is no operation of restic's: it has the agent run another
// release of itself, or fetch a restic, see [Update]. It is in no repository, and nobody asks
// for it as for other jobs: a rollout does, or who looks after restic.
const UpdateJob JobKind = "update"

// AllKinds lists every kind of job.
var AllKinds = append(slices.Clone(Kinds), UpdateJob)

// A LockMode says how restic locks the repository for what it does.
type LockMode int

// The ways to lock.
const (
	NoLock        LockMode = iota
	SharedLock             // beside others that share; waits for one that has the repository to itself
	ExclusiveLock          // alone: waits for every other lock
)

// lockModes are those of the operations, with restic 0.14 to 0.19 and the flags that agents
// give them. What is not listed takes none: it only reads, with --no-lock, or is init.
var lockModes = map[JobKind]LockMode{
	"backup": SharedLock, "restore": SharedLock, "drill": SharedLock, "copy": SharedLock,
	"forget": ExclusiveLock, "prune": ExclusiveLock, "check": ExclusiveLock, "tag": ExclusiveLock, "repair": ExclusiveLock,
	"rewrite": ExclusiveLock,
}

// Lock is how restic locks the repository for this operation.
func (k JobKind) Lock() LockMode { return lockModes[k] }

// Exclusive reports whether restic takes an exclusive lock for this operation:
// it is alone on its repository then. Backups share.
func (k JobKind) Exclusive() bool { return k.Lock() == ExclusiveLock }

// Reports reports whether a job of this kind says what it found out, in a [Report].
func (k JobKind) Reports() bool { return reports[k] }

var reports = map[JobKind]bool{"snapshots": true, "diff": true, "find": true, "key": true, "locks": true, "restore": true,
	"drill": true, "tag": true, "rewrite": true, "repair": true}

// Enduring reports whether an agent never ends this operation for its silence: it
// changes what is in the repository, and restic may be long in the middle of it. It is
// shown as stalled, and a person decides.
func (k JobKind) Enduring() bool { return enduring[k] }

var enduring = map[JobKind]bool{"prune": true, "forget": true, "init": true, "key": true, "rewrite": true, "repair": true, "unlock": true,
	"tag": true}

// JobState is where a job is in its life.
type JobState string

// The states of a job. The last six are endings, and an ending is for ever.
const (
	Queued     JobState = "queued"     // recorded, not sent
	Dispatched JobState = "dispatched" // sent; the agent may or may not have answered
	Running    JobState = "running"    // the agent started restic

	Succeeded   JobState = "succeeded"
	Warnings    JobState = "warnings"    // a snapshot exists, and the cause says what is wrong with it
	Failed      JobState = "failed"      // no snapshot
	Cancelled   JobState = "cancelled"   // a person ended it
	Interrupted JobState = "interrupted" // the agent or its machine went down in the middle; never run again by itself
	Abandoned   JobState = "abandoned"   // not_after passed before it was started
)

var transitions = map[JobState][]JobState{
	Queued:     {Dispatched, Succeeded, Cancelled, Abandoned, Failed}, // succeeded: there was nothing to do
	Dispatched: {Running, Succeeded, Warnings, Failed, Cancelled, Interrupted, Abandoned},
	Running:    {Succeeded, Warnings, Failed, Cancelled, Interrupted},
}

// Ended reports whether the state is an ending.
func (s JobState) Ended() bool {
	switch s {
	case Succeeded, Warnings, Failed, Cancelled, Interrupted, Abandoned:
		return true
	}
	return false
}

// CanBecome reports whether a job in state s may change to next.
func (s JobState) CanBecome(next JobState) bool { return slices.Contains(transitions[s], next) }

// Cause is the class of a failure: what code decides by, and what the pages
// look their words up with. An unknown cause is a plain failure.
type Cause string

// The causes. Each has its words, effect and remedy in controlplane/jobs.
const (
	CauseNone          Cause = ""
	CauseLocked        Cause = "locked"                // another process holds the repository's lock
	CausePassword      Cause = "wrong-password"        // no key of the repository opens with it
	CauseNoRepository  Cause = "repository-missing"    // it was initialised once and is gone, or never was one
	CauseUnmade        Cause = "repository-unmade"     // a backup came before its repository was made: it waits for that
	CauseNotMounted    Cause = "not-mounted"           // a repository would have been begun in a mount point on which nothing is mounted
	CauseUnreachable   Cause = "unreachable"           // refused, no such host, time-out
	CauseCertificate   Cause = "certificate"           // the server's certificate is not trusted
	CauseHostKey       Cause = "host-key-unknown"      // the SSH server's key is not known to the host
	CauseHostKeyOther  Cause = "host-key-changed"      // the SSH server shows another key than the one that is known, or one that was revoked
	CauseKeyRefused    Cause = "key-refused"           // the SSH server lets none of the host's keys in
	CauseCredentials   Cause = "credentials"           // the server refuses user and password (or hides the repository)
	CauseAppendOnly    Cause = "append-only"           // the server refuses to delete
	CausePermission    Cause = "permission"            // the file system refuses the agent
	CauseDiskFull      Cause = "disk-full"             // no space, or a quota used up, where the repository is
	CauseHostDisk      Cause = "host-disk-full"        // no space on the host itself: temporary files, cache, state, a restore's target
	CauseSourceMissing Cause = "source-missing"        // none of the paths to back up exists
	CauseEmptySource   Cause = "empty-source"          // a backup, or one of its sources, held no file
	CauseFewerFiles    Cause = "fewer-files"           // the snapshot is whole and holds far fewer files than those before it
	CauseSourceMoved   Cause = "source-moved"          // a source is a symbolic link that leads elsewhere than last time
	CauseShadowCopy    Cause = "shadow-copy"           // Windows made no shadow copy: nothing was saved, or files were read as they are
	CauseUnreadable    Cause = "unreadable"            // some items could not be read; a snapshot exists
	CauseDamaged       Cause = "damaged"               // the repository holds data that does not fit together
	CauseNoRestic      Cause = "no-restic"             // there is no restic program, or it is too old
	CauseUsage         Cause = "usage"                 // restic did not understand what it was asked
	CausePolicy        Cause = "policy"                // the host's own policy file forbids it
	CauseRefused       Cause = "refused"               // the agent could not accept the job
	CauseExpired       Cause = "expired"               // its time to start had passed
	CauseHook          Cause = "hook"                  // a program that was to run before or after restic failed
	CauseServed        Cause = "served"                // the slot it was for has been run by another job
	CauseCancelled     Cause = "cancelled"             // a person cancelled it
	CauseStalled       Cause = "stalled"               // it did nothing at all for so long that its agent ended it
	CauseHostRemoved   Cause = "host-removed"          // its host was removed before its end was known
	CauseReplaced      Cause = "host-replaced"         // another machine took its host's place before its end was known
	CauseNotOwn        Cause = "not-own"               // it was not sent: its host does not have the repository any more
	CauseSecrets       Cause = "secrets-unreadable"    // it was not sent: the control plane cannot read the secrets of its repository
	CauseTwins         Cause = "twins"                 // its machine had the identity of another, which stays in its place
	CauseKilled        Cause = "killed"                // restic was ended from outside, by a signal nobody here sent
	CauseAgentDied     Cause = "agent-died"            // the agent stopped in the middle of the job
	CauseAgentStopped  Cause = "agent-stopped"         // the agent was stopped in good order in the middle of the job: an upgrade, a shutdown
	CauseReview        Cause = "review"                // what it would have done is unusual, and waits for a person to look
	CausePreview       Cause = "changed-since-preview" // a restore found other than the dry run that was looked at
	CauseNoMatch       Cause = "nothing-matched"       // nothing of what was to be restored is in the snapshot
	CauseNoSnapshot    Cause = "snapshot-missing"      // the repository does not hold the snapshot that was asked for, or not any more
	CauseNothing       Cause = "nothing-to-prove"      // a drill: a source group has no snapshot, or no file with content that is small enough
	CauseProof         Cause = "proof-failed"          // a drill: something did not come back as it was saved
	CauseTargetMoved   Cause = "target-moved"          // a folder of a restore's target was replaced while the restore ran
	CauseUpdateRefused Cause = "update-refused"        // an update: the host's policy forbids it, or its agent has no key to verify one
	CauseSignature     Cause = "bad-signature"         // an update: none of the host's keys signed its manifest
	CauseOldManifest   Cause = "old-manifest"          // an update: it is not newer than what runs
	CauseNoProgram     Cause = "no-program"            // an update: it has no program for the host's system and processor
	CauseChecksum      Cause = "bad-checksum"          // an update: what was downloaded is not the program that was signed
	CauseCannotRun     Cause = "cannot-run"            // an update: its program does not run on the host
	CauseNotWelcomed   Cause = "not-welcomed"          // an update: the control plane did not welcome its program in time
	CauseLostRestic    Cause = "restic-missing"        // an update: its program found no restic, and the one before did
	CauseRolledBack    Cause = "rolled-back"           // an update: somebody on the host went back from it
	CauseUnknown       Cause = "unknown"               // anything else: the evidence speaks for itself
)

// NeverThere is how the message of a [CauseNoRepository] ends if no job had found or made
// a repository at that place, which is then no loss: see the control plane's places.
const NeverThere = "No job has found or made one there before."

// NeverAWord is how the message of a [CauseStalled] ends if restic said nothing at all:
// it never got into the repository.
const NeverAWord = "It had said nothing at all."

// Causes lists every cause but CauseNone.
var Causes = []Cause{
	CauseLocked, CausePassword, CauseNoRepository, CauseUnmade, CauseNotMounted, CauseUnreachable, CauseCertificate,
	CauseHostKey, CauseHostKeyOther, CauseKeyRefused, CauseCredentials, CauseAppendOnly, CausePermission,
	CauseDiskFull, CauseHostDisk, CauseSourceMissing, CauseEmptySource, CauseFewerFiles, CauseSourceMoved, CauseShadowCopy,
	CauseUnreadable,
	CauseDamaged, CauseNoRestic, CauseUsage, CausePolicy, CauseRefused, CauseExpired, CauseHook, CauseServed, CauseCancelled,
	CauseStalled, CauseHostRemoved, CauseReplaced, CauseNotOwn,
	CauseSecrets, CauseTwins, CauseKilled, CauseAgentDied, CauseAgentStopped, CauseReview, CausePreview,
	CauseNoMatch, CauseNoSnapshot, CauseTargetMoved, CauseNothing, CauseProof,
	CauseUpdateRefused, CauseSignature, CauseOldManifest, CauseNoProgram, CauseChecksum, CauseCannotRun, CauseNotWelcomed,
	CauseLostRestic, CauseRolledBack, CauseUnknown,
}

// A Summary is what restic reports at the end of a backup. Bytes are bytes.
type Summary struct {
	FilesNew        uint64  `json:"files_new"`
	FilesChanged    uint64  `json:"files_changed"`
	FilesUnmodified uint64  `json:"files_unmodified"`
	DataAdded       uint64  `json:"data_added"`                  // before compression
	DataAddedPacked uint64  `json:"data_added_packed,omitempty"` // as it is stored; 0 if restic does not say (before 0.17)
	TotalFiles      uint64  `json:"total_files"`
	TotalBytes      uint64  `json:"total_bytes"`
	Seconds         float64 `json:"seconds"`
	Unreadable      uint64  `json:"unreadable,omitempty"` // items, each counted once
	// Items are those that could not be read, by their paths, if there are at most
	// [MaxSources] and all can be named.
	Items []string `json:"unreadable_items,omitempty"`
	// Sources are those of which there is something to say, at most [MaxSources].
	Sources []Source `json:"sources,omitempty"`
	// Own are the directories below the sources that no backup saves, at most
	// [MaxSources].
	Own []Own `json:"own,omitempty"`
}

// An Own is a directory below a source that no backup saves.
type Own struct {
	Path string `json:"path"`
	What string `json:"what"` // one of OwnRepository and OwnAgent
}

// What a backup leaves out by itself.
const (
	OwnRepository = "repository" // what the backup goes into: it would grow with every run
	OwnAgent      = "agent"      // the agent's keys, journal and cache, and what was restored beside them
)

// LeavesRepository reports whether the repository itself was left out.
func (s Summary) LeavesRepository() bool {
	return slices.ContainsFunc(s.Own, func(o Own) bool { return o.What == OwnRepository })
}

// MaxSources is how many sources a [Summary] names.
const MaxSources = 20

// A Source is a path of a source group as a backup found it.
type Source struct {
	Path string `json:"path"`           // as the group names it
	Read string `json:"read,omitempty"` // where it leads through symbolic links, which is what was read; "" if that is Path
	Was  string `json:"was,omitempty"`  // where it led last time, if that was elsewhere
	// Empty says why there was nothing to save in it: one of the words below, "" if
	// there was.
	Empty string `json:"empty,omitempty"`
}

// Why a source holds nothing to save.
const (
	EmptyDirectory = "empty-directory" // it has no entry
	NoFiles        = "no-files"        // nothing but directories, links and special files
	AllExcluded    = "all-excluded"    // the group's patterns leave out all of it
	SpecialFile    = "special-file"    // it is a FIFO, a socket or a device
	MissingSource  = "missing"         // it is not there
	ClosedSource   = "closed"          // the agent may not look at it, an older agent says missing
	OwnSource      = "own"             // it is what the backup goes into, the agent's own, or a process's environment
	OnlyOwn        = "only-own"        // it holds nothing else
)

// A Snapshot is one point in time that a repository holds.
type Snapshot struct {
	ID       string   `json:"id"`   // 64 hexadecimal digits
	Time     int64    `json:"time"` // Unix milliseconds
	Host     string   `json:"host"`
	Paths    []string `json:"paths"`
	Tags     []string `json:"tags,omitempty"`
	Username string   `json:"username,omitempty"`
	Tree     string   `json:"tree,omitempty"`     // ID of its root
	Original string   `json:"original,omitempty"` // the snapshot it was rewritten from
}

// Level says how loud a log line is.
type Level string

// The levels of log lines.
const (
	Info  Level = "info"
	Warn  Level = "warn"
	Error Level = "error"
)

// MaxLine is the most bytes of one log line; what is longer is cut, with a mark.
const MaxLine = 16 << 10

// A Line is one line of a job's log. Its number is its place: see Log.
type Line struct {
	At    int64  `json:"at"` // Unix milliseconds by the host's clock
	Level Level  `json:"level"`
	Text  string `json:"text"` // UTF-8, no control characters, secrets redacted
}
