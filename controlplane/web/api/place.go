package api

import (
	"context"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

// A placeJSON is where hosts find a repository.
type placeJSON struct {
	Host     topics.HostID `json:"host" doc:"whose place it is; empty if all hosts share one"`
	HostName string        `json:"host_name" doc:"as people call it now"`
	Name     string        `json:"name" doc:"what {host} in the address stands for; empty until it is used or chosen, and without {host}"`
	Location string        `json:"location" doc:"the address with the name in it, without user and password"`
	Ready    bool          `json:"ready" doc:"a job has found or made a repository there"`
	ReadyAt  *time.Time    `json:"ready_at" doc:"since when"`
	MadeBy   topics.JobID  `json:"made_by" doc:"the job that made it, or empty"`
	Wants    string        `json:"wants" doc:"why no name can stand for the host yet; empty if one can"`
	Beyond   bool          `json:"beyond" doc:"a path that the keeper cannot reach: it looks after its own place alone"`
}

func placeOf(p repositories.Place) placeJSON {
	return placeJSON{Host: p.Host, HostName: p.HostName, Name: p.Name, Location: p.Address, Ready: p.Ready(),
		ReadyAt: base.JSONTime(p.ReadyAt), MadeBy: p.MadeJob, Wants: p.Unfit, Beyond: p.Beyond}
}

// ListPlaces lists where hosts find a repository.
func (a *API) ListPlaces(ctx context.Context, in *repositoryIn) (*list1[placeJSON], error) {
	rows, err := a.Repositories.Places(ctx, in.ID)
	out := make([]placeJSON, len(rows))
	for i, p := range rows {
		out[i] = placeOf(p)
	}
	return &list1[placeJSON]{out}, err
}

type putPlaceIn struct {
	ID   topics.RepositoryID `path:"id"`
	Host string              `path:"host" doc:"ID or name"`
	Body struct {
		Name *string `json:"name" doc:"1 to 100 of A-Z, a-z, 0-9, dot, underscore and hyphen; no two of a repository alike, capitals apart"`
	}
}

type placeOut struct{ Body placeJSON }

// PutPlace chooses what {host} stands for at a host's place, before it is used.
func (a *API) PutPlace(ctx context.Context, in *putPlaceIn) (*placeOut, error) {
	host, err := a.Repositories.NamePlace(ctx, session.Of(ctx).Name, in.ID, in.Host, repositories.PlaceInput{Name: in.Body.Name})
	if err != nil {
		return nil, problem.Saving("name", err)
	}
	rows, err := a.Repositories.Places(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(rows, func(p repositories.Place) bool { return p.Host == host })
	if i < 0 {
		return nil, repositories.ErrNotFound
	}
	return &placeOut{placeOf(rows[i])}, nil
}

// A pinnedJSON is a host whose policy does not let its data go to a repository's address.
type pinnedJSON struct {
	Host     topics.HostID `json:"host"`
	HostName string        `json:"host_name"`
	Pins     []string      `json:"pins" nullable:"false" doc:"the addresses that it lets its data go to"`
	Command  string        `json:"command" doc:"what its administrator runs on it"`
}
