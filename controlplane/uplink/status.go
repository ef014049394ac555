package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/uplinks"
	"github.com/restic-manager/restic-manager/topics"
)

// A Status is how the connection with the user's broker is doing. It answers from memory.
type Status struct {
	On        bool     // there is a broker to speak with
	URL       string   // of it
	Root      string   // of our topics there
	Commands  Commands // that are heard now: off while a test is missing
	Connected bool
	Since     int64  // since when it is connected, or is not; Unix milliseconds, 0 is not known
	Error     string // why it is not connected, in a sentence; "" while it is
	Remedy    string // what to do about it
	Behind    bool   // not everything was said since the connection began
	// Heard reports that our own availability came back over this connection, so that the
	// broker really passes on what it takes.
	Heard bool
	// Warnings are what is not as it should be although it is connected, each with what to do.
	Warnings  []string
	Topics    int    // retained there, as far as they were confirmed or may be
	Published uint64 // messages since the start
	Received  uint64 // commands since the start
	Refused   uint64 // commands that were not carried out
	Connects  uint64 // connections since the start
	Leaving   []Leaving
}

// Leaving is a broker that was left and at which something of ours may still be retained.
type Leaving struct {
	ID      string
	URL     string
	Topics  int
	Since   int64  // Unix milliseconds
	TriedAt int64  // the last try; 0 is never
	Error   string // why that failed
}

// Status says how the connection is doing.
func (s *Service) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.now
	st.Warnings, st.Leaving = slices.Clone(st.Warnings), slices.Clone(st.Leaving)
	return st
}

// GiveUp leaves alone what is retained at a broker that was left: somebody says that it is gone
// for good.
func (s *Service) GiveUp(ctx context.Context, actor, id string) error {
	if err := s.Store.ForgetUplinkPlace(ctx, actor, id); errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", uplinks.ErrNoPlace, err)
	} else if err != nil {
		return err
	}
	s.look(ctx)
	return nil
}

// A Step is one thing that a test looked at.
type Step struct {
	Name   string // connect, write, retain, size, discovery, commands, will, consumers
	OK     bool
	Warn   bool // it works without, but not all of it
	Text   string
	Remedy string // "" if it is well
}

// A TestResult is what a test found. OK is that everything that is needed works.
type TestResult struct {
	OK     bool
	Steps  []Step
	Proven bool // one consumer cannot write another's topic there
}

// An Account is a second one at the user's broker, of a consumer, that a test acts as.
type Account struct {
	User     string
	Password topics.Secret
}
