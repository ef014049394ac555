package uplink

import (
	"context"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/uplinks"
	"github.com/restic-manager/restic-manager/topics"
)

// atOnce is how many topics are cleared until it is written down.
const atOnce = 400

// clearAt clears topics at a broker, and writes down which it has confirmed.
func clearAt(ctx context.Context, s *store.Store, c *conn, place string, names []string) error {
	for from := 0; from < len(names); from += atOnce {
		some := names[from:min(from+atOnce, len(names))]
		for _, n := range some {
			if err := c.publish(ctx, n, nil, 1, true); err != nil {
				return err
			}
		}
		if err := c.flush(ctx); err != nil {
			return err
		}
		if err := s.DropUplinkTopics(ctx, place, some); err != nil {
			return err
		}
	}
	return nil
}

// clearing clears brokers that were left, again and again until it is done.
func (s *Service) clearing(ctx context.Context) {
	again := time.NewTicker(s.timing.Clear)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		if len(s.Status().Leaving) > 0 {
			s.clearNow(ctx)
		}
	}
}

// clearNow tries to clear all brokers that were left.
func (s *Service) clearNow(ctx context.Context) {
	s.clear.Lock()
	defer s.clear.Unlock()
	places, err := s.Store.UplinkPlaces(ctx)
	if err != nil {
		return
	}
	tried := false
	for _, p := range places {
		if p.LeftAt == 0 || ctx.Err() != nil {
			continue
		}
		tried = true
		if err := s.clearPlace(ctx, p); err != nil && ctx.Err() == nil {
			if p.Said != err.Error() {
				s.Log.Warn("clearing what is retained at a broker that was left failed; it is tried again", "broker", p.URL, "err", err)
			}
			if err := s.Store.TriedUplinkPlace(ctx, p.ID, err.Error()); err != nil {
				s.Log.Warn("how clearing a broker went cannot be written down", "err", err)
			}
		}
	}
	if tried {
		s.look(ctx)
		s.tell()
	}
}

// errWill is that a broker may still say our will, so that it is cleared once more later.
var errWill = &trouble{say: "The connection with it was lost, and it may still say that we are offline; that is cleared in some minutes."}

// clearPlace clears a broker that was left.
func (s *Service) clearPlace(ctx context.Context, p uplinks.Place) error {
	names, err := s.Store.UplinkTopics(ctx, p.ID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	lost, was := s.lost[p.Address]
	s.mu.Unlock()
	mayFollow := was && s.moment().Sub(lost) < s.timing.Will
	said := []string{}
	if mayFollow {
		rest := names[:0:0]
		for _, n := range names {
			if strings.HasSuffix(n, "/"+topics.Topic{Kind: topics.KindPlaneAvailability}.Below()) {
				said = append(said, n)
			} else {
				rest = append(rest, n)
			}
		}
		names = rest
	}
	c, err := dial(ctx, p.Access, nil, s.timing, func(message) {})
	if err != nil {
		return err
	}
	defer c.leave()
	if err := clearAt(ctx, s.Store, c, p.ID, names); err != nil {
		return err
	}
	s.Log.Info("cleared what was retained at a broker that was left", "broker", p.URL, "topics", len(names))
	s.resay(names)
	if len(said) > 0 {
		return errWill
	}
	return nil
}

// resay has everything said again at the present broker if it is to retain one of these: it may
// be the one that was left, under another name.
func (s *Service) resay(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.now.Connected || s.cancel == nil {
		return
	}
	for _, n := range names {
		if s.known[n] {
			s.cancel(errAgain)
			return
		}
	}
}
