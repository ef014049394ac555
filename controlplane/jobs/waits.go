package jobs

import (
	"context"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Waits returns what each queued job waits for, as the dispatcher would decide now. A
// job that is about to be sent has the zero Turn. open holds every job that has not
// ended, oldest first, as Store.OpenJobs returns it.
func (e *Engine) Waits(ctx context.Context, open []store.Job) (map[topics.JobID]protocol.Turn, error) {
	atOnce, err := e.Store.AtOnce(ctx)
	if err != nil {
		return nil, err
	}
	var plane []protocol.PlaneJob
	out := map[topics.JobID]protocol.Turn{}
	for _, j := range open {
		if j.Held {
			out[j.ID] = protocol.Turn{Wait: protocol.WaitPlan}
			continue
		}
		plane = append(plane, protocol.PlaneJob{ID: j.ID, Host: j.Host, Kind: j.Kind, Repository: j.Repository, State: j.State})
	}
	turns := protocol.NewTurns(e.Limits, atOnce, plane)
	turns.Twins = map[topics.HostID]bool{}
	for _, j := range plane {
		turns.Twins[j.Host] = e.Presence.Divided(j.Host)
	}
	for _, j := range plane {
		if j.State == topics.Queued {
			out[j.ID] = turns.Take(j, e.Presence.Reachable(j.Host))
		}
	}
	return out, nil
}
