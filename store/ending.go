package store

import (
	"context"

	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// LastTried is when a control plane was last there to hear hosts, to the minute, or tried
// whether the database can be written: 0 is never.
func (s *Store) LastTried(ctx context.Context) (int64, error) {
	return get[int64](ctx, s.r, `SELECT coalesce(max(at), 0) FROM tried`)
}

// Host returns the host of the transaction's job, or ErrNotFound.
func (t Slots) Host(id topics.HostID) (Host, error) {
	return get[Host](t.ctx, t.tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, id)
}

// Looks reads what is known of how a repository is, in the transaction; false if it is not
// in care.
func (t Slots) Looks(id topics.RepositoryID) (looks.Facts, bool, error) {
	list, err := looks.Of(t.ctx, t.tx, id)
	if err == nil && len(list) > 0 {
		err = t.s.unread(t.ctx, t.tx, list)
	}
	if err != nil || len(list) == 0 {
		return looks.Facts{}, false, err
	}
	return list[0], true, nil
}
