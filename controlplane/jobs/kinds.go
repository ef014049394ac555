package jobs

import (
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A kind is what the control plane knows of one kind of job. What restic does is for
// the agent, what a job may be asked for is [topics.Operation]'s.
type kind struct {
	needs     store.Role // who asks for one has at least this role
	maintains bool       // see Maintains
	looks     bool       // it changes nothing anywhere
	failed    string     // what it means for the data that a job did not go well
	cancelled string     // what cancelling one that runs keeps and loses
}

const (
	onlyLooked = "It only looks; nothing was changed anywhere. What this page knew before is still shown, with its age."
	stops      = "restic stops within a few seconds. "
	unchanged  = stops + "Nothing is changed."
)

// kinds has a row for each of topics.Kinds.
var kinds = map[topics.JobKind]kind{
	topics.BackupJob: {
		needs: store.Operator,
		cancelled: "restic stops within a few seconds and no snapshot is made. " +
			"What was already uploaded stays in the repository and speeds up the next run.",
	},
	topics.InitJob: {
		needs:     store.Operator,
		failed:    "No repository was set up by this run. If there was one before, it is untouched.",
		cancelled: unchanged,
	},
	topics.ForgetJob: {
		needs:     store.Admin, // nobody can put back what it removes
		maintains: true,
		failed:    "Snapshots that the log does not name as removed are still there. No data was freed; that is prune's part.",
		cancelled: stops + "What is removed already stays removed; no snapshot that is kept loses anything.",
	},
	topics.PruneJob: {
		needs:     store.Operator,
		maintains: true,
		failed: "Every snapshot is still there. Space that was not freed yet is freed by the next prune; " +
			"an interrupted one can be run again at any time.",
		cancelled: stops + "What is removed already stays removed; no snapshot that is kept loses anything.",
	},
	topics.CheckJob: {
		needs:     store.Operator,
		maintains: true,
		failed:    "The check only reads: snapshots and data are as they were. Whether they are sound is not known from this run.",
		cancelled: unchanged,
	},
	topics.UnlockJob: {
		needs:     store.Operator, // of all locks: see LeastRole
		maintains: true,
		failed:    "The locks may still be there. Snapshots and data are untouched.",
		cancelled: unchanged,
	},
	topics.SnapshotsJob: {needs: store.Operator, looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.StatsJob:     {needs: store.Operator, looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.DiffJob:      {needs: store.Operator, looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.FindJob:      {needs: store.Operator, looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.KeyJob:       {needs: store.Operator, looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.LocksJob:     {needs: store.Operator, looks: true, failed: onlyLooked, cancelled: unchanged},
	topics.RestoreJob: {
		needs: store.Operator,
		failed: "The repository is untouched. " +
			"Files that were already brought back are in the target, perhaps not all of them and not whole.",
		cancelled: stops + "Files that are back already stay; one of them may not be whole.",
	},
}

// Maintains reports whether an operation is the keeper's business: it removes
// something, or has to be alone in the repository.
func Maintains(k topics.JobKind) bool { return kinds[k].maintains }

// looks reports whether a kind changes nothing anywhere.
func looks(k topics.JobKind) bool { return kinds[k].looks }

// LeastRole returns the weakest role that may ask for a job. A kind that is not known
// is for administrators.
func LeastRole(k topics.JobKind, o topics.Operation) store.Role {
	if known, ok := kinds[k]; ok && !o.All {
		return known.needs
	}
	return store.Admin // of a live process, too, nobody can put a lock back
}

// CancelEffect says what cancelling a job keeps and loses.
func CancelEffect(j store.Job) string {
	if j.State == topics.Queued {
		return "It has not begun; nothing is lost."
	}
	return kinds[j.Kind].cancelled
}
