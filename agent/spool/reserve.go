package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/protocol"
)

const (
	reserveName = "journal.reserve"
	// Reserve is how many bytes are kept on the journal's disk for the ends of what runs.
	Reserve = 1 << 20
)

// ErrFull says that there is no space left on the journal's disk: nothing is begun
// until there is. What was begun is written to the end, from a reserve.
var ErrFull = errors.New("there is no space left on the disk of the agent's state directory")

// A reserve is a file beside the journal whose place the journal takes when the disk is
// full.
type reserve struct {
	dir string

	mu    sync.Mutex
	there bool
}

func (r *reserve) path() string { return filepath.Join(r.dir, reserveName) }

// fill puts the reserve in its place. Without it, or with less than as much again beside
// it, the disk is full.
func (r *reserve) fill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, _, err := process.Space(r.dir)
	if err == nil && free < Reserve {
		return fmt.Errorf("%w, %s: %d KiB are free", ErrFull, r.dir, free>>10)
	}
	if r.there {
		return nil
	}
	if info, err := os.Lstat(r.path()); err == nil && info.Mode().IsRegular() && info.Size() == Reserve {
		r.there = true
		return nil
	}
	random := make([]byte, Reserve) // what can be compressed keeps no place
	_, _ = rand.Read(random)        // never fails
	if err := os.WriteFile(r.path(), random, 0o600); err != nil {
		_ = os.Remove(r.path()) // half of one
		if process.FullDisk(err) {
			return fmt.Errorf("%w, %s: %w", ErrFull, r.dir, err)
		}
		return fmt.Errorf("keep a reserve for the journal: %w", err)
	}
	r.there = true
	return nil
}

// spend gives the reserve up, and reports whether there was one.
func (r *reserve) spend() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.there = false
	return os.Remove(r.path()) == nil
}

// spares reports whether an input may be written from the reserve: what says how things
// that were begun went on. Nothing new is begun from it.
func spares(in protocol.AgentInput) bool {
	switch in := in.(type) {
	case protocol.Commanded:
		return in.Command.Cancel
	case protocol.Printed:
		return len(in.Lines) == 0
	case protocol.Configured, protocol.Fired:
		return false
	}
	return true
}

// Room reports whether there is room for anything new to be written down. The error says
// why not. It tries to write if asked to.
func (s *Spool) Room(try bool) error {
	if !try {
		return s.reserve.fill()
	}
	return s.update(false, func(t *transaction) error { return t.meta.Put(roomKey, number(uint64(s.now().UnixMilli()))) })
}
