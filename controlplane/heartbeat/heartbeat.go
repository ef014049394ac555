package heartbeat

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/words"
)

// A Part is one of those whose work the control plane consists of.
type Part struct {
	Name string // as it begins a sentence: "The jobs engine"
	// Wrong says what is wrong with it now, "" for nothing. It answers within a few seconds.
	Wrong func(ctx context.Context) string
}

// A Service says elsewhere that the control plane works. Run does the work; the other methods
// may be called from any goroutine.
type Service struct {
	Store *store.Store
	Parts []Part
	Log   *slog.Logger
	Now   func() time.Time
	// Changed, if set, is called when the heartbeat begins to fail or works again. It must
	// not block.
	Changed func()

	once   sync.Once
	asker  asker
	again  chan struct{} // the outside heartbeat is another
	queued chan struct{} // something may be to be said of backups

	mu   sync.Mutex
	now  Status
	last heartbeats.Heartbeat // as it was read last; of beats alone
}

// A Status is how an address is doing. Moments are in Unix milliseconds, 0 is never.
type Status struct {
	On           bool // there is an address
	LastAt       int64
	LastOKAt     int64
	Answer       string // of the other side at the last try, or why there was none
	FailingSince int64  // 0 if the last try went well
	Failures     int64  // in a row
	// Said is what was wrong with the control plane when it was last said, "" for nothing.
	Said string
}

// Enough is how many tries in a row have to fail until people are told.
const Enough = 3

// Fails reports whether people are to be told that nobody hears the heartbeat.
func (s Status) Fails() bool { return s.On && s.Failures >= Enough }

func statusOf(h heartbeats.Heartbeat) Status {
	return Status{On: h.ID != "", LastAt: h.LastAt, LastOKAt: h.LastOKAt, Answer: h.LastAnswer, FailingSince: h.FailingSince,
		Failures: h.Failures}
}

func (s *Service) begin() {
	s.once.Do(func() { s.asker, s.again, s.queued = newAsker(), make(chan struct{}, 1), make(chan struct{}, 1) })
}

// Status says how the outside heartbeat is doing. It answers from memory.
func (s *Service) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Notices is a [notices.Source].
func (s *Service) Notices(context.Context) []notices.Notice {
	now := s.Status()
	if !now.Fails() {
		return nil
	}
	say := "The outside heartbeat has reached nobody for " + words.Span(s.Now().Sub(time.UnixMilli(now.FailingSince))) + ": “" + now.Answer +
		"”. If the control plane stopped now, nobody would be told."
	return []notices.Notice{{ID: "heartbeat-failing", Severity: notices.Warning, Say: say,
		Remedy: "Look whether the service is there, and whether its address is still the one that is entered here.",
		Link:   notices.Link{Text: "Outside heartbeat", URL: "/alerts/channels"}}}
}

// Stir has the service look soon whether something is to be said of backups.
func (s *Service) Stir() { s.stir(false) }

func (s *Service) stir(again bool) {
	s.begin()
	c := s.queued
	if again {
		c = s.again
	}
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run says what there is to say until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	s.begin()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { s.beats(ctx); return nil })
	g.Go(func() error { s.pings(ctx); return nil })
	return g.Wait()
}

// idle is how long a service without an address waits until it looks again, in case that
// another process set one.
const idle = time.Minute

// beats pings the outside heartbeat whenever it is time.
func (s *Service) beats(ctx context.Context) {
	for {
		began := s.Now()
		wait := max(s.beat(ctx)-s.Now().Sub(began), time.Second)
		select {
		case <-ctx.Done():
			return
		case <-s.again:
		case <-time.After(wait):
		}
	}
}

// beat pings the outside heartbeat once, and returns when to do so again.
func (s *Service) beat(ctx context.Context) time.Duration {
	h, err := s.Store.Heartbeat(ctx, heartbeats.OfPlane, "")
	switch {
	case ctx.Err() != nil:
		return idle
	case errors.Is(err, heartbeats.ErrNone):
		s.last = heartbeats.Heartbeat{}
		s.note(s.last, "")
		return idle
	case err != nil: // the database does not answer, which is to be told where it was told before
		s.Log.Warn("reading the outside heartbeat failed", "err", err)
		if h = s.last; h.ID == "" {
			return Least * time.Second
		}
	}
	began := time.Now()
	wrong := s.Wrong(ctx)
	say := saying{event: heartbeats.Success, took: time.Since(began)}
	if wrong != "" {
		say.event, say.words = heartbeats.Fail, wrong
	}
	if ctx.Err() != nil {
		return idle
	}
	told := s.tell(ctx, &h, say)
	if ctx.Err() != nil {
		return idle
	}
	if told {
		if err := s.Store.SaidHeartbeat(ctx, h); err != nil {
			s.Log.Warn("writing down how the outside heartbeat went failed", "err", err)
		}
	}
	s.last = h
	s.note(h, wrong)
	return time.Duration(h.Every) * time.Second
}

// note keeps how the outside heartbeat is doing, and says when that changes.
func (s *Service) note(h heartbeats.Heartbeat, wrong string) {
	s.mu.Lock()
	was := s.now
	s.now = statusOf(h)
	s.now.Said = wrong
	now := s.now
	s.mu.Unlock()
	if now.Fails() == was.Fails() {
		return
	}
	if now.Fails() {
		s.Log.Warn("the outside heartbeat reaches nobody", "since", now.FailingSince, "answer", now.Answer)
	} else {
		s.Log.Info("the outside heartbeat is heard again")
	}
	if s.Changed != nil {
		s.Changed()
	}
}

// Wrong says what is wrong with the control plane now, "" if it really works.
func (s *Service) Wrong(ctx context.Context) string {
	said := make([]string, len(s.Parts))
	var g errgroup.Group
	for i, p := range s.Parts {
		g.Go(func() error {
			if wrong := p.Wrong(ctx); wrong != "" {
				said[i] = p.Name + " " + wrong + "."
			}
			return nil
		})
	}
	_ = g.Wait() // nobody fails
	all := []string{}
	for _, one := range said {
		if one != "" {
			all = append(all, one)
		}
	}
	return strings.Join(all, " ")
}

// tell says something to a heartbeat's address, and notes in it how that went. false is that
// this kind of service is not told such a thing.
func (s *Service) tell(ctx context.Context, h *heartbeats.Heartbeat, say saying) bool {
	ok, text := false, "The address cannot be read; enter it again."
	if h.Unread == nil {
		u, err := url.Parse(string(h.URL))
		if err != nil {
			text = "The address is not one that can be asked for."
		} else {
			address, body, told := Kind(h.Kind).request(u, say)
			if !told {
				return false
			}
			ok, text = s.asker.ask(ctx, Kind(h.Kind), address, body)
		}
	}
	h.LastAt, h.LastAnswer = s.Now().UnixMilli(), text
	if ok {
		h.LastOKAt, h.FailingSince, h.Failures = h.LastAt, 0, 0
		return true
	}
	if h.Failures++; h.FailingSince == 0 {
		h.FailingSince = h.LastAt
	}
	return true
}
