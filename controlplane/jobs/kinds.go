package jobs

import (
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A kind is what the control plane knows about one kind of job. The agent knows how
// to run it with restic, [topics.Operation] says which options it takes, and package
// rights who may ask for it.
type kind struct {
	maintains bool   // see Maintains
	looks     bool   // it changes nothing in the repository or on the host
	failed    string // what a failed job means for the data
	cancelled string // what cancelling a running one keeps and loses
}

const (
	onlyLooked = "It only looks; nothing was changed anywhere. What this page knew before is still shown, with its age."
	stops      = "restic stops within a few seconds. "
	unchanged  = stops + "Nothing is changed."
)

// notUpdated is what a failed update means.
const notUpdated = "The host runs the agent that it ran before; its backups go on. No repository was touched."

// kinds has an entry for each of topics.AllKinds.
var kinds = map[topics.JobKind]kind{
	topics.BackupJob: {
		cancelled: "restic stops within a few seconds and no snapshot is made. " +
			"What was already uploaded stays in the repository and speeds up the next run.",
	},
	topics.InitJob: {
		failed:    "No repository was set up by this run. If there was one before, it is untouched.",
		cancelled: unchanged,
	},
	topics.ForgetJob: {
		maintains: true,
		failed:    "Snapshots that the log does not name as removed are still there. No data was freed; that is prune's part.",
		cancelled: stops + "What is removed already stays removed; no snapshot that is kept loses anything.",
	},
	topics.PruneJob: {
		maintains: true,
		failed: "Every snapshot is still there. Space that was not freed yet is freed by the next prune; " +
			"an interrupted one can be run again at any time.",
		cancelled: stops + "What is removed already stays removed; no snapshot that is kept loses anything.",
	},
	topics.CheckJob: {
		maintains: true,
		failed:    "The check only reads: snapshots and data are as they were. Whether they are sound is not known from this run.",
		cancelled: unchanged,
	},
	topics.UnlockJob: {
		maintains: true,
		failed:    "The locks may still be there. Snapshots and data are untouched.",
		cancelled: unchanged,
	},
	topics.SnapshotsJob: {looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.StatsJob:     {looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.DiffJob:      {looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.FindJob:      {looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.KeyJob:       {looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.LocksJob:     {looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.DrillJob: {
		failed: "The repository and the host's own files are untouched, and what was restored to be compared is removed again. " +
			"That the host can be restored is not proven by this run.",
		cancelled: stops + "What it has restored is removed again; nothing is proven by it.",
	},
	topics.CopyJob: {
		failed: "Both repositories stay whole. Snapshots that were copied already are in the second one, and the next copy goes on from there; " +
			"what is missing there is in the first one alone.",
		cancelled: stops + "What is copied already stays, and the next copy goes on from there.",
	},
	topics.UpdateJob: {
		failed:    notUpdated,
		cancelled: "The agent goes on as it is. Once the new one is on trial, it is not stopped any more.",
	},
	topics.RestoreJob: {
		failed: "The repository is untouched. " +
			"Files that were already brought back are in the target, perhaps not all of them and not whole.",
		cancelled: stops + "Files that are back already stay; one of them may not be whole.",
	},
}

// Maintains reports whether a kind of job belongs to the keeper: it removes data or
// needs exclusive access to the repository.
func Maintains(k topics.JobKind) bool { return kinds[k].maintains }

// looks reports whether a kind changes nothing, in the repository or on the host.
func looks(k topics.JobKind) bool { return kinds[k].looks }

// triesOnly reports whether a job is a restore's dry run, which writes nothing.
func triesOnly(j store.Job) bool {
	return j.Kind == topics.RestoreJob && j.Operation.V != nil && j.Operation.V.DryRun
}

// CancelEffect says what cancelling a job keeps and loses.
func CancelEffect(j store.Job) string {
	if j.State == topics.Queued {
		return "It has not begun; nothing is lost."
	}
	if triesOnly(j) {
		return stops + "Nothing was written: it is a dry run."
	}
	return kinds[j.Kind].cancelled
}
