package topics

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A HostKey is a key that an SSH server showed and that its host did not know.
type HostKey struct {
	Name        string `json:"name"`        // of the server as known_hosts writes it: nas, or [nas]:2222
	Type        string `json:"type"`        // ssh-ed25519 and the like
	Fingerprint string `json:"fingerprint"` // SHA256:, and 43 letters
	// Known says where another key of this server is known: a file and its line. "" is that
	// none is.
	Known string `json:"known,omitempty"`
}

// MaxHostKeys is how many keys one ending or answer may name.
const MaxHostKeys = 8

// What a host's policy lets its control plane do with the keys of SSH servers, see [Permits].
const (
	HostKeysNone = "none" // accept none
	HostKeysNew  = "new"  // accept one of a server of which none is known
	HostKeysAny  = "any"  // accept another in the place of one that is known, too
)

var (
	hostKeyName = regexp.MustCompile(`^(\[[0-9A-Za-z._:%-]{1,253}\]:[0-9]{1,5}|[0-9A-Za-z._:%-]{1,253})$`)
	hostKeyType = regexp.MustCompile(`^[0-9a-z@.-]{1,64}$`)
)

// CheckHostKey returns an error for a name and a fingerprint that no server's key can have.
func CheckHostKey(name, fingerprint string) error {
	sum, sha := strings.CutPrefix(fingerprint, "SHA256:")
	if hash, err := base64.RawStdEncoding.DecodeString(sum); !sha || err != nil || len(hash) != 32 {
		return fmt.Errorf("%.80q is no fingerprint: SHA256: and 43 letters, as ssh-keygen -l shows it", fingerprint)
	}
	if !hostKeyName.MatchString(name) {
		return fmt.Errorf("%.80q is no name of a server as known_hosts writes it: nas, or [nas]:2222", name)
	}
	return nil
}

func (k HostKey) check() error {
	if err := CheckHostKey(k.Name, k.Fingerprint); err != nil {
		return err
	}
	if !hostKeyType.MatchString(k.Type) || len(k.Known) > 4200 {
		return errors.New("that is no key of a server")
	}
	return nil
}

func checkHostKeys(keys []HostKey) error {
	if len(keys) > MaxHostKeys {
		return fmt.Errorf("host keys: at most %d", MaxHostKeys)
	}
	for _, k := range keys {
		if err := k.check(); err != nil {
			return err
		}
	}
	return nil
}
