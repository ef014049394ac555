// Package chain links the entries of the audit log by hashes: each covers the entry
// before, so that a change, a gap or a missing end shows. It knows no database.
package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Sum returns the hash of an entry's fields that follow another entry's hash.
func Sum(previous []byte, fields ...any) []byte {
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err) // numbers and strings always encode
	}
	sum := sha256.Sum256(append(previous[:len(previous):len(previous)], b...))
	return sum[:]
}

// A Head is a place in the chain: the number and hash of an entry, which covers all
// entries before it. Kept elsewhere, it reveals that the end of the log was cut off
// or that all of it was rewritten.
type Head struct {
	N    int64  `db:"n"`
	Hash []byte `db:"hash"`
}

// String returns the head as N:HASH.
func (h Head) String() string {
	return strconv.FormatInt(h.N, 10) + ":" + hex.EncodeToString(h.Hash)
}

// ParseHead parses N:HASH.
func ParseHead(text string) (h Head, err error) {
	n, hash, _ := strings.Cut(text, ":")
	if h.N, err = strconv.ParseInt(n, 10, 64); err == nil {
		h.Hash, err = hex.DecodeString(hash)
	}
	if err != nil || h.N < 0 || len(h.Hash) != sha256.Size && (h.N > 0 || len(h.Hash) > 0) {
		return Head{}, fmt.Errorf("%.100q is no head of the audit log: it is written as N:HASH, 64 hexadecimal digits", text)
	}
	return h, nil
}

// A Broken is the error that entries were changed, removed or inserted.
type Broken struct {
	N   int64 // the first bad or missing entry
	Why string
}

func (e *Broken) Error() string {
	return fmt.Sprintf("the audit log is broken at entry %d: %s", e.N, e.Why)
}

// A Walk checks entries one after the other, in the order of their numbers.
type Walk struct {
	// Head is the end of what was checked.
	Head Head

	from  Head
	known []Head
	found bool // the entry to begin from
}

// NewWalk begins at a known good head, or at the beginning with the zero head. All of
// known must be in the chain.
func NewWalk(from Head, known ...Head) *Walk {
	w := &Walk{Head: from, from: from, known: known}
	if from.N > 0 {
		w.known = append(known[:len(known):len(known)], from)
	}
	return w
}

// Next takes an entry: its number, the hash it has, and the hash that its text would
// have after a previous one. It returns a [Broken] if the entry does not fit.
func (w *Walk) Next(n int64, hash []byte, sum func(previous []byte) []byte) error {
	for _, k := range w.known {
		if k.N == n && !bytes.Equal(k.Hash, hash) {
			return &Broken{N: n, Why: "it is not what it was when its hash was written down"}
		}
	}
	switch {
	case w.from.N > 0 && n == w.from.N:
		w.found = true
		return nil
	case w.from.N > 0 && !w.found:
		return &Broken{N: w.from.N, Why: "it is missing"}
	case n != w.Head.N+1:
		return &Broken{N: w.Head.N + 1, Why: "it is missing"}
	case !bytes.Equal(sum(w.Head.Hash), hash):
		return &Broken{N: n, Why: "its text and its hash do not fit together, or it does not follow from the one before"}
	}
	w.Head = Head{N: n, Hash: hash}
	return nil
}

// End is called after the last entry. It returns a [Broken] if a known entry did not
// come.
func (w *Walk) End() error {
	if w.from.N > 0 && !w.found {
		w.Head = Head{N: w.from.N - 1}
	}
	for _, k := range w.known {
		if k.N > w.Head.N {
			return &Broken{N: w.Head.N + 1, Why: fmt.Sprintf("it is missing, with all up to entry %d: the end was cut off", k.N)}
		}
	}
	return nil
}
