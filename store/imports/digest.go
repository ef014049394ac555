package imports

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A ChangedError says how the snapshots differ from those that were shown. It is ErrChanged.
type ChangedError struct{ More, Fewer int }

// Error implements error.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("%v: %d more, %d fewer", ErrChanged, e.More, e.Fewer)
}

// Unwrap returns ErrChanged.
func (e *ChangedError) Unwrap() error { return ErrChanged }

// A Part is snapshots that are shown, with what is said of them.
type Part struct {
	Said string
	List []Foreign
}

// Digest stands for what was shown at a moment: other snapshots, or other words, have another
// one. Moments are Unix milliseconds. It also tells how many there were and when, so that
// Compare can say what has changed.
func Digest(at int64, parts ...Part) string {
	n, h := 0, sha256.New()
	put := func(text string) { // a hash takes everything
		_, _ = io.WriteString(h, strconv.Itoa(len(text))+":"+text)
	}
	for _, p := range parts {
		n += len(p.List)
		put(p.Said)
		put(strconv.Itoa(len(p.List)))
		for _, f := range p.List {
			put(f.ID)
		}
	}
	return fmt.Sprintf("%d.%s.%s", n, strconv.FormatInt(at, 36), hex.EncodeToString(h.Sum(nil)[:12]))
}

// Compare returns a *ChangedError if a digest is not of these.
func Compare(digest string, parts ...Part) error {
	count, rest, _ := strings.Cut(digest, ".")
	moment, _, _ := strings.Cut(rest, ".")
	at, err := strconv.ParseInt(moment, 36, 64)
	if err == nil && Digest(at, parts...) == digest {
		return nil
	}
	var e ChangedError
	was, now := 0, 0
	if n, err := strconv.Atoi(count); err == nil && n >= 0 {
		was = n
	}
	for _, p := range parts {
		now += len(p.List)
		for _, f := range p.List {
			if f.seen > at {
				e.More++
			}
		}
	}
	e.More = max(e.More, now-was) // also those that somebody has given back
	e.Fewer = was + e.More - now
	return &e
}

// Part is what is shown of a kin.
func (k Kin) Part() Part { return Part{k.Key, k.List} }

// Compare returns a *ChangedError if other snapshots of a kin were shown to whoever chose.
func (c Choice) Compare(k Kin) error {
	if c.Seen == "" {
		return nil
	}
	k.Key = c.Kin
	return Compare(c.Seen, k.Part())
}
