package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/jmoiron/sqlx"
)

// ErrKey says that the key file and the database do not belong together.
var ErrKey = errors.New("the key file does not fit the database")

// A keyring seals secrets at rest. What is sealed is bound to its table, row
// and column, so a ciphertext cannot be moved to another place.
type keyring struct{ aead cipher.AEAD }

func openKeyring(path string, fresh bool, database string) (keyring, error) {
	text, err := os.ReadFile(path)
	switch {
	case err == nil && fresh:
		return keyring{}, fmt.Errorf("%w: %s is there, its database %s is missing or empty; restore the database from a backup, or remove the key to begin anew (every host would have to enrol again)", ErrKey, path, database)
	case errors.Is(err, fs.ErrNotExist) && !fresh:
		return keyring{}, fmt.Errorf("%w: %s is missing, and without it no secret in %s can be read; put it back from a backup", ErrKey, path, database)
	case errors.Is(err, fs.ErrNotExist):
		if text, err = newKeyFile(path); err != nil {
			return keyring{}, fmt.Errorf("make the key file %s: %w", path, err)
		}
	case err != nil:
		return keyring{}, fmt.Errorf("read the key file: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		return keyring{}, fmt.Errorf("%w: %s does not hold 64 hexadecimal digits", ErrKey, path)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return keyring{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return keyring{aead}, err
}

// newKeyFile writes a key that is on disk before anything is sealed with it.
func newKeyFile(path string) ([]byte, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	text := []byte(hex.EncodeToString(key) + "\n")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	return text, errors.Join(err, f.Sync(), f.Close())
}

// place says where a secret belongs.
func place(table, row, column string) []byte { return []byte(table + "\x00" + row + "\x00" + column) }

func (k keyring) seal(where, plain []byte) []byte { return k.aead.Seal(nil, nil, plain, where) }

func (k keyring) open(where, sealed []byte) ([]byte, error) {
	plain, err := k.aead.Open(nil, nil, sealed, where)
	if err != nil {
		return nil, fmt.Errorf("%w: a secret of %s cannot be read", ErrKey, strings.ReplaceAll(string(where), "\x00", "/"))
	}
	return plain, nil
}

// checkCanary refuses a key that is not the one this database was made with.
func (s *Store) checkCanary(ctx context.Context) error {
	_, err := s.Secret(ctx, "canary", func() ([]byte, error) { return []byte("restic-manager"), nil })
	return err
}

// Secret returns a secret of the installation, made once if it is not there yet.
func (s *Store) Secret(ctx context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	var plain []byte
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		sealed, err := get[[]byte](ctx, tx, `SELECT value FROM meta WHERE name = $1`, name)
		if err == nil {
			plain, err = s.keys.open(place("meta", name, "value"), sealed)
			return err
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if plain, err = create(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)`, name, s.keys.seal(place("meta", name, "value"), plain))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	return plain, nil
}
