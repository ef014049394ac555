// Package password hashes the secrets that people and programs sign in with:
// argon2id for passwords that people choose, plain SHA-256 for keys we generate,
// which are too long to guess.
package password

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// MinLength and MaxLength are the limits of a password in characters. Length is the
// only rule, as NIST SP 800-63B advises.
const (
	MinLength = 12
	MaxLength = 200
)

// ErrLength is returned for a password that is too short or too long.
var ErrLength = fmt.Errorf("a password has %d to %d characters", MinLength, MaxLength)

// A cost is the parameters of argon2id: memory in KiB, passes and lanes.
type cost struct {
	memory, passes uint32
	lanes          uint8
}

// today is the cost of a new hash: the second recommendation of RFC 9106, 64 MiB
// and about a tenth of a second.
var today = cost{64 << 10, 3, 4}

const keySize = 32

func (c cost) String() string {
	return fmt.Sprintf("v=%d$m=%d,t=%d,p=%d", argon2.Version, c.memory, c.passes, c.lanes)
}

// work computes the hash. Every check calls it exactly once.
var work = func(password string, salt []byte, c cost, size uint32) []byte {
	return argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.lanes, size)
}

var b64 = base64.RawStdEncoding

// Hash returns a password's hash in PHC string format.
func Hash(password string) (string, error) {
	if n := utf8.RuneCountInString(password); n < MinLength || n > MaxLength {
		return "", ErrLength
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	return fmt.Sprintf("$argon2id$%s$%s$%s", today, b64.EncodeToString(salt), b64.EncodeToString(work(password, salt, today, keySize))), nil
}

var errHash = errors.New("this is no argon2id hash of ours")

// parsed splits a PHC string and refuses a cost that is out of bounds.
func parsed(hash string) (c cost, salt, key []byte, err error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return c, nil, nil, errHash
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.lanes); n != 3 || err != nil ||
		c.memory == 0 || c.memory > 1<<20 || c.passes == 0 || c.passes > 16 || c.lanes == 0 {
		return c, nil, nil, errHash
	}
	salt, err1 := b64.DecodeString(parts[4])
	key, err2 := b64.DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil || len(key) == 0 {
		return c, nil, nil, errHash
	}
	return c, salt, key, nil
}

// Check reports whether a password has this hash. For the empty hash, used for
// unknown users, it takes as long and returns false.
func Check(hash, password string) (bool, error) {
	if len(password) > 4*MaxLength {
		return false, errHash
	}
	if hash == "" {
		work(password, make([]byte, 16), today, keySize)
		return false, nil
	}
	c, salt, want, err := parsed(hash)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(work(password, salt, c, uint32(len(want))), want) == 1, nil
}

// Stale reports whether a hash was made with another cost than today's.
func Stale(hash string) bool {
	c, _, _, err := parsed(hash)
	return err == nil && c != today
}

// NewKey generates a key of about 260 random bits. The prefix says what it is for.
func NewKey(prefix string) string { return prefix + rand.Text() + rand.Text() }

// HashKey returns the hash that is stored instead of a key.
func HashKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}
