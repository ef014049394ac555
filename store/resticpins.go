package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// A ResticPin is a file with restic that hosts may be told to fetch from here, by the checksum
// that an administrator confirmed.
type ResticPin struct {
	Name     string `db:"name"`   // as restic releases it
	SHA256   string `db:"sha256"` // in hexadecimal digits
	Size     int64  `db:"size"`   // in bytes
	PinnedBy string `db:"pinned_by"`
	PinnedAt int64  `db:"pinned_at"` // Unix milliseconds
}

// ResticPins lists all, by name.
func (s *Store) ResticPins(ctx context.Context) ([]ResticPin, error) {
	return all[ResticPin](ctx, s.r, `SELECT * FROM restic_pins ORDER BY name`)
}

// PinRestic has hosts be told to fetch a file. What was pinned by its name before is no more.
func (s *Store) PinRestic(ctx context.Context, actor string, p ResticPin) error {
	p.PinnedBy, p.PinnedAt = actor, s.Now()
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO restic_pins (name, sha256, size, pinned_by, pinned_at)
			VALUES (:name, :sha256, :size, :pinned_by, :pinned_at) ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256,
			size = excluded.size, pinned_by = excluded.pinned_by, pinned_at = excluded.pinned_at`, p); err != nil {
			return fmt.Errorf("pin a restic: %w", err)
		}
		return s.audit(ctx, tx, actor, "restic.pinned", p.Name, "its SHA-256 is "+p.SHA256)
	})
}

// UnpinRestic has hosts be told to fetch a file no more. It returns ErrNotFound.
func (s *Store) UnpinRestic(ctx context.Context, actor, name string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `DELETE FROM restic_pins WHERE name = $1`, name)
		if err != nil {
			return fmt.Errorf("unpin a restic: %w", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return orNotFound(err)
		}
		return s.audit(ctx, tx, actor, "restic.unpinned", name, "")
	})
}

func orNotFound(err error) error {
	if err != nil {
		return err
	}
	return ErrNotFound
}
