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
