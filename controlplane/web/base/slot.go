package base

import (
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// SlotReason says why a slot was missed or failed, "" if there is nothing to say.
func SlotReason(r slotlog.Named) string {
	if r.Outcome == slotlog.Failed && r.Reason == "" {
		return jobs.Explain(topics.BackupJob, r.Cause, topics.Failed).Cause + "."
	}
	return r.Reason
}
