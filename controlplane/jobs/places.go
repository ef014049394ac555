package jobs

import (
	"context"
	"errors"
	"slices"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// placeOf returns at whose place in a repository a job of a host works: "" is its own. Where
// {host} leads each host to another place, a job that names a snapshot works where that is.
// Another host's path leads nowhere, so there each has only its own.
func (e *Engine) placeOf(ctx context.Context, host topics.HostID, repository topics.RepositoryID, o topics.Operation) (
	topics.HostID, error) {
	named := ""
	switch basket := o.Basket(); {
	case len(basket) > 0:
		named = basket[0].Snapshot // all are at one place: see restores.Resolve
	case named == "" && o.From != "":
		named = o.From
	case named == "" && len(o.Snapshots) > 0:
		named = o.Snapshots[0]
	}
	if named == "" {
		return "", nil
	}
	r, err := e.Store.Repository(ctx, repository)
	if errors.Is(err, store.ErrNotFound) || err == nil && !location.PerHost(r.Location) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	n, err := e.Store.SnapshotByID(ctx, repository, named)
	if errors.Is(err, store.ErrNotFound) || err == nil && n.Where() == host {
		return "", nil
	}
	return n.Where(), err
}

// there reports ErrNoPlace for a job that needs a repository at a host's place by {host} where
// no job has found or made one yet. The name of the place is settled from here on otherwise.
func (e *Engine) there(ctx context.Context, id topics.RepositoryID, host topics.HostID, needs bool) error {
	r, err := e.Store.Repository(ctx, id)
	if err != nil || !location.PerHost(r.Location) {
		return err
	}
	if needs {
		rows, err := e.Store.Places(ctx, id)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(rows, func(p places.Place) bool { return p.Host == host && p.Ready() }) {
			return ErrNoPlace
		}
	}
	_, err = e.Store.PlaceName(ctx, id, host)
	return err
}

// needsPlace reports whether a job can only be where a repository was found before: not one
// that makes it, and not one that adds the key which may be missing to find it.
func needsPlace(o Order) bool {
	return o.Kind != topics.BackupJob && o.Kind != topics.InitJob && (o.Operation.Key == nil || o.Operation.Key.Action != topics.AddKey)
}
