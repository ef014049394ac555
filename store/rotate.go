package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store/keyring"
)

// Rotated is the result of a change of keys.
type Rotated struct {
	// NewKeyFile is the file with the new master key. If it is set, somebody has to
	// put the key where the old one comes from and call again; "" means done.
	NewKeyFile string
	Resealed   int // secrets that were sealed anew
}

// RotateKeys replaces the master key and the data key and re-encrypts every secret.
// It can be interrupted at any point: the database opens with the key that is in
// place, every secret can be read, and the next call continues. No control plane may
// use the database meanwhile.
//
// A master key that came from a file is replaced there. If the key was passed in, the
// new one is written to newKeyFile, and both open the database until the next call
// with the new one.
func (s *Store) RotateKeys(ctx context.Context, actor, newKeyFile string) (Rotated, error) {
	m := s.keys.Master
	switch {
	case m.File != "" && newKeyFile == "":
		newKeyFile = m.File + ".new"
	case m.File != "":
		return Rotated{}, fmt.Errorf(
			"the new key takes the place of the old one in %s; --new-key-file is for keys that do not come from a file", m.File)
	}
	// Overwrite deleted data from now on, such as the old data key, encrypted with a
	// master key that somebody may still have.
	if _, err := s.w.ExecContext(ctx, `PRAGMA secure_delete = ON`); err != nil {
		return Rotated{}, err
	}
	newest, several, err := s.masters(ctx)
	if err != nil {
		return Rotated{}, err
	}
	n, err := get[int](ctx, s.w, `SELECT count(DISTINCT n) FROM data_keys`)
	if err != nil {
		return Rotated{}, err
	}
	if (!several || newest != m.ID) && n == 1 { // nothing has begun, or the new key is not in place yet
		if newKeyFile == "" {
			return Rotated{}, fmt.Errorf("the key is given by %s, where this program cannot replace it; say with --new-key-file where to "+
				"write the new one", m.From)
		}
		if m.File == "" && keyring.Inside(newKeyFile, s.dir) != "" {
			return Rotated{}, fmt.Errorf("%s would be inside the data directory, and whoever copies that would have every secret with its key; "+
				"name a file elsewhere with --new-key-file", newKeyFile)
		}
		next, err := m.Next(newKeyFile)
		if err != nil {
			return Rotated{}, err
		}
		if err := s.wrap(ctx, actor, next); err != nil {
			return Rotated{}, fmt.Errorf("admit the new master key: %w", err)
		}
		failpoint.Here("rotate-admitted")
		if m.File == "" {
			return Rotated{NewKeyFile: newKeyFile}, nil
		}
		if next, err = m.Replace(next); err != nil {
			return Rotated{}, fmt.Errorf("put the new key in place: %w; both keys open the database, so nothing is lost", err)
		}
		failpoint.Here("rotate-in-place")
		s.keys = ring{keyring.NewRing(next)}
	}
	if err := s.newDataKey(ctx, actor, n == 1); err != nil {
		return Rotated{}, fmt.Errorf("make a new data key: %w", err)
	}
	failpoint.Here("rotate-data-key")
	done, err := s.reseal(ctx)
	if err != nil {
		return Rotated{}, fmt.Errorf("seal every secret anew: %w; what was sealed with the old key can still be read", err)
	}
	if err := s.retire(ctx, actor); err != nil {
		return Rotated{}, err
	}
	failpoint.Here("rotate-retired")
	return Rotated{Resealed: done}, s.wipe(ctx)
}

// masters returns the newest master key's ID, and whether there is another.
func (s *Store) masters(ctx context.Context) (newest string, several bool, err error) {
	ids, err := all[string](ctx, s.w, `SELECT master FROM data_keys GROUP BY master ORDER BY MAX(generation) DESC`)
	if err != nil || len(ids) == 0 {
		return "", false, errors.Join(err, errors.New("the database has no data key"))
	}
	return ids[0], len(ids) > 1, nil
}

// wrap encrypts every data key with a second master key, too.
func (s *Store) wrap(ctx context.Context, actor string, next keyring.Master) error {
	m := s.keys.Master
	if next.ID == m.ID {
		return fmt.Errorf("%s holds the key that is in use; remove it", next.From)
	}
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM data_keys WHERE master <> $1`, m.ID); err != nil { // one that never came into its place
			return err
		}
		type row struct {
			ID         string `db:"id"`
			N          int64  `db:"n"`
			Generation int64  `db:"generation"`
			Wrapped    []byte `db:"wrapped"`
			CreatedAt  int64  `db:"created_at"`
		}
		rows, err := all[row](ctx, tx, `SELECT id, n, generation, wrapped, created_at FROM data_keys`)
		if err != nil {
			return err
		}
		for _, r := range rows {
			wrapped, err := m.Rewrap(next, r.ID, r.Wrapped)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO data_keys (id, n, master, generation, wrapped, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
				r.ID, r.N, next.ID, r.Generation+1, wrapped, r.CreatedAt)
			if err != nil {
				return err
			}
		}
		return s.audit(ctx, tx, actor, "master_key.added", next.ID, "beside "+m.ID)
	})
}

// newDataKey removes the old master key's copies and creates a data key that the old
// one never opened, unless an earlier call has done so.
func (s *Store) newDataKey(ctx context.Context, actor string, needed bool) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM data_keys WHERE master <> $1`, s.keys.Master.ID)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil {
			return err
		} else if n > 0 {
			if err := s.audit(ctx, tx, actor, "master_key.replaced", s.keys.Master.ID, "the one before opens nothing any more"); err != nil {
				return err
			}
		}
		if !needed {
			return nil
		}
		return s.keys.addDataKey(ctx, tx, s.Now())
	})
}

// reseal re-encrypts each secret that is not yet encrypted with the current data key. One
// that cannot be read keeps no other from it.
func (s *Store) reseal(ctx context.Context) (done int, err error) {
	current, err := s.keys.current(ctx, s.w)
	if err != nil {
		return 0, err
	}
	var unread error
	for _, c := range sealedColumns {
		rows, err := all[string](ctx, s.w, `SELECT `+c.key+` FROM `+c.table+` ORDER BY `+c.key)
		if err != nil {
			return done, err
		}
		for _, row := range rows {
			fresh := false
			err := s.tx(ctx, func(tx *sqlx.Tx) error {
				err := s.replace(ctx, tx, c.table, c.key, c.column, row, func(where, sealed []byte) ([]byte, error) {
					if id, ok := keyring.SealedBy(sealed); ok && id == current {
						return nil, errFresh
					}
					return s.keys.open(ctx, tx, where, sealed)
				})
				fresh = errors.Is(err, errFresh)
				if fresh {
					return nil
				}
				return err
			})
			if bad := s.unreadRow(ctx, c.table, row, err); bad != nil {
				unread = cmp.Or(unread, bad)
				continue
			}
			if err != nil {
				return done, err
			}
			if !fresh {
				done++
				failpoint.Here("rotate-row")
			}
		}
	}
	return done, unread
}

var errFresh = errors.New("there is no secret, or it is sealed with the current key")

// retire removes the data keys that are not in use any more.
func (s *Store) retire(ctx context.Context, actor string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		current, err := s.keys.current(ctx, tx)
		if err != nil {
			return err
		}
		for _, c := range sealedColumns {
			sealed, err := all[[]byte](ctx, tx, `SELECT `+c.column+` FROM `+c.table)
			if err != nil {
				return err
			}
			for _, b := range sealed {
				if id, ok := keyring.SealedBy(b); len(b) > 0 && (!ok || id != current) {
					return fmt.Errorf("a secret was sealed with the old data key meanwhile; run this again")
				}
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM data_keys WHERE id <> $1`, current.String()); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "data_key.replaced", current.String(), "every secret is sealed with it")
	})
}

// wipe truncates SQLite's journal, which still contains deleted data.
func (s *Store) wipe(ctx context.Context) error {
	_, err := s.w.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return err
}
