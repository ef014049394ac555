package live

import (
	"context"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// A Recent shares one read among all streams: whoever asks for what is read at
// the time waits for that, and whoever asks for what was read last has it at
// once. A key says what is read; of another key it reads again.
type Recent[K comparable, T any] struct {
	mu  sync.Mutex
	has bool
	key K
	v   T
}

// Read answers with what load reads for a key.
func (r *Recent[K, T]) Read(ctx context.Context, key K, load func(context.Context) (T, error)) (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.has && r.key == key {
		return r.v, nil
	}
	v, err := load(ctx)
	if err == nil {
		r.has, r.key, r.v = true, key, v
	}
	return v, err
}

// A Lately is what was read last of something that takes a while to read, for all
// streams together.
type Lately[T any] struct {
	mu           sync.Mutex
	reading      chan struct{} // closed at the end of the reading that goes on; nil if none does
	began, ended time.Time     // of the last one
	v            *T
}

// Read answers with what was read since a moment, or else reads it; but not
// sooner than gap after the last reading has ended. What it answers with until
// then is not fresh: whoever draws it has to draw again. Who asks while it is
// being read waits for that.
func (l *Lately[T]) Read(ctx context.Context, since time.Time, gap time.Duration, load func(context.Context) (*T, error)) (v *T, fresh bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.v != nil && !l.began.Before(since):
			return l.v, true, nil
		case l.reading != nil:
			if err := l.await(ctx, l.reading); err != nil {
				return nil, false, err
			}
			continue
		case l.v != nil && time.Since(l.ended) < gap:
			return l.v, false, nil
		}
		return l.load(ctx, load)
	}
}

// await waits for a reading to end, and lets others at it meanwhile.
func (l *Lately[T]) await(ctx context.Context, reading <-chan struct{}) error {
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-reading:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// load reads. Others may wait for it: it goes on when the one who began it goes.
func (l *Lately[T]) load(ctx context.Context, load func(context.Context) (*T, error)) (v *T, fresh bool, err error) {
	reading, began := make(chan struct{}), time.Now()
	l.reading = reading
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.reading = nil
		close(reading)
		if err == nil {
			l.v, l.began, l.ended = v, began, time.Now()
		}
	}()
	v, err = load(context.WithoutCancel(ctx))
	return v, err == nil, err
}

// A Progress holds back hosts that ring only because their jobs go on: what
// people see of that needs no more than one drawing a second.
type Progress struct {
	Pause time.Duration // between two drawings

	drawn time.Time
	rang  map[topics.HostID]bool
}

// Due takes the hosts that rang, and answers with those to be drawn now: none, if
// the last were drawn just now and nothing else is to be drawn anyway. It says
// whether some still wait.
func (w *Progress) Due(rang map[topics.HostID]bool, anyway bool) (now map[topics.HostID]bool, wait bool) {
	if w.rang == nil {
		w.rang = map[topics.HostID]bool{}
	}
	for id := range rang {
		w.rang[id] = true
	}
	if len(w.rang) == 0 {
		return nil, false
	}
	if !anyway && time.Since(w.drawn) < w.Pause {
		return nil, true
	}
	now, w.rang, w.drawn = w.rang, nil, time.Now()
	return now, false
}
