package asking

import (
	"context"
	"time"
)

// Limits are how much may be asked for. A consumer may ask for as much at once as a Home
// Assistant does that backs up all its hosts by one automation; after that at a pace.
type Limits struct {
	Burst, FleetBurst int     // of one consumer, and of all together
	Pace, FleetPace   float64 // more of them a second
	AtOnce            int     // carried out at the same moment
}

// DefaultLimits is what docs/TOPICS.md promises. Everybody who may write on a broker of
// the user's own counts as one consumer.
func DefaultLimits() Limits {
	return Limits{Burst: 240, Pace: 2, FleetBurst: 1000, FleetPace: 10, AtOnce: 8}
}

// A bucket is what is left of what may be asked for at once.
type bucket struct {
	left float64
	at   time.Time
}

// full is how much is in it by now.
func (b *bucket) full(now time.Time, burst int, pace float64) float64 {
	if b.at.IsZero() || now.Before(b.at) {
		return float64(burst)
	}
	return min(float64(burst), b.left+now.Sub(b.at).Seconds()*pace)
}

// mostBuckets is how many consumers have one: on a broker of the user's own, names are
// whatever somebody writes.
const mostBuckets = 1000

func tooMany() error {
	return &Refusal{Cause: CauseTooMany, Class: ErrTooMany, Text: "Too much is asked for at once, and nothing was begun. " +
		"Ask again in some seconds."}
}

// admit counts a wish, and waits for one of the places. The caller leaves it.
func (s *Service) admit(ctx context.Context, consumer string) (leave func(), err error) {
	if !s.take(consumer) {
		return nil, tooMany()
	}
	select {
	case s.places <- struct{}{}:
		return func() { <-s.places }, nil
	case <-ctx.Done():
		return nil, &Refusal{Cause: CauseTooMany, Class: ErrTooMany, Text: "Others ask for too much at once, and nothing was begun. " +
			"Ask again in some seconds.", Err: ctx.Err()}
	}
}

// take takes from the consumer's bucket, and from that of all if there is something in
// its own: whoever asks too often does not take the others' share.
func (s *Service) take(consumer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	own := s.of[consumer]
	if own == nil {
		if len(s.of) >= mostBuckets {
			s.forgetFull(now)
		}
		if len(s.of) >= mostBuckets {
			return false
		}
		own = &bucket{}
		s.of[consumer] = own
	}
	mine, all := own.full(now, s.Limits.Burst, s.Limits.Pace), s.all.full(now, s.Limits.FleetBurst, s.Limits.FleetPace)
	if mine < 1 || all < 1 {
		return false
	}
	*own, s.all = bucket{mine - 1, now}, bucket{all - 1, now}
	return true
}

func (s *Service) forgetFull(now time.Time) {
	for name, b := range s.of {
		if b.full(now, s.Limits.Burst, s.Limits.Pace) >= float64(s.Limits.Burst) {
			delete(s.of, name)
		}
	}
}

// maySay reports whether a consumer is to be told that it asks too much: once a second.
func (s *Service) maySay(consumer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	if last, ok := s.answered[consumer]; ok && now.Sub(last) < time.Second && !now.Before(last) {
		return false
	}
	if len(s.answered) >= mostBuckets {
		clear(s.answered)
	}
	s.answered[consumer] = now
	return true
}
