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

// Costs of argon2id, OWASP's second choice: 19 MiB, two passes, one lane.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	keySize = 32
)

// Hash makes the PHC form of a password's hash.
func Hash(password string) (string, error) {
	if n := utf8.RuneCountInString(password); n < MinLength || n > MaxLength {
		return "", ErrLength
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, memory, passes, b64(salt),
		b64(argon2.IDKey([]byte(password), salt, passes, memory, 1, keySize))), nil
}

var errHash = errors.New("this is no argon2id hash of ours")

// Check reports whether a password has this hash. With the empty hash, of
// somebody who does not exist, it takes as long and says no.
func Check(hash, password string) (bool, error) {
	unknown := hash == ""
	if unknown {
		hash = nobody
	}
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > 4*MaxLength {
		return false, errHash
	}
	var m, t uint32
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=1", &m, &t); n != 2 || err != nil || m == 0 || m > 1<<20 || t == 0 || t > 16 {
		return false, errHash
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil || len(want) == 0 {
		return false, errHash
	}
	got := argon2.IDKey([]byte(password), salt, t, m, 1, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && !unknown, nil
}

// nobody is the hash that is computed for people who do not exist.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// NewKey makes a key with a prefix that says what it is for: about 260 bits of
// chance.
func NewKey(prefix string) string { return prefix + rand.Text() + rand.Text() }

// HashKey is what is kept of a key.
func HashKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}
