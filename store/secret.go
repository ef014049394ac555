package store

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"
)

// Secrets at rest are sealed with a data key, which is in the database, sealed
// with the master key, which is not: whoever has one of the two has nothing, and
// to change the master key touches no secret. What is sealed is bound to its
// table, row and column, so that it cannot be moved to another place.

// sealedColumns are all that hold secrets, with the key of their tables. A column
// that is not here would be lost when the data key changes.
var sealedColumns = []struct{ table, key, column string }{
	{"meta", "name", "value"},
	{"repositories", "id", "url"},
	{"repositories", "id", "password"},
	{"repositories", "id", "env"},
	{"repositories", "id", "maintenance"},
}

// A keyID names a data key. It stands before everything sealed with it.
type keyID [8]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

func parseKeyID(s string) (id keyID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || copy(id[:], b) != len(id) || len(b) != len(id) {
		return id, fmt.Errorf("%w: %.40q is no data key's name", ErrKey, s)
	}
	return id, nil
}

// form is the first byte of what is sealed; then come the data key's name, the
// nonce and the ciphertext.
const form = 1

// A keyring is the master key and the data keys it has opened so far.
type keyring struct {
	master master
	mu     sync.Mutex
	data   map[keyID]cipher.AEAD
}

func newKeyring(m master) *keyring { return &keyring{master: m, data: map[keyID]cipher.AEAD{}} }

// place says where a secret belongs.
func place(table, row, column string) []byte { return []byte(table + "\x00" + row + "\x00" + column) }

func wrapPlace(id string) []byte { return place("data_keys", id, "wrapped") }

// key is the data key of a name.
func (k *keyring) key(ctx context.Context, q sqlx.QueryerContext, id keyID) (cipher.AEAD, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if aead := k.data[id]; aead != nil {
		return aead, nil
	}
	wrapped, err := get[[]byte](ctx, q, `SELECT wrapped FROM data_keys WHERE id = $1 AND master = $2`, id.String(), k.master.id)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: there is no data key %s that %s opens; if the key was changed while this ran, start it again", ErrKey, id, k.master.from)
	} else if err != nil {
		return nil, err
	}
	plain, err := k.master.aead.Open(nil, nil, wrapped, wrapPlace(id.String()))
	if err != nil {
		return nil, fmt.Errorf("%w: %s does not open the data key %s", ErrKey, k.master.from, id)
	}
	aead, err := newAEAD(plain)
	if err == nil {
		k.data[id] = aead
	}
	return aead, err
}

// current is the name of the data key that seals.
func (k *keyring) current(ctx context.Context, q sqlx.QueryerContext) (keyID, error) {
	name, err := get[string](ctx, q, `SELECT id FROM data_keys ORDER BY n DESC LIMIT 1`)
	if err != nil {
		return keyID{}, err
	}
	return parseKeyID(name)
}

// seal seals a secret for its place. It is asked for the data key within the
// transaction that writes it: a key that was taken away meanwhile seals nothing.
func (k *keyring) seal(ctx context.Context, tx *sqlx.Tx, where, plain []byte) ([]byte, error) {
	id, err := k.current(ctx, tx)
	if err != nil {
		return nil, err
	}
	aead, err := k.key(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	return aead.Seal(append([]byte{form}, id[:]...), nil, plain, where), nil
}

// open opens what was sealed for a place.
func (k *keyring) open(ctx context.Context, q sqlx.QueryerContext, where, sealed []byte) ([]byte, error) {
	damaged := fmt.Errorf("%w: a secret of %s cannot be read", ErrKey, strings.ReplaceAll(string(where), "\x00", "/"))
	id, ok := sealedBy(sealed)
	if !ok {
		return nil, damaged
	}
	aead, err := k.key(ctx, q, id)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, sealed[1+len(id):], where)
	if err != nil {
		return nil, damaged
	}
	return plain, nil
}

// sealedBy names the data key that something was sealed with.
func sealedBy(sealed []byte) (id keyID, ok bool) {
	if len(sealed) <= 1+len(id) || sealed[0] != form {
		return id, false
	}
	copy(id[:], sealed[1:])
	return id, true
}

// addDataKey makes a data key that seals from now on.
func (k *keyring) addDataKey(ctx context.Context, tx *sqlx.Tx, now int64) error {
	var id keyID
	plain := make([]byte, 32)
	for _, b := range [][]byte{id[:], plain} {
		if _, err := rand.Read(b); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO data_keys (id, n, master, generation, wrapped, created_at)
		SELECT $1, COALESCE(MAX(n), 0) + 1, $2, COALESCE(MAX(generation), 1), $3, $4 FROM data_keys`,
		id.String(), k.master.id, k.master.aead.Seal(nil, nil, plain, wrapPlace(id.String())), now)
	return err
}

// fits asks whether the master key is the one of this database, before anything
// is written to it. A database that holds no secret yet takes any.
func (s *Store) fits(ctx context.Context) error {
	wrong := fmt.Errorf("%w: %s is not the key that this database was last used with; put the right one in its place (nothing was changed)", ErrKey, s.keys.master.from)
	if has, err := s.hasTable(ctx, "data_keys"); err != nil {
		return err
	} else if has {
		id, err := s.keys.current(ctx, s.w)
		if err == nil {
			if _, err = s.keys.key(ctx, s.w, id); errors.Is(err, ErrKey) {
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
		if _, oerr := s.keys.master.aead.Open(nil, nil, canary, place("meta", "canary", "value")); oerr != nil {
			return wrong
		}
	}
	return err
}

// begin makes the first data key. Secrets of a database from before there were
// data keys are sealed with the master key itself; they are sealed anew, all at
// once.
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
				err := s.replace(ctx, tx, c.table, c.key, c.column, row, func(where, sealed []byte) ([]byte, error) {
					plain, err := s.keys.master.aead.Open(nil, nil, sealed, where)
					if err != nil {
						return nil, fmt.Errorf("%w: a secret of %s/%s/%s cannot be read", ErrKey, c.table, row, c.column)
					}
					return plain, nil
				})
				if err != nil && !errors.Is(err, errFresh) {
					return err
				}
			}
		}
		return nil
	})
}

// replace seals one secret anew; errFresh is that there was nothing to do.
func (s *Store) replace(ctx context.Context, tx *sqlx.Tx, table, key, column, row string, open func(where, sealed []byte) ([]byte, error)) error {
	old, err := get[[]byte](ctx, tx, `SELECT `+column+` FROM `+table+` WHERE `+key+` = $1`, row)
	if errors.Is(err, ErrNotFound) || err == nil && len(old) == 0 {
		return errFresh
	} else if err != nil {
		return err
	}
	where := place(table, row, column)
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

// Secret returns a secret of the installation, made once if it is not there yet.
func (s *Store) Secret(ctx context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	var plain []byte
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		where := place("meta", name, "value")
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
