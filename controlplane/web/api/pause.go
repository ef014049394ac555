package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

type putPauseIn struct {
	ID   topics.HostID `path:"id"`
	Body struct {
		Until *time.Time `json:"until,omitempty" doc:"when it ends, within 7 days; in a day if it is left out"`
	}
}

type putPauseOut struct {
	Body struct {
		From  *time.Time `json:"from" doc:"since when; of a pause that goes on and gets another end, since that began"`
		Until *time.Time `json:"until" doc:"when the host's schedules go on by themselves"`
		By    string     `json:"by" doc:"who asked for it last"`
	}
}

// PutPause pauses all schedules of a host for a while.
func (a *API) PutPause(ctx context.Context, in *putPauseIn) (*putPauseOut, error) {
	var until time.Time
	if in.Body.Until != nil {
		until = *in.Body.Until
	}
	p, err := a.Pauses.Pause(ctx, session.Of(ctx).Name, in.ID, until)
	if err != nil {
		return nil, problem.Saving("pause", err)
	}
	out := &putPauseOut{}
	out.Body.From, out.Body.Until, out.Body.By = base.JSONTime(p.From), base.JSONTime(p.Until), p.By
	return out, nil
}

// DeletePauseOfHost has a host's schedules go on. Of a host that is not paused it changes
// nothing.
func (a *API) DeletePauseOfHost(ctx context.Context, in *hostIn) (*struct{}, error) {
	_, _, err := a.Pauses.Resume(ctx, session.Of(ctx).Name, in.ID)
	return nil, problem.Saving("pause", err)
}
