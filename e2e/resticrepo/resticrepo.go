// Package resticrepo makes restic repositories for tests: empty ones, as restic
// init leaves them, but for their key, which costs nearly nothing to open. It
// does the same to the key of one that restic made itself.
//
// restic derives the key that wraps a repository's master key from the password
// with scrypt, and init chooses parameters that take half a second of processor
// time. Every restic process pays that again. The parameters are written in the
// key file, so that a file with small ones makes each of a test's twenty restic
// processes half a second cheaper. Everything else is restic's own format
// (https://restic.readthedocs.io/en/stable/100_references.html), version 2.
package resticrepo

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/crypto/scrypt"
)

// The smallest scrypt parameters that restic takes.
const costN, costR, costP = 2, 1, 1

// Make makes an empty repository in dir, which must not be there yet or be empty.
func Make(dir, password string) error {
	if entries, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if len(entries) > 0 {
		return fmt.Errorf("%s is not empty", dir)
	}
	for _, sub := range []string{"data", "index", "keys", "locks", "snapshots"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	for b := range 256 {
		if err := os.Mkdir(filepath.Join(dir, "data", fmt.Sprintf("%02x", b)), 0o700); err != nil {
			return err
		}
	}
	master := keysFrom(chance(64))
	master.maskR()
	config, err := json.Marshal(map[string]any{
		"version":            2,
		"id":                 hex.EncodeToString(chance(32)),
		"chunker_polynomial": "25b468838dcb75", // irreducible, as restic demands
	})
	if err != nil {
		return err
	}
	plain, err := json.Marshal(map[string]any{
		"mac":     map[string][]byte{"k": master.macK, "r": master.macR},
		"encrypt": master.encryption,
	})
	if err != nil {
		return err
	}
	return errors.Join(
		addKey(dir, password, plain, keyFile{Created: time.Now(), Username: "test", Hostname: "test"}),
		os.WriteFile(filepath.Join(dir, "config"), master.encrypt(config), 0o400),
	)
}

// Cheapen wraps the keys of a repository anew, so that it opens as cheaply as one
// from Make. All of them have this password.
func Cheapen(dir, password string) error {
	files, err := filepath.Glob(filepath.Join(dir, "keys", "*"))
	if err != nil || len(files) == 0 {
		return errors.Join(fmt.Errorf("%s has no keys", dir), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var k keyFile
		if err := json.Unmarshal(b, &k); err != nil {
			return err
		}
		derived, err := scrypt.Key([]byte(password), k.Salt, k.N, k.R, k.P, 64)
		if err != nil {
			return err
		}
		plain, err := keysFrom(derived).decrypt(k.Data)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := addKey(dir, password, plain, k); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

// KeyOpens reports whether a password opens a repository with one of its key files. A
// key that restic made takes half a second.
func KeyOpens(file, password string) (bool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	var k keyFile
	if err := json.Unmarshal(b, &k); err != nil {
		return false, fmt.Errorf("%s: %w", file, err)
	}
	derived, err := scrypt.Key([]byte(password), k.Salt, k.N, k.R, k.P, 64)
	if err != nil {
		return false, err
	}
	_, err = keysFrom(derived).decrypt(k.Data)
	return err == nil, nil
}

// keyFile is how restic keeps a master key that is sealed under a password.
type keyFile struct {
	Created  time.Time `json:"created"`
	Username string    `json:"username"`
	Hostname string    `json:"hostname"`
	KDF      string    `json:"kdf"`
	N        int       `json:"N"`
	R        int       `json:"r"`
	P        int       `json:"p"`
	Salt     []byte    `json:"salt"`
	Data     []byte    `json:"data"`
}

// addKey seals a master key under the password, and writes it down with what else
// is known of it.
func addKey(dir, password string, plain []byte, k keyFile) error {
	k.KDF, k.N, k.R, k.P, k.Salt = "scrypt", costN, costR, costP, chance(64)
	derived, err := scrypt.Key([]byte(password), k.Salt, k.N, k.R, k.P, 64)
	if err != nil {
		return err
	}
	k.Data = keysFrom(derived).encrypt(plain)
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	name := sha256.Sum256(b)
	return os.WriteFile(filepath.Join(dir, "keys", hex.EncodeToString(name[:])), b, 0o400)
}

func chance(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// keys are one of restic's: for AES-256-CTR, and two halves for Poly1305-AES.
type keys struct{ encryption, macK, macR []byte }

func keysFrom(b []byte) keys {
	return keys{encryption: b[:32], macK: b[32:48], macR: b[48:64]}
}

// maskR clears the bits that Poly1305 ignores; restic refuses a master key that has them.
func (k keys) maskR() {
	for _, i := range []int{3, 7, 11, 15} {
		k.macR[i] &= 15
	}
	for _, i := range []int{4, 8, 12} {
		k.macR[i] &= 252
	}
}

// encrypt is a random nonce, the ciphertext, and its Poly1305-AES.
func (k keys) encrypt(plain []byte) []byte {
	nonce := chance(aes.BlockSize)
	text := make([]byte, len(plain))
	cipher.NewCTR(block(k.encryption), nonce).XORKeyStream(text, plain)
	return slices.Concat(nonce, text, k.sum(nonce, text))
}

// decrypt is the opposite of encrypt.
func (k keys) decrypt(b []byte) ([]byte, error) {
	if len(b) < 2*aes.BlockSize {
		return nil, errors.New("too short to be encrypted")
	}
	nonce, text, sum := b[:aes.BlockSize], b[aes.BlockSize:len(b)-aes.BlockSize], b[len(b)-aes.BlockSize:]
	if !bytes.Equal(sum, k.sum(nonce, text)) {
		return nil, errors.New("it is sealed with another key")
	}
	plain := make([]byte, len(text))
	cipher.NewCTR(block(k.encryption), nonce).XORKeyStream(plain, text)
	return plain, nil
}

func (k keys) sum(nonce, text []byte) []byte {
	k.maskR()
	pad := make([]byte, aes.BlockSize)
	block(k.macK).Encrypt(pad, nonce)
	return poly1305(k.macR, pad, text)
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has another length
	}
	return b
}

// poly1305 is the sum of RFC 8439, 2.5, with big numbers: the messages are small.
func poly1305(r, pad, text []byte) []byte {
	number := func(little []byte) *big.Int {
		b := slices.Clone(little)
		slices.Reverse(b)
		return new(big.Int).SetBytes(b)
	}
	prime := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 130), big.NewInt(5))
	sum := new(big.Int)
	for piece := range slices.Chunk(text, 16) {
		sum.Add(sum, number(append(slices.Clone(piece), 1)))
		sum.Mod(sum.Mul(sum, number(r)), prime)
	}
	out := sum.Add(sum, number(pad)).Bytes()
	slices.Reverse(out)
	return append(out, make([]byte, 16)...)[:16]
}
