package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/endings"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// Ends is what is kept of how jobs ended, and what belongs to it, at one moment.
type Ends struct {
	Rows    []endings.Row
	Groups  map[topics.SourceGroupID]endings.Group
	Refused map[topics.HostID]intake.Aside // what was refused of a host's last, since a moment
	Hosts   []Host
	Plans   []drills.Plan // when restores are tried
}

// Ends reads how jobs ended, and what was refused of hosts since a moment.
func (s *Store) Ends(ctx context.Context, since int64) (e Ends, err error) {
	tx, err := s.r.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return e, fmt.Errorf("begin to read how jobs ended: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	if e.Rows, err = endings.All(ctx, tx); err != nil {
		return e, err
	}
	if e.Groups, err = endings.Groups(ctx, tx); err != nil {
		return e, err
	}
	if e.Refused, err = intake.Refused(ctx, tx, since); err != nil {
		return e, err
	}
	if e.Plans, err = drills.Plans(ctx, tx); err != nil {
		return e, err
	}
	e.Hosts, err = all[Host](ctx, tx, `SELECT * FROM hosts WHERE removed_at = 0 ORDER BY name, id`)
	return e, err
}

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
