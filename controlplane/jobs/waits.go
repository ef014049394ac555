package jobs

import (
	"context"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Waits returns what each queued job waits for, as the dispatcher would decide now, and
// each that was sent to a host which cannot take it. A job that is about to be sent has
// the zero Turn. open holds every job that has not
// ended, oldest first, as Store.OpenJobs returns it.
func (e *Engine) Waits(ctx context.Context, open []store.Job) (map[topics.JobID]protocol.Turn, error) {
	atOnce, err := e.Store.AtOnce(ctx)
	if err != nil {
		return nil, err
	}
	unready, err := e.Store.Unready(ctx)
	if err != nil {
		return nil, err
	}
	targets, err := e.Store.UnreadyTargets(ctx)
	if err != nil {
		return nil, err
	}
	since := map[bool]int64{false: 1} // of what is not ready
	var plane []protocol.PlaneJob
	accepted := map[topics.JobID]bool{}
	out := map[topics.JobID]protocol.Turn{}
	for _, j := range open {
		if j.Held {
			out[j.ID] = protocol.Turn{Wait: protocol.WaitPlan}
			continue
		}
		accepted[j.ID] = j.Accepted
		plane = append(plane, protocol.PlaneJob{ID: j.ID, Host: j.Host, Kind: j.Kind, Repository: j.Repository, Group: j.SourceGroup,
			State: j.State, QueuedAt: j.QueuedAt, ReadyAt: since[unready[j.ID]],
			Other: j.Other, OtherReadyAt: since[targets[j.ID]], All: j.Operation.V != nil && j.Operation.V.All})
	}
	turns := protocol.NewTurns(e.Limits, atOnce, plane)
	turns.Twins = map[topics.HostID]bool{}
	for _, j := range plane {
		turns.Twins[j.Host] = e.Presence.Divided(j.Host)
	}
	making, err := protocol.NewMaking(e.Store.Sites(ctx), e.Now().UnixMilli(), turns, plane)
	if err != nil {
		return nil, err
	}
	making.HearUntil = e.HearUntil
	for _, j := range plane {
		switch {
		case j.State == topics.Queued && e.short() && protocol.HeldWhenShort(j.Kind):
			out[j.ID] = protocol.Turn{Wait: protocol.WaitPlane}
		case (j.State == topics.Queued || j.State == topics.Dispatched && !accepted[j.ID]) && e.Presence.Full(j.Host) && !turns.Twins[j.Host]:
			out[j.ID] = protocol.Turn{Wait: protocol.WaitDisk}
		case j.State == topics.Queued:
			if out[j.ID], _, err = making.Take(j, e.Presence.Reachable(j.Host)); err != nil {
				return nil, err
			}
			if out[j.ID].Wait == protocol.WaitHost && e.Presence.Unconfirmed(j.Host) {
				out[j.ID] = protocol.Turn{Wait: protocol.WaitUnconfirmed}
			}
		}
	}
	return out, nil
}

// waitWords say what a job waits for, to people.
var waitWords = map[protocol.Wait]string{
	protocol.WaitHost:        "Its host's agent is not connected.",
	protocol.WaitTwins:       "Two machines use its host's identity. It begins when somebody has said which one stays.",
	protocol.WaitUnconfirmed: "The control plane was restored from a copy. It begins when an administrator has confirmed its host.",
	protocol.WaitDisk:        "There is no space left on its host's disk. It begins by itself when there is.",
	protocol.WaitPlane:       "The control plane's disk is short of space. It begins by itself when there is more.",
	protocol.WaitJob:         "Another job of its host is at work in the same repository.",
	protocol.WaitBusy:        "Its host runs as many jobs as it may at once.",
	protocol.WaitRepository:  "A job has to be alone in the repository, or this one has to be.",
	protocol.WaitLimit:       "As many jobs run as may at once.",
	protocol.WaitMaking:      "Its repository is not there yet. It begins when one host has made it.",
	protocol.WaitUnheard: "Its repository is not there yet, as far as the control plane knows, " +
		"which was restored from a copy. It is made when every host has told what it did since, " +
		"at most ten minutes after the control plane began: two hosts at once would destroy it.",
	protocol.WaitUpdate: "The agent of its host is being updated. It begins when that has ended.",
	protocol.WaitPlan:   "What it is to do is being worked out.",
}

// WaitWords says what a job waits for, to people.
func WaitWords(w protocol.Wait) string {
	if text := waitWords[w]; text != "" {
		return text
	}
	return "It waits for its turn."
}
