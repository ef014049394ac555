package fleet

import (
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/topics"
)

// causes are the causes of verdicts in words, as several hosts may have them. Those of
// failed jobs have the words of jobs.
var causes = map[string]string{
	protection.CauseTwins:         "Two machines use the host's identity",
	protection.CauseSnapshotsGone: "Snapshots are gone that no job of ours removed",
	protection.CauseAcknowledged:  "Snapshots were lost, and no good backup was made since",
	protection.CauseMissing:       "The repository is not there any more",
	protection.CauseUnreadable:    "The password no longer opens the repository",
	protection.CauseDamaged:       "The repository is damaged",
	protection.CauseDiskFull:      "The host's disk is full, and no backup begins",
	protection.CauseDiskLow:       "The host's disk is almost full",
	protection.CauseOffline:       "Offline, and backups are missed",
	protection.CauseMissedSlots:   "Connected, and backups are missed",
	protection.CauseOverLimit:     "No good backup within the limit",
	protection.CauseEmpty:         "The newest backup holds no file",
	protection.CausePartEmpty:     "The newest backup holds nothing of a source that held files before",
	protection.CauseCollapsed:     "The newest backup holds next to nothing",
	protection.CauseFewFiles:      "The newest backup holds far fewer files than usual",
	protection.CauseIncomplete:    "The newest backup is incomplete",
	protection.CauseNever:         "Nothing was ever backed up",
}

// CauseWords says what hosts have that are in trouble for a cause.
func CauseWords(cause string) string {
	if text := causes[cause]; text != "" {
		return text
	}
	return jobs.Explain(topics.BackupJob, topics.Cause(cause), topics.Failed).Cause
}
