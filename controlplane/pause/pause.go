// Package pause pauses all schedules of a host for a while, and has them go on. A pause
// always has an end, and ends there by itself, at the agent too; what runs goes on, and
// what a person asks for begins.
package pause

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/pauses"
	"github.com/restic-manager/restic-manager/topics"
)

// How long a pause is: unless something else is asked for, and at most.
const (
	Usual = 24 * time.Hour
	Most  = 7 * 24 * time.Hour
)

// ErrRetired is the error that the host is out of use: there is nothing to pause.
var ErrRetired = errors.New("the host is retired")

// Service pauses and resumes, for pages, API, command line and consumers. Each method is
// one transaction with its audit entry in it.
type Service struct {
	Store   *store.Store
	Now     func() time.Time             // nil is time.Now
	Changed func(hosts ...topics.HostID) // called after each change, may be nil; must not block
}

// Pause pauses a host's schedules until a moment, the zero time for the usual length. One
// that goes on has this end then. It returns [field.Errors] for a moment that is past or too
// far away, hosts.ErrNotFound and ErrRetired.
func (s *Service) Pause(ctx context.Context, by string, host topics.HostID, until time.Time) (pauses.Pause, error) {
	now := s.now()
	if until.IsZero() {
		until = now.Add(Usual)
	}
	wrong := field.Errors{}
	wrong.Say("until", Wrong(now, until))
	if err := wrong.Err(); err != nil {
		return pauses.Pause{}, err
	}
	p, err := s.Store.PauseHost(ctx, by, host, now.UnixMilli(), until.UnixMilli())
	return p, s.done(host, err)
}

// Resume ends a host's pause, and reports whether there was one. That there is none is no
// error: whoever asks wants the schedules to go on, and they do.
func (s *Service) Resume(ctx context.Context, by string, host topics.HostID) (was pauses.Pause, ended bool, err error) {
	was, ended, err = s.Store.ResumeHost(ctx, by, host, s.now().UnixMilli())
	return was, ended, s.done(host, err)
}

// Wrong says what is wrong with the end of a pause, "" if nothing is.
func Wrong(now, until time.Time) string {
	switch {
	case !until.After(now):
		return "A pause ends in the future."
	case until.Sub(now) > Most:
		return fmt.Sprintf("A pause ends within %d days; pause again when it is over, or disable the schedules.", int(Most.Hours()/24))
	}
	return ""
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Service) done(host topics.HostID, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", hosts.ErrNotFound, err)
	case errors.Is(err, store.ErrRetired):
		return fmt.Errorf("%w: %w", ErrRetired, err)
	case err == nil && s.Changed != nil:
		s.Changed(host)
	}
	return err
}
