package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

type deleteHostIn struct {
	ID        topics.HostID `path:"id"`
	Snapshots string        `query:"snapshots" doc:"keep (the default): no rule removes its snapshots; retention: rules go on"`
}

func (a *API) DeleteHost(ctx context.Context, in *deleteHostIn) (*struct{}, error) {
	return nil, problem.Saving("host", a.Removal.RemoveHost(ctx, session.Of(ctx).Name, in.ID, removal.Input{Snapshots: in.Snapshots}))
}

type restoreIn struct {
	ID   string `path:"id" doc:"of what was removed"`
	Body *struct {
		Name *string `json:"name,omitempty" doc:"another name; left out, it is the last one"`
	}
}

type restoredOut struct {
	Body struct {
		Left []string `json:"left" nullable:"false" doc:"source groups that stay removed, because their repository or host is gone"`
	}
}

func (a *API) restored(ctx context.Context, kind removal.Kind, host topics.HostID, in *restoreIn) (*restoredOut, error) {
	r, err := a.Removal.Find(ctx, kind, host, in.ID)
	if err != nil {
		return nil, err
	}
	var back removal.Back
	if in.Body != nil {
		back.Name = in.Body.Name
	}
	left, err := a.Removal.Restore(ctx, session.Of(ctx).Name, r, back)
	if err != nil {
		return nil, problem.Saving(nounOf[kind], err)
	}
	out := &restoredOut{}
	out.Body.Left = filled(left)
	return out, nil
}

// nounOf names the kinds for people.
var nounOf = map[removal.Kind]string{removal.Host: "host", removal.Group: "source group", removal.Repository: "repository"}

func (a *API) RestoreHost(ctx context.Context, in *restoreIn) (*restoredOut, error) {
	return a.restored(ctx, removal.Host, "", in)
}

func (a *API) RestoreRepository(ctx context.Context, in *restoreIn) (*restoredOut, error) {
	return a.restored(ctx, removal.Repository, "", in)
}

type deleteGroupIn struct {
	ID        topics.HostID `path:"id"`
	Name      string        `path:"name"`
	Snapshots string        `query:"snapshots" doc:"keep (the default): no rule removes its snapshots; retention: rules go on"`
}

type deleteGroupOut struct {
	Body struct {
		ID        string   `json:"id" doc:"of the source group, to bring it back"`
		Schedules []string `json:"schedules" nullable:"false" doc:"that backed up nothing else, and went with it"`
	}
}

func (a *API) DeleteSourceGroup(ctx context.Context, in *deleteGroupIn) (*deleteGroupOut, error) {
	id, schedules, err := a.Removal.RemoveGroup(ctx, session.Of(ctx).Name, in.ID, in.Name, removal.Input{Snapshots: in.Snapshots})
	if err != nil {
		return nil, problem.Saving("source group", err)
	}
	out := &deleteGroupOut{}
	out.Body.ID, out.Body.Schedules = id, filled(schedules)
	return out, nil
}

type restoreGroupIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name" doc:"the name it had, or its ID"`
	Body *struct {
		Name *string `json:"name,omitempty" doc:"another name; left out, it is the last one"`
	}
}

func (a *API) RestoreSourceGroup(ctx context.Context, in *restoreGroupIn) (*restoredOut, error) {
	return a.restored(ctx, removal.Group, in.ID, &restoreIn{ID: in.Name, Body: in.Body})
}

type deleteRepositoryIn struct {
	ID     topics.RepositoryID `path:"id"`
	Groups string              `query:"groups" doc:"remove: its source groups go with it; left out, it is refused while there are any"`
}

func (a *API) DeleteRepository(ctx context.Context, in *deleteRepositoryIn) (*struct{}, error) {
	return nil, problem.Saving("repository",
		a.Removal.RemoveRepository(ctx, session.Of(ctx).Name, in.ID, removal.Input{Groups: in.Groups}))
}

type removedJSON struct {
	Kind       removal.Kind        `json:"kind" enum:"host,group,repository"`
	ID         string              `json:"id"`
	Name       string              `json:"name" doc:"what it was called last"`
	RemovedAt  time.Time           `json:"removed_at"`
	RemovedBy  string              `json:"removed_by"`
	Until      time.Time           `json:"until" doc:"when it cannot be brought back any more"`
	Snapshots  string              `json:"snapshots" doc:"keep or retention; empty of a repository"`
	Repository topics.RepositoryID `json:"repository,omitempty"`
}

// ListRemoved lists hosts and repositories that can be brought back.
func (a *API) ListRemoved(ctx context.Context, _ *struct{}) (*list1[removedJSON], error) {
	out := []removedJSON{}
	for _, kind := range []removal.Kind{removal.Host, removal.Repository} {
		rows, err := a.Store.AllRemoved(ctx, kind, 1000)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = append(out, removedOf(r))
		}
	}
	return &list1[removedJSON]{out}, nil
}

func removedOf(r store.Removed) removedJSON {
	return removedJSON{Kind: r.Kind, ID: r.ID, Name: r.Name, RemovedAt: words.At(r.At).UTC(), RemovedBy: r.By,
		Until: removal.Until(r).UTC(), Snapshots: r.Snapshots, Repository: topics.RepositoryID(r.Repository)}
}

// ListRemovedGroups lists the source groups of a host that can be brought back.
func (a *API) ListRemovedGroups(ctx context.Context, in *hostIn) (*list1[removedJSON], error) {
	if _, err := a.Host(ctx, in.ID); err != nil {
		return nil, err
	}
	rows, err := a.Store.RemovedGroups(ctx, in.ID)
	out := make([]removedJSON, len(rows))
	for i, r := range rows {
		out[i] = removedOf(r)
	}
	return &list1[removedJSON]{out}, err
}
