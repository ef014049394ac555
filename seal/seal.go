// Package seal encrypts payloads between an agent and the control plane, so that the
// broker in between can neither read nor change them. Each side holds an X25519 key
// and knows the other's public key.
//
// From the shared secret HKDF-SHA256 derives one AES-256-GCM key per direction
// and one MAC key per direction. Nonces are random: counted ones would repeat when a
// batch is built again after a lost receipt. The topic and the host are associated
// data, so a payload opens only under the topic it was sealed for. Replays are not
// detected here; numbers inside the payload do that.
//
// It imports only the standard library.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// version is the first byte of every sealed payload.
const version = 1

// Overhead is how many bytes sealing adds: version, nonce and tag.
const Overhead = 1 + 12 + 16

// ErrOpen says that a payload was not sealed by the other party for this topic.
var ErrOpen = errors.New("payload is not from the other party, or not for this topic")

// A Key is one party's X25519 key.
type Key struct{ private *ecdh.PrivateKey }

// NewKey makes a key.
func NewKey() (Key, error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	return Key{k}, err
}

// ParseKey reads what Bytes wrote.
func ParseKey(b []byte) (Key, error) {
	k, err := ecdh.X25519().NewPrivateKey(b)
	return Key{k}, err
}

// Bytes is the private key, 32 bytes: a secret.
func (k Key) Bytes() []byte { return k.private.Bytes() }

// Public is the half the other party is given, 32 bytes.
func (k Key) Public() []byte { return k.private.PublicKey().Bytes() }

// String hides the key from fmt.
func (Key) String() string { return "[redacted]" }

// A Side is one end of the conversation.
type Side string

// The two sides; each has its own keys for what it writes.
const (
	Agent Side = "agent"
	Plane Side = "plane"
)

func (s Side) other() Side {
	if s == Agent {
		return Plane
	}
	return Agent
}

// A Channel seals what one side writes and opens what the other wrote. It is
// immutable and safe for concurrent use.
type Channel struct {
	host        string
	seal, open  cipher.AEAD
	sign, check []byte
}

// NewChannel derives the channel between an agent and the control plane. Host
// is the agent's ID on both sides.
func NewChannel(own Key, peer []byte, side Side, host string) (*Channel, error) {
	pub, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, fmt.Errorf("the other party's public key: %w", err)
	}
	secret, err := own.private.ECDH(pub)
	if err != nil {
		return nil, fmt.Errorf("agree on a secret: %w", err)
	}
	c := &Channel{host: host}
	if c.seal, c.sign, err = derive(secret, side, host); err != nil {
		return nil, err
	}
	if c.open, c.check, err = derive(secret, side.other(), host); err != nil {
		return nil, err
	}
	return c, nil
}

func derive(secret []byte, writer Side, host string) (cipher.AEAD, []byte, error) {
	key := func(use string) ([]byte, error) {
		return hkdf.Key(sha256.New, secret, nil, "restic-manager/1 "+use+" "+string(writer)+" "+host, 32)
	}
	k, err := key("seal")
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, nil, err
	}
	mac, err := key("mac")
	return aead, mac, err
}

// Seal encrypts a payload for one topic.
func (c *Channel) Seal(topic string, plain []byte) []byte {
	out := make([]byte, 1, len(plain)+Overhead)
	out[0] = version
	return c.seal.Seal(out, nil, plain, c.context(topic))
}

// Open returns what the other party sealed for this topic, or ErrOpen.
func (c *Channel) Open(topic string, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, ErrOpen
	}
	plain, err := c.open.Open(nil, nil, sealed[1:], c.context(topic))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// A Nonce is unique to each sealed payload.
type Nonce [12]byte

// NonceOf returns the nonce of a payload that Open has accepted.
func NonceOf(sealed []byte) Nonce { return Nonce(sealed[1:]) }

func (c *Channel) context(topic string) []byte { return []byte(c.host + "\x00" + topic) }

// Sign returns the MAC of a payload that has to stay readable.
func (c *Channel) Sign(topic string, payload []byte) []byte {
	return mac(c.sign, c.context(topic), payload)
}

// Verify reports whether the other party signed this payload for this topic.
func (c *Channel) Verify(topic string, payload, sum []byte) bool {
	return hmac.Equal(mac(c.check, c.context(topic), payload), sum)
}

func mac(key, context, payload []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(context)
	h.Write([]byte{0})
	h.Write(payload)
	return h.Sum(nil)
}
