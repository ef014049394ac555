package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/topics"
)

// A Removed is a host, a source group or a repository that was removed.
type Removed = removal.Removed

var (
	// ErrInUse is the error that something still needs what was to be removed.
	ErrInUse = removal.ErrInUse
	// ErrHostTaken is the ErrConflict for a name that another host has.
	ErrHostTaken = fmt.Errorf("%w: a host of this name", ErrConflict)
)

// removing runs one transaction of removal, see [removal.Change].
func (s *Store) removing(ctx context.Context, actor string, do func(removal.Change) error) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		return do(removal.Change{Tx: tx, Now: s.Now(), By: actor,
			Audit: func(action, target, detail string) error { return s.audit(ctx, tx, actor, action, target, detail) },
			Step: func(in protocol.PlaneInput) error {
				_, err := protocol.PlaneStep(protocol.DefaultTiming(), newJournal(ctx, s, tx), in)
				return err
			}})
	})
}

// Removed returns what was removed under an ID, or ErrNotFound.
func (s *Store) Removed(ctx context.Context, kind removal.Kind, id string) (Removed, error) {
	return get[Removed](ctx, s.r, removal.ByID, kind, id)
}

// AllRemoved lists what was removed of a kind and can still come back, the latest
// first.
func (s *Store) AllRemoved(ctx context.Context, kind removal.Kind, limit int) ([]Removed, error) {
	return all[Removed](ctx, s.r, removal.ByKind, kind, limit)
}

// RemovedGroups lists the source groups removed from a host that can still come back,
// the latest first.
func (s *Store) RemovedGroups(ctx context.Context, host topics.HostID) ([]Removed, error) {
	return all[Removed](ctx, s.r, removal.OfHost, host)
}

// RemoveHost takes a host out of care, with its source groups and schedules. Its open
// jobs end; from the commit on nothing of it is let in or received. It returns
// ErrInUse while the host is the keeper of a repository.
func (s *Store) RemoveHost(ctx context.Context, actor string, id topics.HostID, snapshots string) error {
	return s.removing(ctx, actor, func(c removal.Change) error { return c.RemoveHost(ctx, id, snapshots) })
}

// RemoveSourceGroup takes a source group out of its host's care, with the schedules
// that back up nothing else, whose names it returns.
func (s *Store) RemoveSourceGroup(
	ctx context.Context, actor string, id topics.SourceGroupID, snapshots string,
) (schedules []string, err error) {
	err = s.removing(ctx, actor, func(c removal.Change) error {
		_, schedules, err = c.RemoveGroup(ctx, id, snapshots)
		return err
	})
	return schedules, err
}

// RemoveRepository takes a repository out of care, with its source groups if these are
// to go, too; see [removal.Change.RemoveRepository].
func (s *Store) RemoveRepository(ctx context.Context, actor string, id topics.RepositoryID, groups bool) error {
	return s.removing(ctx, actor, func(c removal.Change) error { return c.RemoveRepository(ctx, id, groups) })
}

// Restore brings back what was removed, under another name unless name is "". It
// returns the source groups that went with it and stay removed.
func (s *Store) Restore(ctx context.Context, actor string, kind removal.Kind, id, name string) (left []Removed, err error) {
	err = s.removing(ctx, actor, func(c removal.Change) error {
		left, err = c.Restore(ctx, kind, id, name)
		return err
	})
	return left, err
}

// PurgeRemoved erases what was removed before a time, some of it in a transaction, and
// returns how much it was. It cannot come back afterwards; secrets and keys are gone.
func (s *Store) PurgeRemoved(ctx context.Context, before int64) (purged int, err error) {
	for {
		due, err := removal.Due(ctx, s.r, before, manyPurged)
		if err != nil || len(due) == 0 {
			return purged, err
		}
		for _, r := range due {
			if err := removal.Erase(ctx, s.r, s.tx, r); err != nil {
				return purged, fmt.Errorf("purge %s %s: %w", r.Kind, r.ID, err)
			}
		}
		if err := s.removing(ctx, Plane, func(c removal.Change) error {
			// Read anew: what somebody has brought back meanwhile must not lose its keys.
			still, err := removal.Due(ctx, c.Tx, before, manyPurged)
			if err != nil {
				return err
			}
			due = slices.DeleteFunc(due, func(r Removed) bool { return !slices.Contains(still, r) })
			for _, r := range due {
				err := removal.Purge(ctx, c.Tx, r)
				if err == nil && r.Kind == removal.Repository {
					err = s.dropSecrets(ctx, c.Tx, topics.RepositoryID(r.ID))
				}
				if err = errors.Join(err, c.Audit(removal.Subject(r.Kind)+".purged", r.ID, r.Name)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return purged, err
		}
		purged += len(due)
	}
}

// manyPurged is how much one transaction purges at most.
const manyPurged = 50

// dropSecrets erases the secrets of a repository that is not in care any more.
func (s *Store) dropSecrets(ctx context.Context, tx *sqlx.Tx, id topics.RepositoryID) error {
	nothing, err := s.sealAccess(ctx, tx, id, RepositoryAccess{})
	if err != nil {
		return err
	}
	return change(ctx, tx, `UPDATE repositories SET url = $1, password = $2, env = $3, maintenance = $4, files = $5 WHERE id = $6
		AND removed_at > 0`, nothing.URL, nothing.Password, nothing.Env, nothing.Maintenance, nothing.Files, id)
}

// PutHostSettings changes a host's settings and returns the new row. It returns
// ErrHostTaken if the name is another host's.
func (s *Store) PutHostSettings(ctx context.Context, actor string, host topics.HostID, set removal.HostSettings) (h Host, err error) {
	err = s.removing(ctx, actor, func(c removal.Change) error {
		if err := c.SetHost(ctx, host, set); err != nil {
			return taken(err, ErrHostTaken)
		}
		h, err = get[Host](ctx, c.Tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, host)
		return err
	})
	return h, err
}

// HostNames adds the names of some hosts, of removed ones too.
func (s *Store) HostNames(ctx context.Context, ids []topics.HostID, names map[topics.HostID]string) error {
	return namesOf(ctx, s, `SELECT id, name FROM host_names WHERE id IN (?)`, ids, names)
}

// AnySourceGroup returns one source group, or what is known of a removed one: its name
// says so.
func (s *Store) AnySourceGroup(ctx context.Context, id topics.SourceGroupID) (SourceGroup, error) {
	g, err := s.SourceGroup(ctx, id)
	if !errors.Is(err, ErrNotFound) {
		return g, err
	}
	r, err := s.Removed(ctx, removal.Group, string(id))
	return SourceGroup{ID: id, Host: topics.HostID(r.Host), Name: r.Name + " (removed)", Repository: topics.RepositoryID(r.Repository)}, err
}

// KeptBy lists the names of the repositories that a host looks after.
func (s *Store) KeptBy(ctx context.Context, host topics.HostID) ([]string, error) {
	return all[string](ctx, s.r, removal.KeptBy, host)
}

// GroupSnapshotCount counts the snapshots of a host's source group that exist.
func (s *Store) GroupSnapshotCount(ctx context.Context, host topics.HostID, id topics.SourceGroupID) (int, error) {
	return get[int](ctx, s.r, `SELECT count(*) FROM snapshots WHERE host = $1 AND gone_at = 0 AND source_group = $2`, host, id)
}

// OpenJobsOn lists queued and running jobs of a repository.
func (s *Store) OpenJobsOn(ctx context.Context, id topics.RepositoryID) ([]Job, error) {
	return all[Job](ctx, s.r, `SELECT * FROM jobs WHERE finished_at = 0 AND repository = $1 ORDER BY queued_at, id`, id)
}

// RemovedTags are the tags of the hosts that were removed and can be brought back.
func (s *Store) RemovedTags(ctx context.Context) (map[topics.HostID][]string, error) {
	rows, err := all[struct {
		ID   topics.HostID `db:"id"`
		Tags List          `db:"tags"`
	}](ctx, s.r, `SELECT id, tags FROM hosts WHERE removed_at > 0`)
	tags := make(map[topics.HostID][]string, len(rows))
	for _, r := range rows {
		tags[r.ID] = r.Tags
	}
	return tags, err
}
