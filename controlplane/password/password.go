// Package password keeps what people and programs prove themselves with:
// argon2id for passwords that people choose, plain SHA-256 for keys we made
// ourselves with more chance than anybody can try.
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

// MinLength and MaxLength bound a password, in characters; length is the only
// rule, as NIST SP 800-63B advises.
const (
	MinLength = 12
	MaxLength = 200
)

// ErrLength says that a password is too short or too long.
var ErrLength = fmt.Errorf("a password has %d to %d characters", MinLength, MaxLength)

// A cost is argon2id's: memory in KiB, passes and lanes.
type cost struct {
	memory, passes uint32
	lanes          uint8
}

// today is what a new hash costs: the second recommendation of RFC 9106, 64 MiB
// and about a tenth of a second.
var today = cost{64 << 10, 3, 4}

const keySize = 32

func (c cost) String() string {
	return fmt.Sprintf("v=%d$m=%d,t=%d,p=%d", argon2.Version, c.memory, c.passes, c.lanes)
}

// work is all a hash costs. Whatever is checked goes through here, once.
var work = func(password string, salt []byte, c cost, size uint32) []byte {
	return argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.lanes, size)
}

var b64 = base64.RawStdEncoding

// Hash makes the PHC form of a password's hash.
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

// parsed takes a hash apart. It bounds what one may cost.
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

// Check reports whether a password has this hash. With the empty hash, of
// somebody who does not exist, it takes as long and says no.
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

// Stale reports whether a hash costs something else than a new one would.
func Stale(hash string) bool {
	c, _, _, err := parsed(hash)
	return err == nil && c != today
}

// NewKey makes a key with a prefix that says what it is for: about 260 bits of
// chance.
func NewKey(prefix string) string { return prefix + rand.Text() + rand.Text() }

// HashKey is what is kept of a key.
func HashKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}
