package uplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/store/uplinks"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Why a session is ended by us.
var (
	errChanged = errors.New("the settings are others")
	errAgain   = errors.New("everything is said again")
)

// Run speaks with the user's broker until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	s.begin()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { s.keep(ctx); return nil })
	g.Go(func() error { s.watch(ctx); return nil })
	g.Go(func() error { s.clearing(ctx); return nil })
	return g.Wait()
}

// stir has Run look at the settings now.
func (s *Service) stir() {
	s.begin()
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// watch looks whether another process changed the settings, such as the command line, and
// whether people are to be told how long the broker has been out of reach.
func (s *Service) watch(ctx context.Context) {
	look := time.NewTicker(s.timing.Look)
	defer look.Stop()
	version, told := int64(-1), false
	for {
		if n, err := s.Store.UplinkVersion(ctx); err == nil && n != version {
			if version >= 0 {
				s.stir()
			}
			version = n
		}
		s.mu.Lock()
		byConsumer := s.isSet && s.set.URL != "" && s.set.heard() == ByConsumer
		s.mu.Unlock()
		if byConsumer { // which consumer is Home Assistant is said elsewhere
			if err := s.open(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("looking which consumer is Home Assistant failed", "err", err)
			}
		}
		if away := s.away(); away != told {
			told = away
			s.tell()
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func (s *Service) tell() {
	if s.Changed != nil {
		s.Changed()
	}
}

// Open has the outbox keep what is said at the user's broker, if there is one, before Run
// begins. An error is also that the command line names what cannot be used.
func (s *Service) Open(ctx context.Context) error {
	s.begin()
	set, err := s.Settings(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.set, s.isSet = set, true
	s.mu.Unlock()
	return s.open(ctx)
}

// open has the outbox know how the user's broker is spoken to, if that is another than before.
func (s *Service) open(ctx context.Context) error {
	d, on := s.Dialect(ctx)
	if s.Source == nil || !on {
		return nil
	}
	is := d.Root
	if d.Command != nil {
		is = d.Root + " " + d.Command("host", topics.ActionBackup)
	}
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.opened == is {
		return nil
	}
	if err := s.Source.Open(ctx, d); err != nil {
		return err
	}
	s.opened = is
	return nil
}

// shut has the outbox keep nothing for the user's broker any more.
func (s *Service) shut(ctx context.Context) error {
	s.opening.Lock()
	defer s.opening.Unlock()
	s.opened = ""
	if s.Source == nil {
		return nil
	}
	return s.Source.Shut(ctx, outbox.Uplink)
}

// keep has one session after the other, as long as there is a broker.
func (s *Service) keep(ctx context.Context) {
	attempts, said := 0, ""
	for ctx.Err() == nil {
		set, err := s.enter(ctx)
		if err == nil && set.URL == "" {
			attempts, said = 0, ""
			select {
			case <-ctx.Done():
			case <-s.again:
			}
			continue
		}
		if known := (*trouble)(nil); err != nil && !errors.As(err, &known) {
			err = &trouble{"What is known of the broker cannot be read or written: " + words.Line(err.Error()) + ".",
				"Look at this server's own disk and database.", err}
		}
		began := s.moment()
		if err == nil {
			err = s.session(ctx, set)
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errChanged) || errors.Is(err, errAgain) {
			attempts, said = 0, ""
			continue
		}
		if s.moment().Sub(began) > s.timing.BackoffCap {
			attempts = 0 // it had been good for a while
		}
		wait := rand.N(min(s.timing.Backoff<<min(attempts, 10), s.timing.BackoffCap) + 1)
		attempts++
		a, _, _ := addressOf(set.URL)
		t := wordsOf(err, a)
		s.down(set, t)
		if t.say != said {
			said = t.say
			s.Log.Warn("not connected with the uplink", "broker", set.URL, "err", t.say, "why", t.err, "again_in", wait.Round(time.Second))
		}
		select {
		case <-ctx.Done():
		case <-s.again:
			attempts = 0
		case <-time.After(wait):
		}
	}
}

// enter reads the settings, and writes down which broker is the present one.
func (s *Service) enter(ctx context.Context) (Settings, error) {
	set, err := s.Settings(ctx)
	s.mu.Lock()
	if err == nil {
		s.set, s.isSet = set, true
	}
	s.mu.Unlock()
	if err != nil {
		return set, &trouble{err.Error(), "Correct it; it is tried again.", err}
	}
	if set.URL == "" {
		if err := s.Store.LeaveUplinkPlaces(ctx); err != nil {
			return set, err
		}
		if err := s.shut(ctx); err != nil {
			return set, err
		}
		s.mu.Lock()
		s.now = Status{Commands: Off, Published: s.now.Published, Received: s.now.Received, Refused: s.now.Refused, Connects: s.now.Connects}
		s.known = nil
		s.mu.Unlock()
	}
	if !s.begun || s.entered != set.URL {
		s.begun, s.entered = true, set.URL
		if set.URL != "" {
			a, _, _ := addressOf(set.URL)
			if _, err := s.Store.EnterUplinkPlace(ctx, uplinks.Place{Address: a.key(), Access: set.access}); err != nil {
				return set, err
			}
		}
		// What was left is cleared before anything is said: it may be the same broker under
		// another name, and what is said now would be cleared with it.
		s.clearNow(ctx)
	}
	s.look(ctx)
	if set.URL == "" {
		s.tell()
		return set, nil
	}
	if err := s.open(ctx); err != nil {
		return set, err
	}
	s.mu.Lock()
	if s.now.URL != set.URL || !s.now.On {
		s.now.Since, s.now.Error, s.now.Remedy = s.moment().UnixMilli(), "", ""
	}
	s.now.On, s.now.URL, s.now.Root, s.now.Commands = true, set.URL, set.Root, set.heard()
	s.mu.Unlock()
	return set, nil
}

// heard is whose commands are heard: none of consumers while no test has shown that they
// cannot write for one another.
func (set Settings) heard() Commands {
	if set.Commands == ByConsumer && !set.Tested {
		return Off
	}
	return set.Commands
}

// down notes that there is no connection.
func (s *Service) down(set Settings, t *trouble) {
	s.mu.Lock()
	was := s.now.Connected
	if was || s.now.Since == 0 {
		s.now.Since = s.moment().UnixMilli()
	}
	s.now.On, s.now.URL, s.now.Connected, s.now.Heard, s.now.Warnings = true, set.URL, false, false, nil
	differs := s.now.Error != t.say
	s.now.Error, s.now.Remedy = t.say, t.remedy
	s.mu.Unlock()
	if was || differs {
		s.tell()
	}
}

// away reports whether the broker has been out of reach for so long that people are told.
func (s *Service) away() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.On && !s.now.Connected && s.now.Since != 0 && s.moment().Sub(time.UnixMilli(s.now.Since)) >= s.timing.Away
}

// look reads which brokers were left and are still to be cleared.
func (s *Service) look(ctx context.Context) {
	places, err := s.Store.UplinkPlaces(ctx)
	if err != nil {
		return
	}
	leaving := []Leaving{}
	for _, p := range places {
		if p.LeftAt != 0 {
			leaving = append(leaving, Leaving{ID: p.ID, URL: p.URL, Topics: p.Topics, Since: p.LeftAt, TriedAt: p.TriedAt, Error: p.Said})
		}
	}
	s.mu.Lock()
	s.now.Leaving = leaving
	s.mu.Unlock()
}

// place is the present broker's row.
func (s *Service) place(ctx context.Context, set Settings) (uplinks.Place, error) {
	a, _, wrong := addressOf(set.URL)
	if wrong != "" {
		return uplinks.Place{}, fmt.Errorf("%s: %s", set.URL, wrong)
	}
	return s.Store.EnterUplinkPlace(ctx, uplinks.Place{Address: a.key(), Access: set.access})
}
