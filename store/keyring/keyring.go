package keyring

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
)

// An ID names a data key. It stands before everything sealed with it.
type ID [8]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads what String wrote.
func ParseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || copy(id[:], b) != len(id) || len(b) != len(id) {
		return id, fmt.Errorf("%w: %.40q is no data key's name", ErrKey, s)
	}
	return id, nil
}

// form is the first byte of what is sealed; then come the data key's name, the
// nonce and the ciphertext.
const form = 1

// SealedBy names the data key that something was sealed with.
func SealedBy(sealed []byte) (id ID, ok bool) {
	if len(sealed) <= 1+len(id) || sealed[0] != form {
		return id, false
	}
	copy(id[:], sealed[1:])
	return id, true
}

// Place says where a secret belongs.
func Place(table, row, column string) []byte {
	return []byte(table + "\x00" + row + "\x00" + column)
}

func wrapPlace(id string) []byte { return Place("data_keys", id, "wrapped") }

// NewKey makes a data key, sealed with the master key.
func (m Master) NewKey() (id ID, wrapped []byte, err error) {
	plain := make([]byte, 32)
	for _, b := range [][]byte{id[:], plain} {
		if _, err := rand.Read(b); err != nil {
			return id, nil, err
		}
	}
	wrapped = m.aead.Seal(nil, nil, plain, wrapPlace(id.String()))
	clear(plain)
	return id, wrapped, nil
}

// Rewrap seals a data key that this master key opens with the next one, too.
func (m Master) Rewrap(next Master, id string, wrapped []byte) ([]byte, error) {
	plain, err := m.aead.Open(nil, nil, wrapped, wrapPlace(id))
	if err != nil {
		return nil, fmt.Errorf("%w: the data key %s cannot be opened", ErrKey, id)
	}
	defer clear(plain)
	return next.aead.Seal(nil, nil, plain, wrapPlace(id)), nil
}

// OpenOld opens a secret of a database from before there were data keys, which was
// sealed with the master key itself.
func (m Master) OpenOld(where, sealed []byte) ([]byte, error) {
	plain, err := m.aead.Open(nil, nil, sealed, where)
	if err != nil {
		return nil, damaged(where)
	}
	return plain, nil
}

func damaged(where []byte) error {
	return fmt.Errorf("%w: a secret of %s cannot be read", ErrKey, strings.ReplaceAll(string(where), "\x00", "/"))
}

// A Ring is the master key and the data keys it has opened so far. It is safe for
// concurrent use.
type Ring struct {
	Master Master
	mu     sync.Mutex
	data   map[ID]cipher.AEAD
}

// NewRing returns a ring that has opened no data key yet.
func NewRing(m Master) *Ring { return &Ring{Master: m, data: map[ID]cipher.AEAD{}} }

// A Key is a data key that was opened.
type Key struct {
	id   ID
	aead cipher.AEAD
}

// Key is the data key of a name. Load reads it as it is sealed with the master
// key, and is called if the ring has not opened it yet.
func (r *Ring) Key(id ID, load func() (wrapped []byte, err error)) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if aead := r.data[id]; aead != nil {
		return Key{id, aead}, nil
	}
	wrapped, err := load()
	if err != nil {
		return Key{}, err
	}
	plain, err := r.Master.aead.Open(nil, nil, wrapped, wrapPlace(id.String()))
	if err != nil {
		return Key{}, fmt.Errorf("%w: %s does not open the data key %s", ErrKey, r.Master.From, id)
	}
	aead, err := newAEAD(plain)
	clear(plain)
	if err == nil {
		r.data[id] = aead
	}
	return Key{id, aead}, err
}

// Seal seals a secret for its place.
func (k Key) Seal(where, plain []byte) []byte {
	return k.aead.Seal(append([]byte{form}, k.id[:]...), nil, plain, where)
}

// Open opens what this key sealed for a place.
func (k Key) Open(where, sealed []byte) ([]byte, error) {
	id, ok := SealedBy(sealed)
	if !ok || id != k.id {
		return nil, damaged(where)
	}
	plain, err := k.aead.Open(nil, nil, sealed[1+len(id):], where)
	if err != nil {
		return nil, damaged(where)
	}
	return plain, nil
}

// Damaged is the error for something that is not sealed with any data key.
func Damaged(where []byte) error { return damaged(where) }
