package web

import (
	"context"
	"sync"
	"time"
)

// A lately is what was read last of something that takes a while to read, for all
// streams together: a fleet of a thousand hosts takes 20 ms.
type lately[T any] struct {
	mu sync.Mutex
	at time.Time
	v  *T
}

// read answers with what is no older than gap. What was not read just now may
// lack what rang since: whoever draws it has to draw again.
func (l *lately[T]) read(ctx context.Context, gap time.Duration, load func(context.Context) (*T, error)) (v *T, fresh bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if began := time.Now(); l.v == nil || began.Sub(l.at) >= gap {
		if v, err = load(ctx); err != nil {
			return nil, false, err
		}
		l.v, l.at, fresh = v, began, true
	}
	return l.v, fresh, nil
}
