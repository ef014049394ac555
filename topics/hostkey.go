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

// An SSHQuery is what is asked of an agent about how it reaches servers by SFTP, at most one
// of the two; nothing is a look.
type SSHQuery struct {
	MakeKey bool       `json:"make_key,omitempty"` // make a key pair if there is none
	Accept  *AcceptKey `json:"accept,omitempty"`
}

// AcceptKey names a key that a server has shown the host, which is to be trusted. The host
// takes no other, whoever names it.
type AcceptKey struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Changed     bool   `json:"changed,omitempty"` // in the place of another that is known
}

// SSHState is what an agent has for servers that are reached by SFTP.
type SSHState struct {
	PublicKey string        `json:"public_key,omitempty"` // one line of authorized_keys, "" if there is none
	Keys      []KnownServer `json:"keys,omitempty"`
	Accepts   string        `json:"accepts"` // which the host's policy lets its control plane accept: none, new or any
}

// A KnownServer is a key of a server, accepted or only shown.
type KnownServer struct {
	HostKey
	Accepted bool  `json:"accepted,omitempty"`
	Changed  bool  `json:"changed,omitempty"` // shown in the place of another that is known
	At       int64 `json:"at,omitempty"`      // when it was shown last, Unix milliseconds
}

// MaxKnownServers is how many keys a [SSHState] names.
const MaxKnownServers = 128

func (q *SSHQuery) check() error {
	if q == nil || q.Accept == nil {
		return nil
	}
	if q.MakeKey {
		return errors.New("either a key is made, or one accepted")
	}
	return CheckHostKey(q.Accept.Name, q.Accept.Fingerprint)
}

func (s *SSHState) check() error {
	if s == nil {
		return nil
	}
	if len(s.Keys) > MaxKnownServers || len(s.PublicKey) > 2000 {
		return errors.New("ssh: too many keys, or too long a one")
	}
	for _, k := range s.Keys {
		if err := k.check(); err != nil {
			return err
		}
	}
	return nil
}

// What a host's policy lets its control plane do with the keys of SSH servers.
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
