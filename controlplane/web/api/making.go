package api

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

type releasedOut struct {
	Body struct {
		Job topics.JobID `json:"job" doc:"the init job that was taken from its host"`
	}
}

// ReleaseMaking takes the making of a repository from a host that does not answer.
func (a *API) ReleaseMaking(ctx context.Context, in *repositoryIn) (*releasedOut, error) {
	out := &releasedOut{}
	if _, err := repositories.Find(ctx, a.Store, in.ID); err != nil {
		return out, err
	}
	id, err := a.Jobs.Release(ctx, session.Of(ctx).Name, in.ID)
	out.Body.Job = id
	return out, err
}
