// Package discovery tells Home Assistant, by MQTT, which hosts and repositories there are:
// one device for each of them, and one for all together, with entities that read the topics
// of package public.
//
// What a broker is told is retained, and so is what was told: the tables of package
// discoveries say what has to be taken back when a host goes, or when people switch it off.
package discovery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/discoveries"
)

// Timing holds the durations of this package.
type Timing struct {
	Look   time.Duration // between two looks for changes that were not announced
	Soon   time.Duration // between two looks at least
	Settle time.Duration // how long a component that went is named with its platform alone
	Again  time.Duration // within which it is all said again after a Home Assistant was started, by chance
	Pace   time.Duration // between two messages then
}

// DefaultTiming is what runs unless a test says otherwise. Home Assistant is seldom away for
// longer than Settle; what it missed of a component that went has to be removed there by hand.
func DefaultTiming() Timing {
	return Timing{Look: time.Second, Soon: 250 * time.Millisecond, Settle: 10 * time.Minute, Again: 10 * time.Second,
		Pace: 5 * time.Millisecond}
}

// Box is where messages are put.
type Box interface {
	// Put says what is not said yet, and keeps it.
	Put(ctx context.Context, messages ...outbox.Message)
	// Say says it to those that are connected, whatever was said before.
	Say(m outbox.Message)
}

// A Service keeps Home Assistant told. Run does the work; the other methods may be called
// from any goroutine. The command line has one with a Store alone.
type Service struct {
	Store *store.Store
	Fleet *fleet.Board
	Box   Box
	// Dialects lists the brokers that are to be told now, whether connected or not.
	Dialects func() []outbox.Dialect
	// Public is the address at which people find the pages, "" if that is not known.
	Public func(context.Context) string
	// Prefix, if set, is the one that Home Assistant has at a broker, "" for that of the settings.
	Prefix func(context.Context, outbox.Outlet) string
	// Reach, if set, is what the Home Assistants at a broker hear of and may ask for; nil is
	// everything.
	Reach   func(context.Context, outbox.Outlet) (Reach, error)
	Version string // of the control plane
	Log     *slog.Logger
	Now     func() time.Time
	Timing  Timing
	// Chance is from 0 up to, and without, 1; nil is the computer's.
	Chance func() float64

	once sync.Once
	wake chan struct{}

	mu     sync.Mutex
	births map[outbox.Outlet]time.Time // when it is to be said again
	born   map[outbox.Outlet]string    // births that were not written down yet
	status Status

	// Used by Run's goroutine only.
	known  bool                                           // what was told before was read
	plane  string                                         // which installation it is
	names  map[string]string                              // the beginnings of entity IDs, by device
	told   map[outbox.Outlet]map[string]*discoveries.Told // by topic
	said   map[outbox.Outlet]map[string]saying            // what was put since the start, by topic
	repeat []repetition                                   // what is still to be said again
	view   view
	named  bool // each device of the view has its name
	states map[outbox.Outlet]state
}

// Reach is what the Home Assistants at a broker hear of and may ask for.
type Reach struct {
	// All is that each hears of all hosts. Where one does not, it is not told of the device of
	// all, and no other refers to that: there would be an unnamed one.
	All bool
	// Commands is that one of them may ask for backups and the like. Where none may, there are
	// no buttons and switches, which would do nothing.
	Commands bool
}

// Everything is the reach of who hears of all and may ask for all.
var Everything = Reach{All: true, Commands: true}

func (s *Service) reach(ctx context.Context, o outbox.Outlet) (Reach, error) {
	if s.Reach == nil {
		return Everything, nil
	}
	return s.Reach(ctx, o)
}

// A Status is what Home Assistant is told now.
type Status struct {
	Devices  int // of the broker that is told most
	Entities int
	Births   []Birth
}

// A Birth is when a Home Assistant last said that it is there.
type Birth struct {
	Outlet outbox.Outlet
	Name   string // the consumer, "" where that is not known
	At     int64
}

// BornAt is when a Home Assistant last said that it is there, in Unix milliseconds; 0 is never.
func (s Status) BornAt() (at int64) {
	for _, b := range s.Births {
		at = max(at, b.At)
	}
	return at
}

func (s *Service) begin() {
	s.once.Do(func() {
		s.wake, s.births, s.born = make(chan struct{}, 1), map[outbox.Outlet]time.Time{}, map[outbox.Outlet]string{}
		if s.Timing == (Timing{}) {
			s.Timing = DefaultTiming()
		}
		if s.Chance == nil {
			s.Chance = rand.Float64
		}
	})
}

// Stir has the service look soon whether something changed. It never blocks.
func (s *Service) Stir() {
	s.begin()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Born notes that a Home Assistant said at a broker that it is there: after a while, a random
// one, it is told everything again. name is the consumer, "" if that is not known. It never
// blocks.
func (s *Service) Born(outlet outbox.Outlet, name string) {
	s.begin()
	s.mu.Lock()
	if s.births[outlet].IsZero() { // one that is started again and again is told once
		s.births[outlet] = s.Now().Add(time.Duration(s.Chance() * float64(s.Timing.Again)))
	}
	s.born[outlet] = name
	s.mu.Unlock()
	s.Stir()
}

// Status says what Home Assistant is told now.
func (s *Service) Status(ctx context.Context) (Status, error) {
	s.mu.Lock()
	now := s.status
	s.mu.Unlock()
	rows, err := s.Store.HomeAssistantBirths(ctx)
	for _, b := range rows {
		now.Births = append(now.Births, Birth{Outlet: outbox.Outlet(b.Outlet), Name: b.Name, At: b.At})
	}
	return now, err
}

func (s *Service) dialects() []outbox.Dialect {
	if s.Dialects == nil {
		return nil
	}
	return s.Dialects()
}

// Run tells Home Assistant until ctx ends. Nothing is taken back then: the control plane's
// availability says that it is gone.
func (s *Service) Run(ctx context.Context) error {
	s.begin()
	look := time.NewTicker(s.Timing.Look)
	defer look.Stop()
	for {
		if err := s.step(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("tell Home Assistant", "err", err)
		}
		soon, wake := time.After(s.Timing.Soon), (<-chan struct{})(nil)
		for over := false; !over; {
			var pace <-chan time.Time
			if len(s.repeat) > 0 {
				pace = time.After(s.Timing.Pace)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-soon:
				soon, wake = nil, s.wake
			case <-wake:
				over = true
			case <-look.C:
				over = true
			case <-pace:
				s.sayNext()
			}
		}
	}
}
