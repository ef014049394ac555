package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// ErrKey says that the master key and the database do not belong together.
var ErrKey = errors.New("the key does not fit the database")

// A KeySource says where the master key is, which opens the keys that are kept
// in the database. The zero value is the file beside the data directory.
type KeySource struct {
	File  string        // "" is dir.key, unless a key is given
	Given topics.Secret // 64 hexadecimal digits, from somewhere that is not ours to write
	From  string        // where it was given, for people
}

// A master key seals data keys, and nothing else.
type master struct {
	aead cipher.AEAD
	id   string // tells one from another, and nothing about the key
	from string // for people
	file string // "" if it was given
}

// beside is the file that holds the key of a data directory.
func beside(dir string) string { return filepath.Clean(dir) + ".key" }

// made is the file that says a database was made in a data directory, where the
// key is given and no file of its own says so: an empty directory is then a volume
// that is not mounted, and no place to let a stranger make the first account.
func made(dir string) string { return filepath.Clean(dir) + ".made" }

// Exists reports whether a directory holds a database, or something beside it says
// that it should. Where it does not, opening makes a new one.
func Exists(dir string) bool {
	return exists(filepath.Join(dir, fileName)) || exists(beside(dir)) || exists(made(dir))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// noteMade writes that file, where that can be done: beside the directory may be
// nothing of ours to write.
func noteMade(dir string) {
	if !exists(made(dir)) {
		_ = os.WriteFile(made(dir), []byte("restic-manager has its database in "+filepath.Base(dir)+", and is given its key. While this file is here, it does not make another.\n"), 0o600)
	}
}

// openMaster reads the master key of a database, or makes it in its file together
// with a database that is not there yet.
func openMaster(src KeySource, dir, database string, fresh bool) (master, error) {
	path := src.File
	if path == "" {
		path = beside(dir)
	}
	switch _, err := os.Lstat(path); {
	case err == nil && fresh:
		return master{}, fmt.Errorf("%w: %s is there, its database %s is missing or empty; restore the database from a backup, or remove the key to begin anew (every host would have to enrol again)", ErrKey, path, database)
	case src.Given != "" && fresh && exists(made(dir)):
		return master{}, fmt.Errorf("%w: %s says that a database was made here, and %s is missing or empty; mount its volume or restore it from a backup, or remove %[2]s to begin anew (every host would have to enrol again)", ErrKey, made(dir), database)
	case src.Given != "":
		return parseMaster([]byte(src.Given.Reveal()), src.From, "")
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return master{}, fmt.Errorf("%w: the key file cannot be looked at: %w", ErrKey, err)
	case !fresh:
		return master{}, fmt.Errorf("%w: %s is missing, and without it no secret in %s can be read; put it back from a backup, or say with --key-file where it is", ErrKey, path, database)
	default:
		if err := os.MkdirAll(dir, 0o700); err != nil { // it makes the key's directory, too
			return master{}, fmt.Errorf("make the data directory: %w", err)
		}
		if err := newKeyFile(path); err != nil {
			return master{}, fmt.Errorf("make the key file %s: %w", path, err)
		}
	}
	return readMaster(path)
}

func readMaster(path string) (master, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return master{}, fmt.Errorf("%w: the key file cannot be read: %w", ErrKey, err)
	}
	return parseMaster(text, path, path)
}

func parseMaster(text []byte, from, file string) (master, error) {
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 { // the error would show what is there
		return master{}, fmt.Errorf("%w: %s does not hold 64 hexadecimal digits", ErrKey, from)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("restic-manager master key"))
	aead, err := newAEAD(key)
	return master{aead: aead, id: hex.EncodeToString(mac.Sum(nil)[:8]), from: from, file: file}, err
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// newKeyFile writes a key that is on disk, its name too, before anything is
// sealed with it.
func newKeyFile(path string) error {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		syncDir(filepath.Dir(path))
	}
	return err
}

// syncDir puts names in a directory on disk, where the system can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
