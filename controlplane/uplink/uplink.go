// Package uplink publishes to a broker of the user's own what the embedded public one says,
// since Home Assistant knows one broker only, and may hear commands there.
//
// It follows the outbox: after each connection everything retained is said again, and what
// changes after that, in order. That a broker takes a message is no proof that anybody gets
// it, so what it does with one is looked at: by a test before, and by our own availability
// while connected. What is retained there is written down before it is sent, so that nothing
// of ours stays at a broker, below a root or a prefix that was left.
package uplink

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A Source is what there is to say; the outbox.
type Source interface {
	Open(ctx context.Context, d outbox.Dialect) error
	Shut(ctx context.Context, name outbox.Outlet) error
	Follow(ctx context.Context, name outbox.Outlet, link outbox.Link) error
	Retained(name outbox.Outlet, match func(topic string) bool) []string
}

// A Wish is a command that came over the uplink.
type Wish struct {
	// Consumer is the one whose account there wrote it, "" if that is not known.
	Consumer string
	Below    string // the topic's name below the root, as it was sent
	Payload  []byte
	Retained bool // it lay there, and nobody asks for it now
	Again    bool // the broker does not know whether it was heard before
	Excess   bool // more came than are carried out: it is only to be answered
}

// Timing holds the durations of this package.
type Timing struct {
	Connect   time.Duration // to dial, shake hands and be let in
	Answer    time.Duration // for the broker to confirm what it was given
	Write     time.Duration // for a packet to be taken off our hands
	Ping      time.Duration // for the broker to answer a ping
	KeepAlive time.Duration
	Heard     time.Duration // for our own availability to come back
	Farewell  time.Duration // for the last words
	// Backoff is the longest wait before the second attempt; it doubles with every further
	// one up to BackoffCap. The wait itself is random.
	Backoff, BackoffCap time.Duration
	Look                time.Duration // between two looks whether another process changed the settings
	Clear               time.Duration // between two tries to clear a broker that was left
	Will                time.Duration // for which a broker may still publish the will of a connection that was lost
	Test                time.Duration // for a test in all
	Step                time.Duration // for one step of it
	Away                time.Duration // out of reach for so long, people are told
	Settle              time.Duration // without a retained message for so long, no more comes
}

// DefaultTiming is what runs unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{Connect: 10 * time.Second, Answer: 20 * time.Second, Write: 10 * time.Second, Ping: 10 * time.Second,
		KeepAlive: 30 * time.Second, Heard: 15 * time.Second, Farewell: 3 * time.Second, Backoff: 10 * time.Second,
		BackoffCap: time.Minute, Look: 2 * time.Second, Clear: time.Minute, Will: 2 * time.Minute, Test: 15 * time.Second,
		Step: 4 * time.Second, Away: 5 * time.Minute, Settle: 2 * time.Second}
}

// Flags are settings of the command line. With a URL there, they are instead of those that
// somebody set, all that concern the access; files are read again at each attempt.
type Flags struct {
	URL          string
	PasswordFile string
	CAFile       string
	CertFile     string
	KeyFile      string
	Insecure     bool
}

// A Service speaks with the user's own broker. Run does the work; the other methods may be
// called from any goroutine.
type Service struct {
	Store  *store.Store
	Source Source // nil publishes nothing
	Flags  Flags
	Log    *slog.Logger
	Now    func() time.Time // nil is time.Now
	Timing Timing           // the zero value is DefaultTiming
	// Usual is the prefix of Home Assistant's discovery unless the uplink has its own; nil is
	// "homeassistant".
	Usual func() string
	// Do carries out a command and answers it; nil refuses all.
	Do func(ctx context.Context, w Wish) error
	// Changed, if set, is called when the uplink is connected, lost, or begins to be out of
	// reach for long. It must not block.
	Changed func()

	once   sync.Once
	timing Timing
	again  chan struct{} // settings are others
	clears chan struct{} // something is to be cleared
	births listeners     // Home Assistant is there
	clear  sync.Mutex    // held while brokers that were left are cleared

	entered string // the URL of the present broker, as it was written down; keep's,
	begun   bool   // like whether it was,
	swept   string // and which broker, root and prefix was looked at for what is not known here

	opening sync.Mutex
	opened  string // how the outbox was told that the broker is spoken to; under opening

	mu     sync.Mutex
	now    Status
	set    Settings                // in force
	isSet  bool                    // they were read
	cancel context.CancelCauseFunc // of the session there is
	known  map[string]bool         // what is retained at the present broker, or may be
	lost   map[string]time.Time    // when connections were lost, by address: that broker may still publish our will
}

func (s *Service) begin() {
	s.once.Do(func() {
		s.again, s.clears = make(chan struct{}, 1), make(chan struct{}, 1)
		if s.timing = s.Timing; s.timing == (Timing{}) {
			s.timing = DefaultTiming()
		}
	})
}

func (s *Service) moment() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// listeners are functions that are called when something happened.
type listeners struct {
	mu  sync.Mutex
	all []func()
}

func (l *listeners) add(f func()) {
	l.mu.Lock()
	l.all = append(l.all, f)
	l.mu.Unlock()
}

func (l *listeners) tell() {
	l.mu.Lock()
	all := l.all
	l.mu.Unlock()
	for _, f := range all {
		f()
	}
}

// OnBirth has f called when Home Assistant says at the user's broker that it is there. f must
// not block.
func (s *Service) OnBirth(f func()) { s.births.add(f) }

// Dialect is how the user's broker is spoken to; false if there is none.
func (s *Service) Dialect(ctx context.Context) (outbox.Dialect, bool) {
	set, err := s.inForce(ctx)
	if err != nil || set.URL == "" {
		return outbox.Dialect{}, false
	}
	d := outbox.Dialect{Outlet: outbox.Uplink, Root: set.Root}
	switch set.heard() {
	case External:
		d.Command = func(h topics.HostID, a topics.Action) string {
			return set.Root + "/" + topics.Topic{Kind: topics.KindDo, Host: h, Action: a}.Below()
		}
	case ByConsumer:
		if consumer := s.homeAssistant(ctx); consumer != "" {
			d.Command = func(h topics.HostID, a topics.Action) string {
				return set.Root + "/" + topics.Topic{Kind: topics.KindConsumerDo, Consumer: consumer, Host: h, Action: a}.Below()
			}
		}
	case Off:
	}
	return d, true
}

// homeAssistant is the consumer whose commands the discovery at the user's broker names: the
// first that may be Home Assistant and command, "" if there is none.
func (s *Service) homeAssistant(ctx context.Context) string {
	users, err := s.Store.MQTTUsers(ctx)
	if err != nil {
		return ""
	}
	for _, u := range users {
		if u.HomeAssistant && u.MayDo {
			return u.Name
		}
	}
	return ""
}

// Prefix is that of Home Assistant's discovery at the user's broker.
func (s *Service) Prefix(ctx context.Context) string {
	set, err := s.inForce(ctx)
	if err == nil && set.Prefix != "" {
		return set.Prefix
	}
	return s.usual()
}

func (s *Service) usual() string {
	if s.Usual != nil {
		if p := s.Usual(); p != "" {
			return p
		}
	}
	return "homeassistant"
}
