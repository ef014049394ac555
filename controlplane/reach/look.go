package reach

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/knock"
)

// A Look is whether an address was found to lead here.
type Look struct {
	Address string // that was looked at; "" if there was none
	At      time.Time
	knock.Answer
}

// Looks are those at the two addresses under which this control plane is known.
type Looks struct {
	Agents Look // that agents dial
	Pages  Look // where people find the pages
}

// looking is what a Service remembers of its looks.
type looking struct {
	mu    sync.Mutex
	last  Looks
	known map[string]bool // nonces that were sent, and whether they came in
	stir  chan struct{}
}

// again is how often Run looks by itself: names and certificates change unasked.
const again = 6 * time.Hour

// Run looks now, when it is stirred, and every few hours.
func (s *Service) Run(ctx context.Context) error {
	t := time.NewTicker(again)
	defer t.Stop()
	for {
		if _, err := s.Look(ctx); err != nil && ctx.Err() == nil && s.Log != nil {
			s.Log.Error("looking whether our addresses lead here failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-s.stirred():
		}
	}
}

func (s *Service) stirred() chan struct{} {
	s.looking.mu.Lock()
	defer s.looking.mu.Unlock()
	if s.looking.stir == nil {
		s.looking.stir = make(chan struct{}, 1)
	}
	return s.looking.stir
}

// Stir has Run look again soon.
func (s *Service) Stir() {
	select {
	case s.stirred() <- struct{}{}:
	default:
	}
}

// Look dials both addresses as they are set now, and answers after [knock.Limit] at most. An
// address that nobody said is not looked at.
func (s *Service) Look(ctx context.Context) (Looks, error) {
	at, err := s.Of(ctx)
	if err != nil {
		return Looks{}, err
	}
	var found Looks
	var both sync.WaitGroup
	if at.Set != "" && s.Listen != "" {
		both.Go(func() {
			found.Agents = Look{Address: at.Set, At: time.Now(), Answer: knock.Agents(ctx, at.Set, s.Listen)}
		})
	}
	if page := s.pages(ctx); page != "" {
		both.Go(func() {
			nonce := rand.Text()
			s.looking.mark(nonce, false)
			found.Pages = Look{Address: page, At: time.Now(), Answer: knock.Pages(ctx, page, nonce, s.looking.heard, s.Roots)}
			s.looking.forget(nonce)
		})
	}
	both.Wait()
	if err := ctx.Err(); err != nil {
		return found, err
	}
	s.looking.mu.Lock()
	s.looking.last = found
	s.looking.mu.Unlock()
	return found, nil
}

func (s *Service) pages(ctx context.Context) string {
	if s.Pages == nil {
		return ""
	}
	return s.Pages(ctx)
}

// Looked is what the last look found, as far as it was at the addresses of now.
func (s *Service) Looked(ctx context.Context) (Looks, error) {
	at, err := s.Of(ctx)
	if err != nil {
		return Looks{}, err
	}
	s.looking.mu.Lock()
	found := s.looking.last
	s.looking.mu.Unlock()
	if found.Agents.Address != at.Set {
		found.Agents = Look{}
	}
	if found.Pages.Address != s.pages(ctx) {
		found.Pages = Look{}
	}
	return found, nil
}

// Heard notes that somebody asked for a page with a nonce: if it was sent by a look of ours,
// that leads here. Anything else is forgotten.
func (s *Service) Heard(nonce string) {
	if nonce == "" || len(nonce) > 64 {
		return
	}
	s.looking.mu.Lock()
	defer s.looking.mu.Unlock()
	if _, ours := s.looking.known[nonce]; ours {
		s.looking.known[nonce] = true
	}
}

func (l *looking) mark(nonce string, came bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[string]bool{}
	}
	l.known[nonce] = came
}

func (l *looking) heard(nonce string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[nonce]
}

func (l *looking) forget(nonce string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, nonce)
}
