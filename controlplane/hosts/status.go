package hosts

import (
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Status is how well a host is protected, in one word.
type Status string

// The statuses that can be known without schedules and alerts. docs/TOPICS.md
// lists the whole vocabulary.
const (
	Protected   Status = "protected"
	Running     Status = "running"
	Warning     Status = "warning"
	Failed      Status = "failed"
	NoBackupYet Status = "no-backup-yet"
)

// StatusOf says how well a host is protected. Running never hides a failure of
// the last backup, nor does another source group's success or a cancelled job.
func StatusOf(h store.Host, running bool) Status {
	switch h.Standing {
	case topics.Failed, topics.Interrupted, topics.Abandoned:
		return Failed
	case topics.Warnings:
		return Warning
	}
	switch {
	case running:
		return Running
	case h.GoodAt > 0:
		return Protected
	}
	return NoBackupYet
}
