package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// Looks reads, at one moment, what is known of how some repositories are, or all in
// care if none is named. Package health judges it.
func (s *Store) Looks(ctx context.Context, ids ...topics.RepositoryID) (facts []looks.Facts, err error) {
	tx, err := s.r.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("begin to read looks: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	if facts, err = looks.Of(ctx, tx, ids...); err != nil {
		return facts, err
	}
	return facts, s.unread(ctx, tx, facts)
}

// DamagedAt reports whether a repository counts as damaged where a host has it.
func (s *Store) DamagedAt(ctx context.Context, id topics.RepositoryID, host topics.HostID) (bool, error) {
	return get[bool](ctx, s.r, `SELECT EXISTS (SELECT 1 FROM repository_damage WHERE repository = $1 AND place IN ('', $2))`, id, host)
}

// AcknowledgeForeign notes that all snapshots in a repository that no job of ours made
// are known, and returns how many were not. Later ones are foreign again.
func (s *Store) AcknowledgeForeign(ctx context.Context, actor string, id topics.RepositoryID) (n int64, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := inCare(ctx, tx, id); err != nil {
			return err
		}
		if n, err = looks.Acknowledge(ctx, tx, id, s.Now()); err != nil || n == 0 {
			return err
		}
		return s.audit(ctx, tx, actor, "repository.foreign_acknowledged", string(id), fmt.Sprintf("%d snapshots", n))
	})
	return n, err
}
