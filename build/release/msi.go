package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
)

// summaryID begins the one property set in the summary of an installer, in every one.
var summaryID = []byte{0xe0, 0x85, 0x9f, 0xf2, 0xf9, 0x4f, 0x68, 0x10, 0xab, 0x91, 0x08, 0x00, 0x2b, 0x27, 0xb3, 0xd9}

// The properties of the summary that differ whenever wixl runs.
const (
	packageCode = 9
	created     = 12
	saved       = 13
)

// settled gives an installer the moment of the release for that at which it was made, and
// a package code that depends on what is in it: no two different ones may have the same,
// says Windows, and wixl rolls dice.
func settled(path string) error {
	at, err := moment()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	where, err := summary(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, id := range []uint32{created, saved} {
		binary.LittleEndian.PutUint64(where[id], fileTime(at))
	}
	copy(where[packageCode], bytes.Repeat([]byte{'0'}, len(where[packageCode])))
	sum := sha256.Sum256(b)
	copy(where[packageCode], guid(sum[:]))
	return os.WriteFile(path, b, 0o644)
}

// guid is an identifier from chance, or from what is as good.
func guid(b []byte) string {
	third, fourth := binary.BigEndian.Uint16(b[6:])&0xfff|0x4000, binary.BigEndian.Uint16(b[8:])&0x3fff|0x8000
	return fmt.Sprintf("{%X-%X-%04X-%04X-%X}", b[0:4], b[4:6], third, fourth, b[10:16])
}

// fileTime is a moment as Windows counts: 100 ns since 1601.
func fileTime(t time.Time) uint64 { return uint64(t.Unix()+11644473600) * 10_000_000 }

// summary finds the values of the properties that differ. The set lies in one piece, as
// wixl writes it: what does not look so is an error.
func summary(b []byte) (map[uint32][]byte, error) {
	strange := errors.New("its summary is not as wixl writes it")
	at := bytes.Index(b, summaryID)
	if at < 28 || bytes.Contains(b[at+1:], summaryID) || len(b) < at+20 {
		return nil, strange
	}
	set := b[at-28:] // a header, whose last field this is
	word := func(offset uint32) uint32 {
		if int64(offset)+4 > int64(len(set)) {
			return 0
		}
		return binary.LittleEndian.Uint32(set[offset:])
	}
	section := word(44)
	found := map[uint32][]byte{}
	for i := range min(word(section+4), 100) {
		id, value := word(section+8+8*i), section+word(section+12+8*i)
		begin, size := value+4, uint32(8)
		switch kind := word(value); {
		case (id == created || id == saved) && kind == 64: // VT_FILETIME
		case id == packageCode && kind == 30: // VT_LPSTR: its length with a zero, and the text
			begin, size = value+8, 38
			if word(value+4) != 39 {
				return nil, strange
			}
		default:
			continue
		}
		if int64(begin+size) > int64(len(set)) {
			return nil, strange
		}
		found[id] = set[begin : begin+size]
	}
	if len(found) != 3 || found[packageCode][0] != '{' {
		return nil, strange
	}
	return found, nil
}
