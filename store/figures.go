package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// Figures are how large a repository is, and when it was looked after.
type Figures struct {
	Repository  topics.RepositoryID `db:"id"`
	StoredBytes int64               `db:"stored_bytes"`
	MeasuredAt  int64               `db:"measured_at"`
	PrunedAt    int64               `db:"pruned_at"`
	CheckErrors int64               `db:"check_errors"`
	Snapshots   int                 `db:"snapshots"` // that are there
}

// RepositoriesChange holds what is told of some repositories, read at one moment.
type RepositoriesChange struct {
	Mark    int64                 // of this moment; pass it to RepositoriesSince to read later changes
	All     bool                  // Looks are of every repository
	Changed []topics.RepositoryID // that changed; those not in Looks were removed
	Looks   []looks.Facts
	Figures map[topics.RepositoryID]Figures // of these
}

// RepositoriesSince reads what is told of the repositories of which something changed since
// a mark, in whichever process, or of all if the mark is negative. It is cheap when nothing
// did.
func (s *Store) RepositoriesSince(ctx context.Context, mark int64) (c RepositoriesChange, err error) {
	if mark >= 0 {
		c.Mark, err = get[int64](ctx, s.r, `SELECT coalesce(max(n), 0) FROM judged_changes`)
		if err != nil || c.Mark == mark {
			return c, err
		}
	}
	tx, err := s.r.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return c, fmt.Errorf("begin to read repositories: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	j := Judged{}
	if j.Mark, err = get[int64](ctx, tx, `SELECT coalesce(max(n), 0) FROM judged_changes`); err != nil {
		return c, err
	}
	if err = j.changed(ctx, tx, mark); err != nil {
		return c, err
	}
	c.Mark, c.All, c.Figures = j.Mark, j.Every, map[topics.RepositoryID]Figures{}
	if !c.All {
		if c.Changed = j.Changed.Repositories; len(c.Changed) == 0 {
			return c, nil
		}
	}
	if c.Looks, err = looks.Of(ctx, tx, c.Changed...); err != nil {
		return c, err
	}
	if err = s.unread(ctx, tx, c.Looks); err != nil {
		return c, err
	}
	const figures = `SELECT id, stored_bytes, measured_at, pruned_at, check_errors,
		(SELECT count(*) FROM snapshots s WHERE s.repository = r.id AND s.gone_at = 0) AS snapshots FROM repositories r WHERE r.removed_at = 0`
	var rows []Figures
	if c.All {
		rows, err = all[Figures](ctx, tx, figures)
	} else {
		rows, err = among[Figures](ctx, tx, figures+` AND r.id IN (?)`, c.Changed)
	}
	for _, r := range rows {
		c.Figures[r.Repository] = r
	}
	return c, err
}
