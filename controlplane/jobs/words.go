package jobs

import (
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// An Explanation says to a person why a job ended as it did: the cause, what
// that means for the data, and what to do, the likeliest remedy first.
type Explanation struct {
	Cause    string
	Effect   string
	Remedies []string
}

const (
	nothingSaved = "Nothing was saved by this run. Snapshots made before are untouched."
	lookAtLog    = "Read the last lines of the log below: they are restic's own words."
	thenAgain    = "Then run the backup again."
)

var explanations = map[topics.Cause]Explanation{
	topics.CauseLocked: {"The repository is locked by another process", nothingSaved,
		[]string{"Look whether another backup, check or prune of this repository is running, and wait for it to end.",
			"If its process is gone, remove its lock on that host: restic unlock.", thenAgain}},
	topics.CausePassword: {"The password does not open the repository", nothingSaved,
		[]string{"Compare the repository's password here with the one it was made with.",
			"If the URL names another repository than you meant, register the right one.", thenAgain}},
	topics.CauseNoRepository: {"The repository is not there", "Nothing was saved. If this repository held snapshots before, they cannot be reached now. It is not begun anew, so that an unmounted disk does not look like a fresh start.",
		[]string{"Check that its disk is mounted, its server is up and its path is spelled right.",
			"If it was moved, register it under its new URL.", "If it is lost and you want an empty one there, run restic init yourself."}},
	topics.CauseUnreachable: {"The repository's server could not be reached", nothingSaved,
		[]string{"Check from the host that the server is up and its name resolves.", "Check the port and any firewall in between.", thenAgain}},
	topics.CauseCertificate: {"The repository server's certificate is not trusted", nothingSaved,
		[]string{"If the server has a certificate of its own making, give the host its CA.", "If the certificate has expired, renew it on the server.", thenAgain}},
	topics.CauseCredentials: {"The repository's server refused user and password", nothingSaved,
		[]string{"Compare the user and password registered here with the server's.", "Check that this user may reach this path: a server with private repositories answers the same for a foreign one.", thenAgain}},
	topics.CauseAppendOnly: {"The repository accepts no deletions from this host", "Nothing was removed. Backups go on as before.",
		[]string{"Run this operation with a credential that may delete, on a host you trust with it."}},
	topics.CausePermission: {"The agent may not do that on its host", nothingSaved,
		[]string{"Let the agent's user read the source and write to the repository's folder and its own state folder.", thenAgain}},
	topics.CauseDiskFull: {"There is no space left", "The snapshot was not written. Data that was already uploaded is used by the next run.",
		[]string{"Make room where the repository is, or where the host keeps its cache.", "Old snapshots free space only after forget and prune.", thenAgain}},
	topics.CauseSourceMissing: {"None of the paths to back up exists", nothingSaved,
		[]string{"Check the spelling of the paths in the source group.", "Check that the disk they are on is mounted.", thenAgain}},
	topics.CauseUnreadable: {"Some items could not be read", "A snapshot exists and holds everything else. The items named in the log are missing from it.",
		[]string{"Look through the warnings in the log.", "Let the agent read these items, or exclude them from the source group.", "Run the backup again to be complete."}},
	topics.CauseDamaged: {"The repository holds damaged data", "This run was not completed. Older snapshots may be affected; do not remove any before you know.",
		[]string{"Run restic check on the repository.", "Look at the disk and the memory of the machine that holds it.", "restic's troubleshooting guide says how to repair an index or snapshots."}},
	topics.CauseNoRestic: {"There is no usable restic on the host", nothingSaved,
		[]string{"Install restic 0.14 or newer on the host, for example with apt install restic.", "If it is in an unusual place, start the agent with --restic PATH.", thenAgain}},
	topics.CauseUsage: {"restic did not accept what it was asked", nothingSaved,
		[]string{lookAtLog, "Check the paths, the excludes and the repository's URL for something unusual.", "Update restic on the host if it is old."}},
	topics.CausePolicy: {"The host's own policy forbids this", "Nothing was done on the host.",
		[]string{"If it should be allowed, change the policy file on the host itself; nothing here can."}},
	topics.CauseRefused: {"The agent did not take the job", "Nothing was done on the host.",
		[]string{"Read the agent's reason above.", "Update the agent if it is older than the control plane.", thenAgain}},
	topics.CauseHook: {"A hook of the host failed", "Before restic: nothing was saved, and snapshots made before are untouched. After it: the snapshot exists and is whole.",
		[]string{"Read in the log what the hook said.", "See in the host's policy file which program it is, and run it there by hand.", thenAgain}},
	topics.CauseReview: {"The plan would remove unusually much", "Nothing was removed. Backups go on as before.",
		[]string{"Look at the plan on the repository's page: it says what would go, and why that is unusual.",
			"Approve exactly that plan there if it is what you want; otherwise change the rules.", "Left alone, it expires, and the next run looks anew."}},
	topics.CauseExpired: {"The job was not started in time", nothingSaved,
		[]string{"See whether the host is switched on and its agent runs.", "Run the backup again when it is online."}},
	topics.CauseServed: {"The slot was run by another job", "Nothing is lost: the host had begun this slot by itself, or has begun a later one.",
		[]string{"Nothing is to be done. The message above names the job that ran."}},
	topics.CauseCancelled: {"The job was cancelled", "No snapshot was written. Data that was already uploaded is used by the next run.",
		[]string{"Run the backup again whenever you like."}},
	topics.CauseKilled: {"restic was ended from outside", "No snapshot was written. Data that was already uploaded is used by the next run.",
		[]string{"Look into the host's system log: it may have run out of memory.", thenAgain}},
	topics.CauseAgentDied: {"The agent stopped while the job ran", "No snapshot was written. Data that was already uploaded is used by the next run. This job is not run again by itself; a schedule may ask for another.",
		[]string{"See in the host's system log why the agent or the machine stopped.", "Run the backup again."}},
}

// Explain says why a job of a kind ended as it did. A cause without words of its
// own gets none invented: the evidence and the exit code stand for themselves.
func Explain(kind topics.JobKind, cause topics.Cause, state topics.JobState) Explanation {
	e, known := explanations[cause]
	if !known {
		how := "failed"
		if state == topics.Warnings {
			how = "ended with warnings"
		}
		e = Explanation{Cause: "The job " + how + " for a reason that is not recognised",
			Effect: "If the log does not speak of a snapshot, none was written.", Remedies: []string{lookAtLog, thenAgain}}
	}
	if kind == topics.BackupJob || kind == "" {
		return e
	}
	if effect := effects[kind]; effect != "" && (!known || !ownEffect[cause]) {
		e.Effect = effect
	}
	if words, ok := others[kind][cause]; ok {
		if words.Cause != "" {
			e.Cause = words.Cause
		}
		if words.Effect != "" {
			e.Effect = words.Effect
		}
		if words.Remedies != nil {
			e.Remedies = words.Remedies
		}
	}
	e.Remedies = slices.Clone(e.Remedies)
	for i, r := range e.Remedies {
		e.Remedies[i] = strings.ReplaceAll(strings.ReplaceAll(r, "Then run the backup again", "Then run it again"), "Run the backup again", "Run it again")
	}
	return e
}

// ownEffect lists the causes whose effect is the same whatever was asked for.
var ownEffect = map[topics.Cause]bool{topics.CauseAppendOnly: true, topics.CausePolicy: true, topics.CauseRefused: true}

const onlyLooked = "It only looks; nothing was changed anywhere. What this page knew before is still shown, with its age."

// effects is what it means for the data that a job of another kind than backup
// did not go well.
var effects = map[topics.JobKind]string{
	topics.InitJob:      "No repository was set up by this run. If there was one before, it is untouched.",
	topics.ForgetJob:    "Snapshots that the log does not name as removed are still there. No data was freed; that is prune's part.",
	topics.PruneJob:     "Every snapshot is still there. Space that was not freed yet is freed by the next prune; an interrupted one can be run again at any time.",
	topics.CheckJob:     "The check only reads: snapshots and data are as they were. Whether they are sound is not known from this run.",
	topics.UnlockJob:    "The locks may still be there. Snapshots and data are untouched.",
	topics.SnapshotsJob: onlyLooked,
	topics.StatsJob:     onlyLooked,
	topics.DiffJob:      onlyLooked,
	topics.FindJob:      onlyLooked,
	topics.KeyJob:       onlyLooked,
	topics.LocksJob:     onlyLooked,
	topics.RestoreJob:   "The repository is untouched. Files that were already brought back are in the target, perhaps not all of them and not whole.",
}

// others are the words that only one kind needs.
var others = map[topics.JobKind]map[topics.Cause]Explanation{
	topics.CheckJob: {topics.CauseDamaged: {Effect: "The check found damage. It changed nothing; snapshots that need the damaged data may not come back whole. Do not remove any before you know.",
		Remedies: []string{"Read in the log what is damaged: an index can be rebuilt, a lost pack only from another copy.",
			"Look at the disk and the memory of the machine that holds the repository.", "restic's troubleshooting guide says how to repair an index or snapshots; afterwards, run a backup of every host and check again."}}},
	topics.RestoreJob: {
		topics.CauseDiskFull:   {Remedies: []string{"Make room on the host where the target is, or choose another target.", "Run it again: files that are complete are not fetched twice."}},
		topics.CausePermission: {Remedies: []string{"Let the agent's user write to the target, or choose a target where it may.", thenAgain}},
		topics.CauseUnreadable: {Cause: "Some files could not be brought back", Effect: "Everything else is in the target. What the log names is missing there; the repository is untouched.",
			Remedies: []string{"Look through the warnings in the log.", "Restore what is missing to another target, perhaps as another user.", "If the log speaks of damaged data, run a check of the repository."}},
	},
	topics.InitJob: {topics.CauseNoRepository: {Cause: "The repository could not be set up", Remedies: []string{lookAtLog, "Check the URL and that its folder or bucket may be written.", thenAgain}}},
	topics.SnapshotsJob: {topics.CauseNoRepository: {Cause: "There is no repository at this address",
		Effect:   "Nothing was changed. If it held snapshots before, they cannot be reached now; if it is new, it has not been set up yet.",
		Remedies: []string{"If it is new: set it up, or let the first backup do so.", "If it should be there: check that its disk is mounted, its server is up and its path is spelled right."}}},
}

// CancelWords answer whoever asked for the end of a job, which is j now: whether
// commands may go to its host decides what is to be expected.
func CancelWords(j store.Job, reachable bool) string {
	switch {
	case j.State == topics.Cancelled:
		return "The job had not been sent; it is cancelled."
	case reachable:
		return "Its host has been asked to end it. That takes up to 90 s."
	}
	return "Its host cannot be reached at the moment. It is asked to end the job as soon as it is back."
}
