package api

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

type acceptSizeIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name"`
}

type acceptSizeOut struct {
	Body struct {
		Snapshot string `json:"snapshot" doc:"the newest one"`
		Files    uint64 `json:"files"`
		Bytes    uint64 `json:"bytes"`
	}
}

// AcceptSize takes what the newest snapshot of a source group holds for its usual size.
func (a *API) AcceptSize(ctx context.Context, in *acceptSizeIn) (*acceptSizeOut, error) {
	n, err := a.Sources.AcceptSize(ctx, session.Of(ctx).Name, in.ID, in.Name, "")
	out := &acceptSizeOut{}
	out.Body.Snapshot, out.Body.Files, out.Body.Bytes = n.ID, n.Files, n.Bytes
	return out, err
}
