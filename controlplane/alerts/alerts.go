// Package alerts is what somebody should be told of: it opens a row when a condition begins
// to hold, keeps it while it does, and ends it when it is over; and it does what people
// want done about it. Pages, API, command line and MQTT read here and nowhere else.
//
// What holds follows from facts alone, again and again, so that a restart, a crash or a
// second look changes nothing and repeats nothing. Who is told is decided in the same
// transaction, by whoever is given the changes.
package alerts

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
)

// ErrNotSnoozed is the error that an alert says what cannot be left for later.
var ErrNotSnoozed = alerts.ErrNotSnoozed

// Timing holds the durations of this package.
type Timing struct {
	Gap   time.Duration // between two sweeps, however much changes
	Every time.Duration // a sweep at least this often
}

// DefaultTiming is what runs unless a test says otherwise.
func DefaultTiming() Timing { return Timing{Gap: 2 * time.Second, Every: time.Minute} }

// A Service keeps alerts true, and does what people want done about them. It is safe for
// concurrent use. Fill in the fields before its first use.
type Service struct {
	Store *store.Store
	// Facts reads all that is judged, as it is now. Nil is that nothing is known: no sweep
	// changes anything then.
	Facts func(ctx context.Context) (conditions.Facts, error)
	// Ended reads what the end of a job decides, in the transaction that writes it. Nil
	// leaves it to the next sweep.
	Ended func(store.Slots, store.Job) (conditions.Facts, error)
	// Judge and OfJob find in facts what holds; nil are those of package conditions.
	Judge func(conditions.Facts, conditions.Limits, time.Time) (holds []conditions.Finding, next time.Time)
	OfJob func(conditions.Facts, conditions.Limits, time.Time) (holds []conditions.Finding, judged []alerts.Key)
	// Unsure reports that nobody can say now whether a condition holds: its alert stays as
	// it is. Nil is never.
	Unsure func(alerts.Key) bool
	// Note is told of what became of alerts, in the transaction of the changes: it notes who
	// is to hear of them. Nil tells nobody.
	Note func(ctx context.Context, tx alerts.Tx, changes []routing.Change) error
	// Changed is told after alerts, pauses or settings changed. It must not block. Nil tells nobody.
	Changed func()
	// PublicFlag is the public address that the control plane was started with, which wins
	// over the one that somebody set; "" is none.
	PublicFlag string
	Now        func() time.Time
	Log        *slog.Logger
	Timing     Timing // the zero value is DefaultTiming

	stirOnce sync.Once
	turned   atomic.Pointer[time.Time] // when Run last looked and could
	last     atomic.Pointer[turn]      // as turned, and what is in the way
	stirred  chan struct{}

	sweeping sync.Mutex // one sweep at a time
	next     time.Time  // when time alone may change something; the zero time is not known
	told     int64      // the mark when Changed was told last

	mu   sync.Mutex
	read bool
	mark int64            // of live
	live []alerts.Alert   // that are not over, the worst first
	seen map[string]int64 // by ID: when it was last found to hold, which is not written each time
}

// rows are the alerts in the database, by the service's clock.
func (s *Service) rows() alerts.Alerts {
	rows := s.Store.Alerts()
	rows.Now = func() int64 { return s.Now().UnixMilli() }
	return rows
}

func (s *Service) changed() {
	if s.Changed != nil {
		s.Changed()
	}
}

func (s *Service) bell() chan struct{} {
	s.stirOnce.Do(func() { s.stirred = make(chan struct{}, 1) })
	return s.stirred
}

// Stir has the service look soon whether something changed. It never blocks.
func (s *Service) Stir() {
	select {
	case s.bell() <- struct{}{}:
	default:
	}
}
