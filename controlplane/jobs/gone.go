package jobs

import (
	"context"
	"errors"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A GoneError refuses a restore, a diff or a change of a snapshot that is known to be gone.
type GoneError struct {
	Host     topics.HostID // that was asked
	Kind     topics.JobKind
	Snapshot store.Snapshot
	Near     store.Neighbourhood
}

// Error implements error.
func (e *GoneError) Error() string {
	return "snapshot " + e.Snapshot.ID + " is gone from the repository"
}

// gone returns a *GoneError if an operation reads or changes a snapshot that is known to be gone.
// One that nobody knows may be there.
func (e *Engine) gone(ctx context.Context, host topics.HostID, kind topics.JobKind, repository topics.RepositoryID,
	o topics.Operation) error {
	ids := []string{o.From, o.To}
	for _, item := range o.Basket() {
		ids = append(ids, item.Snapshot)
	}
	if kind.Remakes() {
		ids = append(ids, o.Snapshots...)
	}
	for _, id := range ids {
		if id == "" {
			continue
		}
		n, err := e.Store.SnapshotByID(ctx, repository, id)
		if errors.Is(err, store.ErrNotFound) || err == nil && n.GoneAt == 0 {
			continue
		} else if err != nil {
			return err
		}
		near, err := e.Store.Around(ctx, n)
		if err != nil {
			return err
		}
		return &GoneError{Host: host, Kind: kind, Snapshot: n, Near: near}
	}
	return nil
}
