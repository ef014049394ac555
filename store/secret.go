package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/keyring"
)

// sealedColumns lists every column that holds secrets, with the key of its table. A
// secret in any other column would be lost when the data key changes.
var sealedColumns = []struct{ table, key, column string }{
	{"meta", "name", "value"},
	{"repositories", "id", "url"},
	{"repositories", "id", "password"},
	{"repositories", "id", "env"},
	{"repositories", "id", "maintenance"},
	{"repositories", "id", "files"},
	{"channels", "id", "secrets"},
	{"heartbeats", "id", "url"},
	{"uplink", "id", "secrets"},
	{"uplink_places", "id", "secrets"},
	{"key_passwords", "id", "password"},
}

// A ring is the keyring, loading data keys from the database.
type ring struct{ *keyring.Ring }

// key returns the data key with this ID.
func (k ring) key(ctx context.Context, q sqlx.QueryerContext, id keyring.ID) (keyring.Key, error) {
	return k.Key(id, func() ([]byte, error) {
		wrapped, err := get[[]byte](ctx, q, `SELECT wrapped FROM data_keys WHERE id = $1 AND master = $2`, id.String(), k.Master.ID)
		if errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("%w: there is no data key %s that %s opens; if the key was changed while this ran, start it again",
				keyring.ErrKey, id, k.Master.From)
		}
		return wrapped, err
	})
}

// current returns the ID of the data key that encrypts.
func (k ring) current(ctx context.Context, q sqlx.QueryerContext) (keyring.ID, error) {
	name, err := get[string](ctx, q, `SELECT id FROM data_keys ORDER BY n DESC LIMIT 1`)
	if err != nil {
		return keyring.ID{}, err
	}
	return keyring.ParseID(name)
}

// seal encrypts a secret for its place. It reads the data key in the transaction that
// writes the secret, so that a key removed meanwhile encrypts nothing.
func (k ring) seal(ctx context.Context, tx *sqlx.Tx, where, plain []byte) ([]byte, error) {
	id, err := k.current(ctx, tx)
	if err != nil {
		return nil, err
	}
	key, err := k.key(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	return key.Seal(where, plain), nil
}

// open decrypts a secret of a place.
func (k ring) open(ctx context.Context, q sqlx.QueryerContext, where, sealed []byte) ([]byte, error) {
	id, ok := keyring.SealedBy(sealed)
	if !ok {
		return nil, keyring.Damaged(where)
	}
	key, err := k.key(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return key.Open(where, sealed)
}

// addDataKey creates a data key that encrypts from now on.
func (k ring) addDataKey(ctx context.Context, tx *sqlx.Tx, now int64) error {
	id, wrapped, err := k.Master.NewKey()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO data_keys (id, n, master, generation, wrapped, created_at)
		SELECT $1, COALESCE(MAX(n), 0) + 1, $2, COALESCE(MAX(generation), 1), $3, $4 FROM data_keys`, id.String(), k.Master.ID, wrapped, now)
	return err
}

// fits checks, before anything is written, that the master key belongs to this
// database. A database without secrets accepts any.
func (s *Store) fits(ctx context.Context) error {
	wrong := fmt.Errorf("%w: %s is not the key that this database was last used with; put the right one in its place (nothing was "+
		"changed)", keyring.ErrKey, s.keys.Master.From)
	if has, err := s.hasTable(ctx, "data_keys"); err != nil {
		return err
	} else if has {
		id, err := s.keys.current(ctx, s.w)
		if err == nil {
			if _, err = s.keys.key(ctx, s.w, id); errors.Is(err, keyring.ErrKey) {
				return wrong
			}
			return err
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if has, err := s.hasTable(ctx, "meta"); err != nil || !has {
		return err
	}
	canary, err := get[[]byte](ctx, s.w, `SELECT value FROM meta WHERE name = $1`, canary)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		if _, oerr := s.keys.Master.OpenOld(keyring.Place("meta", "canary", "value"), canary); oerr != nil {
			return wrong
		}
	}
	return err
}

// begin creates the first data key. Secrets of a database that had no data keys are
// encrypted with the master key itself; it re-encrypts them in the same transaction.
func (s *Store) begin(ctx context.Context) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := s.keys.current(ctx, tx); !errors.Is(err, ErrNotFound) {
			return err
		}
		if err := s.keys.addDataKey(ctx, tx, s.Now()); err != nil {
			return err
		}
		for _, c := range sealedColumns {
			rows, err := all[string](ctx, tx, `SELECT `+c.key+` FROM `+c.table)
			if err != nil {
				return err
			}
			for _, row := range rows {
				err := s.replace(ctx, tx, c.table, c.key, c.column, row, s.keys.Master.OpenOld)
				if errors.Is(err, keyring.ErrKey) && c.table == "repositories" {
					continue // the key fits, as the canary says: this one is damaged, and is entered again
				}
				if err != nil && !errors.Is(err, errFresh) {
					return err
				}
			}
		}
		return nil
	})
}

// replace re-encrypts one secret; errFresh means there was nothing to do.
func (s *Store) replace(
	ctx context.Context, tx *sqlx.Tx, table, key, column, row string, open func(where, sealed []byte) ([]byte, error),
) error {
	old, err := get[[]byte](ctx, tx, `SELECT `+column+` FROM `+table+` WHERE `+key+` = $1`, row)
	if errors.Is(err, ErrNotFound) || err == nil && len(old) == 0 {
		return errFresh
	} else if err != nil {
		return err
	}
	where := keyring.Place(table, row, column)
	plain, err := open(where, old)
	if err != nil {
		return err
	}
	sealed, err := s.keys.seal(ctx, tx, where, plain)
	clear(plain)
	if err != nil {
		return err
	}
	return change(ctx, tx, `UPDATE `+table+` SET `+column+` = $1 WHERE `+key+` = $2`, sealed, row)
}

const canary = "canary"

// checkCanary refuses a key that is not the one this database was made with.
func (s *Store) checkCanary(ctx context.Context) error {
	_, err := s.Secret(ctx, canary, func() ([]byte, error) { return []byte("restic-manager"), nil })
	return err
}

// Secret returns a secret of the installation, and creates it if there is none yet.
func (s *Store) Secret(ctx context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	var plain []byte
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		where := keyring.Place("meta", name, "value")
		sealed, err := get[[]byte](ctx, tx, `SELECT value FROM meta WHERE name = $1`, name)
		if err == nil {
			plain, err = s.keys.open(ctx, tx, where, sealed)
			return err
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if plain, err = create(); err != nil {
			return err
		}
		if sealed, err = s.keys.seal(ctx, tx, where, slices.Clone(plain)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)`, name, sealed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	return plain, nil
}

// LookSecret returns a secret of the installation, ErrNotFound if there is none. It
// writes nothing.
func (s *Store) LookSecret(ctx context.Context, name string) ([]byte, error) {
	sealed, err := get[[]byte](ctx, s.r, `SELECT value FROM meta WHERE name = $1`, name)
	if err != nil {
		return nil, err
	}
	return s.keys.open(ctx, s.r, keyring.Place("meta", name, "value"), sealed)
}

// ErrMoved says that a secret is not what it was when the caller looked.
var ErrMoved = fmt.Errorf("%w: somebody else changed it meanwhile", ErrConflict)

// PutSecrets changes secrets of the installation together, and says so in the audit
// log. It returns ErrMoved if the secret of a name is not what it was, nil for none.
func (s *Store) PutSecrets(ctx context.Context, actor, action, detail, name string, was []byte, secrets map[string][]byte) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		where := keyring.Place("meta", name, "value")
		var is []byte
		sealed, err := get[[]byte](ctx, tx, `SELECT value FROM meta WHERE name = $1`, name)
		if err == nil {
			is, err = s.keys.open(ctx, tx, where, sealed)
		} else if errors.Is(err, ErrNotFound) {
			err = nil
		}
		if err != nil {
			return err
		}
		if !slices.Equal(is, was) {
			return ErrMoved
		}
		for name, plain := range secrets {
			sealed, err := s.keys.seal(ctx, tx, keyring.Place("meta", name, "value"), slices.Clone(plain))
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)
				ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, sealed); err != nil {
				return err
			}
		}
		return s.audit(ctx, tx, actor, action, "", detail)
	})
}
