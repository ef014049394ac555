// Package keyring holds the keys of the control plane's secrets: where the master
// key is, how it is made and replaced, and how secrets are sealed.
//
// Secrets are sealed with a data key, which is in the database, sealed with the
// master key, which is not: whoever has one of the two can read nothing, and a
// change of the master key touches no secret. What is sealed is bound to its table,
// row and column, so that it cannot be moved to another place.
//
// The package knows no SQL; package store keeps the rows.
package keyring

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

	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/topics"
)

// ErrKey says that the master key and the database do not belong together.
var ErrKey = errors.New("the key does not fit the database")

// A Source says where the master key is, which opens the keys that are kept
// in the database. The zero value is the file beside the data directory.
type Source struct {
	File  string        // "" is dir.key, unless a key is given
	Given topics.Secret // 64 hexadecimal digits, from somewhere that is not ours to write
	From  string        // where it was given, for people
}

// A Master is the master key. It seals data keys, and nothing else.
type Master struct {
	ID   string // tells one from another, and nothing about the key
	From string // where it is, for people
	File string // its file, "" if it was given
	aead cipher.AEAD
}

// Beside is the file that holds the key of a data directory.
func Beside(dir string) string { return beside(dir, ".key") }

// beside is a name with another ending. Of "." that would be a file in it, where
// older versions made it: it is used if it is there.
func beside(dir, ending string) string {
	clean := filepath.Clean(dir)
	if base := filepath.Base(clean); base == "." || base == ".." {
		if abs, err := filepath.Abs(clean); err == nil && !exists(clean+ending) {
			return abs + ending
		}
	}
	return clean + ending
}

// made is the file that says a database was made in a data directory, where the
// key is given and no file of its own says so: an empty directory is then a volume
// that is not mounted, and no place to let a stranger make the first account.
func made(dir string) string { return beside(dir, ".made") }

// Expects reports whether something beside a data directory says that there should
// be a database in it.
func Expects(dir string) bool { return exists(Beside(dir)) || exists(made(dir)) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// NoteMade writes down that a database was made in a directory, if its master key
// was given. It does so where that can be done: beside the directory may be nothing
// of ours to write.
func (m Master) NoteMade(dir string) {
	if m.File == "" && !exists(made(dir)) {
		_ = os.WriteFile(made(dir),
			[]byte("restic-manager has its database in "+filepath.Base(dir)+", and is given its key. While this file is here, it does not "+
				"make another.\n"), 0o600)
		_ = private.Own(made(dir), dir)
	}
}

// Open reads the master key of a database, or makes it in its file together with a
// database that is not there yet.
func Open(src Source, dir, database string, fresh bool) (Master, error) {
	path := src.File
	if path == "" {
		path = Beside(dir)
	}
	switch _, err := os.Lstat(path); {
	case err == nil && fresh:
		return Master{}, fmt.Errorf("%w: %s is there, its database %s is missing or empty; restore the database from a backup, or remove "+
			"the key to begin anew (every host would have to enrol again)", ErrKey, path, database)
	case src.Given != "" && fresh && exists(made(dir)):
		return Master{}, fmt.Errorf("%w: %s says that a database was made here, and %s is missing or empty; mount its volume or restore "+
			"it from a backup, or remove %[2]s to begin anew (every host would have to enrol again)", ErrKey, made(dir), database)
	case src.Given != "":
		return parse([]byte(src.Given.Reveal()), src.From, "")
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return Master{}, fmt.Errorf("%w: the key file cannot be looked at: %w", ErrKey, err)
	case !fresh:
		return Master{}, fmt.Errorf("%w: %s is missing, and without it no secret in %s can be read; put it back from a backup, or say "+
			"with --key-file where it is", ErrKey, path, database)
	default:
		if Inside(path, dir) != "" {
			return Master{}, fmt.Errorf("%w: %s would be inside the data directory, and whoever copies or backs up %s would have every secret "+
				"with its key; leave --key-file out (the key is then made in %s), or name a file elsewhere", ErrKey, path, dir, Beside(dir))
		}
		if err := os.MkdirAll(dir, 0o700); err != nil { // it makes the key's directory, too
			return Master{}, fmt.Errorf("make the data directory: %w", err)
		}
		if err := NewFile(path); err != nil {
			return Master{}, fmt.Errorf("make the key file %s: %w", path, err)
		}
	}
	return Read(path)
}

// Read reads the master key in a file.
func Read(path string) (Master, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Master{}, fmt.Errorf("%w: the key file cannot be read: %w", ErrKey, err)
	}
	return parse(text, path, path)
}

func parse(text []byte, from, file string) (Master, error) {
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 { // the error would show what is there
		return Master{}, fmt.Errorf("%w: %s does not hold 64 hexadecimal digits", ErrKey, from)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("restic-manager master key"))
	aead, err := newAEAD(key)
	return Master{ID: hex.EncodeToString(mac.Sum(nil)[:8]), From: from, File: file, aead: aead}, err
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// NewFile writes a key that is on disk, its name too, before anything is
// sealed with it.
func NewFile(path string) error {
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

// Next is the master key that is to follow this one: the key in a file, which an
// earlier call may have left there. What cannot be read there was never used, and
// is written anew if the file is ours alone.
func (m Master) Next(path string) (Master, error) {
	next, err := Read(path)
	if err == nil {
		return next, nil
	}
	if errors.Is(err, os.ErrNotExist) || m.File != "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return Master{}, err
		}
		if err := NewFile(path); err != nil {
			return Master{}, fmt.Errorf("write the new key: %w", err)
		}
		return Read(path)
	}
	return Master{}, err
}

// Replace puts the next master key's file in the place of this one's. It answers
// with the next key as it is from then on.
func (m Master) Replace(next Master) (Master, error) {
	if err := private.Own(next.File, m.File); err != nil {
		return Master{}, err
	}
	if err := os.Rename(next.File, m.File); err != nil {
		return Master{}, err
	}
	syncDir(filepath.Dir(m.File))
	next.From, next.File = m.From, m.File
	return next, nil
}

// syncDir puts names in a directory on disk, where the system can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
