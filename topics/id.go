package topics

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"
)

// IDs are what stands for a thing in topics, tables and URLs; names are for
// people and may change. Every one matches [a-z0-9-]{8,40}.
type (
	HostID        string
	JobID         string
	RepositoryID  string
	SourceGroupID string
	ScheduleID    string
	AlertID       string
)

// lower is base32hex in lower case: its order is the order of the bytes, so
// IDs sort by the time they were made.
var lower = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// NewID returns a new ID: 48 bits of milliseconds, then 80 bits of chance.
func NewID(now time.Time) string { return newID(now, rand.Reader) }

func newID(now time.Time, chance io.Reader) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	if _, err := io.ReadFull(chance, b[6:]); err != nil {
		panic("no randomness to be had: " + err.Error()) // crypto/rand never fails; a seeded source may run dry
	}
	return lower.EncodeToString(b[:])
}

// MadeAt returns when [NewID] made an ID, false for a text that it did not make.
func MadeAt(id string) (time.Time, bool) {
	b, err := lower.DecodeString(id)
	if err != nil || len(b) != 16 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:8]) >> 16)), true
}

// ParseHostID refuses what is not an ID.
func ParseHostID(s string) (HostID, error) { return parseID[HostID]("host", s) }

// ParseJobID refuses what is not an ID.
func ParseJobID(s string) (JobID, error) { return parseID[JobID]("job", s) }

func parseID[T ~string](what, s string) (T, error) {
	if !validID(s) {
		return "", fmt.Errorf("%.60q is no %s ID: 8 to 40 of a-z, 0-9 and -", s, what)
	}
	return T(s), nil
}

func validID(s string) bool {
	return len(s) >= 8 && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
