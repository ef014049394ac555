package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

// A missingJSON is a snapshot that is gone although no job of ours removed it.
type missingJSON struct {
	snapshotJSON
	SourceGroup    topics.SourceGroupID `json:"source_group"`
	MissingSince   *time.Time           `json:"missing_since" doc:"when a listing first lacked it"`
	AcknowledgedAt *time.Time           `json:"acknowledged_at" doc:"when an administrator took note of it, or null"`
}

// ListMissing lists the lost snapshots of a repository.
func (a *API) ListMissing(ctx context.Context, in *repositoryIn) (*list1[missingJSON], error) {
	rows, err := a.Repositories.Missing(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := make([]missingJSON, len(rows))
	for i, n := range rows {
		out[i] = missingJSON{snapshotJSON: snapshotOf(n), SourceGroup: n.SourceGroup, MissingSince: base.JSONTime(n.GoneAt),
			AcknowledgedAt: base.JSONTime(n.AcknowledgedAt)}
	}
	return &list1[missingJSON]{out}, nil
}

type acknowledgeMissingIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body *struct {
		Snapshots *[]string  `json:"snapshots,omitempty" doc:"IDs of missing snapshots, or beginnings that fit one of them alone"`
		All       *bool      `json:"all,omitempty" doc:"all that are missing, instead of naming them; without a body it is all"`
		Until     *time.Time `json:"until,omitempty" doc:"with all: those found missing up to then; left out, it is now"`
	}
}

// AcknowledgeMissing notes which lost snapshots an administrator knows of.
func (a *API) AcknowledgeMissing(ctx context.Context, in *acknowledgeMissingIn) (*acknowledgedOut, error) {
	known := repositories.Known{All: new(true)}
	if b := in.Body; b != nil {
		known.Snapshots, known.All = b.Snapshots, b.All
		if b.Until != nil {
			known.Until = new(b.Until.UnixMilli())
		}
	}
	out := &acknowledgedOut{}
	n, err := a.Repositories.AcknowledgeMissing(ctx, session.Of(ctx).Name, in.ID, known)
	out.Body.Acknowledged = int64(n)
	return out, err
}
