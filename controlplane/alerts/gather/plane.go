package gather

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/store/alerts"
)

// ofNotices are the notices of the control plane that are conditions, by their IDs.
var ofNotices = map[string]conditions.Name{
	"low-space":         conditions.PlaneDisk,
	"database-damaged":  conditions.PlaneDatabase,
	"mark-unwritable":   conditions.PlaneDatabase,
	"copy-failed":       conditions.PlaneBackupLate,
	"copy-late":         conditions.PlaneBackupLate,
	"key-in-data":       conditions.PlaneKeyExposed,
	"key-exposed":       conditions.PlaneKeyExposed,
	"heartbeat-failing": conditions.HeartbeatFailing,
}

// plane says what is so of the control plane itself.
func (r *Reader) plane(ctx context.Context) (list []conditions.Notice) {
	if r.Notices == nil {
		return nil
	}
	for _, n := range r.Notices.Now(ctx, true) {
		name, is := ofNotices[n.ID]
		if !is {
			continue
		}
		out := conditions.Notice{Condition: name, Severity: alerts.Warning, Say: n.Say, Do: n.Remedy, Path: n.Link.URL, Link: n.Link.Text}
		if n.Severity == notices.Failure {
			out.Severity = alerts.Critical
		}
		list = append(list, out)
	}
	return list
}
