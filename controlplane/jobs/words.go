package jobs

import (
	"cmp"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// An Explanation tells a person why a job ended as it did: the cause, what it means
// for the data, and what to do, the likeliest remedy first.
type Explanation struct {
	Cause    string
	Effect   string
	Remedies []Remedy
}

// A Remedy is one thing to do about it. If RunAgain is set, the remedy is to run the
// job again, and a page can offer a button for it.
type Remedy struct {
	Text     string
	RunAgain bool
}

// Texts returns the remedies as plain text.
func (e Explanation) Texts() []string {
	out := make([]string, len(e.Remedies))
	for i, r := range e.Remedies {
		out[i] = r.Text
	}
	return out
}

// again is the remedy of running the job again; {it} is replaced by the kind of job.
func again(text string) Remedy { return Remedy{Text: text, RunAgain: true} }

const nothingSaved = "Nothing was saved by this run. Snapshots made before are untouched."

var (
	lookAtLog = Remedy{Text: "Read the last lines of the log below: they are restic's own words."}
	thenAgain = again("Then run {it} again.")
)

var explanations = map[topics.Cause]Explanation{
	topics.CauseLocked: {
		Cause:  "The repository is locked by another process",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Look whether another backup, check or prune of this repository is running, and wait for it to end."},
			{Text: "If its process is gone, remove its lock on that host: restic unlock."},
			thenAgain,
		},
	},
	topics.CausePassword: {
		Cause:  "The password does not open the repository",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Compare the repository's password here with the one it was made with."},
			{Text: "If the URL names another repository than you meant, register the right one."},
			thenAgain,
		},
	},
	topics.CauseNoRepository: {
		Cause: "The repository is not there",
		Effect: "Nothing was saved. If this repository held snapshots before, they cannot be reached now. " +
			"It is not begun anew, so that an unmounted disk does not look like a fresh start.",
		Remedies: []Remedy{
			{Text: "Check that its disk is mounted, its server is up and its path is spelled right."},
			{Text: "If it was moved, register it under its new URL."},
			{Text: "If it is lost and you want an empty one there, run restic init yourself."},
		},
	},
	topics.CauseUnreachable: {
		Cause:  "The repository's server could not be reached",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Check from the host that the server is up and its name resolves."},
			{Text: "Check the port and any firewall in between."},
			thenAgain,
		},
	},
	topics.CauseCertificate: {
		Cause:  "The repository server's certificate is not trusted",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "If the server has a certificate of its own making, give the host its CA."},
			{Text: "If the certificate has expired, renew it on the server."},
			thenAgain,
		},
	},
	topics.CauseCredentials: {
		Cause:  "The repository's server refused user and password",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Compare the user and password registered here with the server's."},
			{Text: "Check that this user may reach this path: a server with private repositories answers the same for a foreign one."},
			thenAgain,
		},
	},
	topics.CauseAppendOnly: {
		Cause:  "The repository accepts no deletions from this host",
		Effect: "Nothing was removed. Backups go on as before.",
		Remedies: []Remedy{
			{Text: "Run this operation with a credential that may delete, on a host you trust with it."},
		},
	},
	topics.CausePermission: {
		Cause:  "The agent may not do that on its host",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Let the agent's user read the source and write to the repository's folder and its own state folder."},
			thenAgain,
		},
	},
	topics.CauseDiskFull: {
		Cause:  "There is no space left",
		Effect: "The snapshot was not written. Data that was already uploaded is used by the next run.",
		Remedies: []Remedy{
			{Text: "Make room where the repository is, or where the host keeps its cache."},
			{Text: "Old snapshots free space only after forget and prune."},
			thenAgain,
		},
	},
	topics.CauseSourceMissing: {
		Cause:  "None of the paths to back up exists",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Check the spelling of the paths in the source group."},
			{Text: "Check that the disk they are on is mounted."},
			thenAgain,
		},
	},
	topics.CauseEmptySource: {
		Cause: "There was nothing to save",
		Effect: "A snapshot exists, and there is not a single file in it, or nothing of the sources named here. " +
			"Snapshots made before are untouched.",
		Remedies: []Remedy{
			{Text: "Check on the host that the disk or share is mounted where the source group looks for it."},
			{Text: "Check that the source group's patterns do not leave out everything."},
			{Text: "If it may be empty, tick that in the source group."},
			thenAgain,
		},
	},
	topics.CauseFewerFiles: {
		Cause:  "Far fewer files than before",
		Effect: "The snapshot is whole: it holds what was there. If files are missing on the host, older snapshots still hold them.",
		Remedies: []Remedy{
			{Text: "Check on the host whether files were removed, or a disk below the source is not mounted."},
			{Text: "If it is as it should be, nothing is to be done: the next backups are compared with the new number."},
		},
	},
	topics.CauseSourceMoved: {
		Cause:  "A symbolic link leads elsewhere than last time",
		Effect: "The snapshot is whole, and holds what the link leads to now. What it led to before is in older snapshots.",
		Remedies: []Remedy{
			{Text: "Check on the host that the link leads where it should. If it does, nothing is to be done."},
		},
	},
	topics.CauseUnreadable: {
		Cause:  "Some items could not be read",
		Effect: "A snapshot exists and holds everything else. The items named in the log are missing from it.",
		Remedies: []Remedy{
			{Text: "Look through the warnings in the log."},
			{Text: "Let the agent read these items, or exclude them from the source group."},
			again("Run {it} again to be complete."),
		},
	},
	topics.CauseDamaged: {
		Cause:  "The repository holds damaged data",
		Effect: "This run was not completed. Older snapshots may be affected; do not remove any before you know.",
		Remedies: []Remedy{
			{Text: "Run restic check on the repository."},
			{Text: "Look at the disk and the memory of the machine that holds it."},
			{Text: "restic's troubleshooting guide says how to repair an index or snapshots."},
		},
	},
	topics.CauseNoRestic: {
		Cause:  "There is no usable restic on the host",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Install restic 0.14 or newer on the host, for example with apt install restic."},
			{Text: "If it is in an unusual place, start the agent with --restic PATH."},
			thenAgain,
		},
	},
	topics.CauseUsage: {
		Cause:  "restic did not accept what it was asked",
		Effect: nothingSaved,
		Remedies: []Remedy{
			lookAtLog,
			{Text: "Check the paths, the excludes and the repository's URL for something unusual."},
			{Text: "Update restic on the host if it is old."},
		},
	},
	topics.CausePolicy: {
		Cause:  "The host's own policy forbids this",
		Effect: "Nothing was done on the host.",
		Remedies: []Remedy{
			{Text: "If it should be allowed, change the policy file on the host itself; nothing here can."},
		},
	},
	topics.CauseRefused: {
		Cause:  "The agent did not take the job",
		Effect: "Nothing was done on the host.",
		Remedies: []Remedy{
			{Text: "Read the agent's reason above."},
			{Text: "Update the agent if it is older than the control plane."},
			thenAgain,
		},
	},
	topics.CauseHook: {
		Cause:  "A hook of the host failed",
		Effect: "Before restic: nothing was saved, and snapshots made before are untouched. After it: the snapshot exists and is whole.",
		Remedies: []Remedy{
			{Text: "Read in the log what the hook said."},
			{Text: "See in the host's policy file which program it is, and run it there by hand."},
			thenAgain,
		},
	},
	topics.CauseReview: {
		Cause:  "The plan would remove unusually much",
		Effect: "Nothing was removed. Backups go on as before.",
		Remedies: []Remedy{
			{Text: "Look at the plan on the repository's page: it says what would go, and why that is unusual."},
			{Text: "Approve exactly that plan there if it is what you want; otherwise change the rules."},
			{Text: "Left alone, it expires, and the next run looks anew."},
		},
	},
	topics.CauseExpired: {
		Cause:  "The job was not started in time",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "See whether the host is switched on and its agent runs."},
			again("Run {it} again when it is online."),
		},
	},
	topics.CauseServed: {
		Cause:  "The slot was run by another job",
		Effect: "Nothing is lost: the host had begun this slot by itself, or has begun a later one.",
		Remedies: []Remedy{
			{Text: "Nothing is to be done. The message above names the job that ran."},
		},
	},
	topics.CauseCancelled: {
		Cause:  "The job was cancelled",
		Effect: "No snapshot was written. Data that was already uploaded is used by the next run.",
		Remedies: []Remedy{
			again("Run {it} again whenever you like."),
		},
	},
	topics.CauseHostRemoved: {
		Cause: "The host was removed before this job had ended",
		Effect: "Nobody knows how it ended. If its agent finished it all the same, its snapshot is in the repository, and the next " +
			"listing shows it as one that no job is known of.",
		Remedies: []Remedy{
			{Text: "If the host was removed by mistake, restore it within thirty days: Removed, on the fleet page."},
			{Text: "If it is gone for good, stop the agent on the machine."},
		},
	},
	topics.CauseKilled: {
		Cause:  "restic was ended from outside",
		Effect: "No snapshot was written. Data that was already uploaded is used by the next run.",
		Remedies: []Remedy{
			{Text: "Look into the host's system log: it may have run out of memory."},
			thenAgain,
		},
	},
	topics.CauseAgentDied: {
		Cause: "The agent stopped while the job ran",
		Effect: "No snapshot was written. Data that was already uploaded is used by the next run. " +
			"This job is not run again by itself; a schedule may ask for another.",
		Remedies: []Remedy{
			{Text: "See in the host's system log why the agent or the machine stopped."},
			again("Run {it} again."),
		},
	},
}

// Explain returns why a job of a kind ended as it did. A cause without a text of its
// own gets none; the log and the exit code remain.
func Explain(kind topics.JobKind, cause topics.Cause, state topics.JobState) Explanation {
	e, known := explanations[cause]
	if !known {
		how := "failed"
		if state == topics.Warnings {
			how = "ended with warnings"
		}
		e = Explanation{Cause: "The job " + how + " for a reason that is not recognised",
			Effect: "If the log does not speak of a snapshot, none was written.", Remedies: []Remedy{lookAtLog, thenAgain}}
	}
	it := "the backup"
	if kind != topics.BackupJob && kind != "" {
		it = "it"
		if effect := kinds[kind].failed; effect != "" && (!known || !ownEffect[cause]) {
			e.Effect = effect
		}
		if words, ok := others[kind][cause]; ok {
			e.Cause, e.Effect = cmp.Or(words.Cause, e.Cause), cmp.Or(words.Effect, e.Effect)
			if words.Remedies != nil {
				e.Remedies = words.Remedies
			}
		}
	}
	e.Remedies = slices.Clone(e.Remedies)
	for i, r := range e.Remedies {
		e.Remedies[i].Text = strings.ReplaceAll(r.Text, "{it}", it)
	}
	return e
}

// ownEffect lists the causes whose effect is the same for every kind.
var ownEffect = map[topics.Cause]bool{topics.CauseAppendOnly: true, topics.CausePolicy: true, topics.CauseRefused: true}

// others holds the texts that differ for a single kind.
var others = map[topics.JobKind]map[topics.Cause]Explanation{
	topics.CheckJob: {
		topics.CauseDamaged: {
			Effect: "The check found damage. It changed nothing; snapshots that need the damaged data may not come back whole. " +
				"Do not remove any before you know.",
			Remedies: []Remedy{
				{Text: "Read in the log what is damaged: an index can be rebuilt, a lost pack only from another copy."},
				{Text: "Look at the disk and the memory of the machine that holds the repository."},
				{Text: "restic's troubleshooting guide says how to repair an index or snapshots; " +
					"afterwards, run a backup of every host and check again."},
			},
		},
	},
	topics.RestoreJob: {
		topics.CauseDiskFull: {
			Remedies: []Remedy{
				{Text: "Make room on the host where the target is, or choose another target."},
				again("Run {it} again: files that are complete are not fetched twice."),
			},
		},
		topics.CausePermission: {
			Remedies: []Remedy{
				{Text: "Let the agent's user write to the target, or choose a target where it may."},
				thenAgain,
			},
		},
		topics.CauseUnreadable: {
			Cause:  "Some files could not be brought back",
			Effect: "Everything else is in the target. What the log names is missing there; the repository is untouched.",
			Remedies: []Remedy{
				{Text: "Look through the warnings in the log."},
				{Text: "Restore what is missing to another target, perhaps as another user."},
				{Text: "If the log speaks of damaged data, run a check of the repository."},
			},
		},
	},
	topics.InitJob: {
		topics.CauseNoRepository: {
			Cause: "The repository could not be set up",
			Remedies: []Remedy{
				lookAtLog,
				{Text: "Check the URL and that its folder or bucket may be written."},
				thenAgain,
			},
		},
	},
	topics.SnapshotsJob: {
		topics.CauseNoRepository: {
			Cause:  "There is no repository at this address",
			Effect: "Nothing was changed. If it held snapshots before, they cannot be reached now; if it is new, it has not been set up yet.",
			Remedies: []Remedy{
				{Text: "If it is new: set it up, or let the first backup do so."},
				{Text: "If it should be there: check that its disk is mounted, its server is up and its path is spelled right."},
			},
		},
	},
}

// CancelWords returns the answer to a request to cancel j: what to expect depends on
// whether commands can reach its host.
func CancelWords(j store.Job, reachable bool) string {
	switch {
	case j.State == topics.Cancelled:
		return "The job had not been sent; it is cancelled."
	case reachable:
		return "Its host has been asked to end it. That takes up to 90 s."
	}
	return "Its host cannot be reached at the moment. It is asked to end the job as soon as it is back."
}
