package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// making returns whether an init job may make the repository, and the source group whose
// hooks run around it: the one whose backup waits, or for a person's job one that has
// hooks before its backups, which may be what mounts the repository.
func (e *Engine) making(ctx context.Context, j store.Job) (make bool, group topics.SourceGroup, err error) {
	place, err := e.Store.PlaceOf(ctx, j.Repository, j.Host)
	if err != nil {
		return false, group, err
	}
	if j.Behalf != "" {
		g, err := e.Store.SourceGroup(ctx, j.Behalf)
		if err != nil {
			return false, group, fmt.Errorf("the source group it is for: %w", err)
		}
		return !place.Ready(), g.Topic(), nil
	}
	groups, err := e.Store.SourceGroups(ctx, j.Host)
	for _, g := range groups {
		if g.Repository == j.Repository && g.Hooks.V != nil && len(g.Hooks.V.Before) > 0 {
			return !place.Ready(), g.Topic(), nil
		}
	}
	return !place.Ready(), group, err
}

// ErrNotHeld is the error that no host holds the making of a repository.
var ErrNotHeld = errors.New("no host has an init job of this repository that was sent and has not ended")

// Release ends the init job that was sent to a host for a repository, because a person
// says that the host is not at work on it. It returns that job, or ErrNotHeld.
func (e *Engine) Release(ctx context.Context, actor string, repository topics.RepositoryID) (topics.JobID, error) {
	open, err := e.Store.OpenJobs(ctx, "")
	if err != nil {
		return "", err
	}
	for _, j := range open {
		if j.Kind != topics.InitJob || j.Repository != repository || j.State == topics.Queued {
			continue
		}
		var effects []protocol.PlaneEffect
		err := e.Store.ReleaseMaking(ctx, actor, j.ID, func(tx protocol.PlaneTx) (err error) {
			effects, err = protocol.PlaneStep(e.Timing.Protocol, tx, protocol.Released{Job: j.ID, By: actor, Now: e.Now().UnixMilli()})
			return err
		})
		if errors.Is(err, ErrEnded) {
			continue
		}
		if err != nil {
			return "", err
		}
		e.news(effects)
		return j.ID, nil
	}
	return "", ErrNotHeld
}
