package session

import (
	"sync"
	"time"
)

// A Limiter slows down guessing. A network may try thirty times at once, then
// every two seconds; one name ten times, then every six seconds. A name that is
// tried from everywhere has twenty tries, then one every three seconds, but a
// network that has not tried it for half a minute always may: nobody can lock
// anybody else out. It remembers a bounded number of these.
type Limiter struct {
	now   func() time.Time
	mu    sync.Mutex
	m     map[[2]string]bucket
	swept time.Time
}

type bucket struct {
	left float64
	at   time.Time
}

const (
	limiterSize = 10_000
	patience    = 30 * time.Second
)

func NewLimiter(now func() time.Time) *Limiter {
	return &Limiter{now: now, m: map[[2]string]bucket{}}
}

// Take uses up a try and returns 0, or returns how long to wait for the next one.
func (l *Limiter) Take(network, name string) time.Duration {
	if len(name) > 100 {
		name = name[:100]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	here, pair, account := [2]string{network, ""}, [2]string{network, "name:" + name}, [2]string{"", "name:" + name}
	last, known := l.m[pair]
	wait := max(l.wait(here, 30, 2*time.Second), l.wait(pair, 10, 6*time.Second))
	if since := now.Sub(last.at); known && since < patience {
		wait = max(wait, min(l.wait(account, 20, 3*time.Second), patience-since))
	}
	if wait > 0 {
		return wait
	}
	l.use(here, 30, 2*time.Second)
	l.use(pair, 10, 6*time.Second)
	l.use(account, 20, 3*time.Second)
	return 0
}

// full returns how many tries a bucket holds by now.
func (l *Limiter) full(key [2]string, most float64, each time.Duration) float64 {
	b, known := l.m[key]
	if !known {
		return most
	}
	return min(most, b.left+float64(l.now().Sub(b.at))/float64(each))
}

func (l *Limiter) wait(key [2]string, most float64, each time.Duration) time.Duration {
	if left := l.full(key, most, each); left < 1 {
		return time.Duration((1 - left) * float64(each))
	}
	return 0
}

func (l *Limiter) use(key [2]string, most float64, each time.Duration) {
	left, now := l.full(key, most, each), l.now()
	if _, known := l.m[key]; !known {
		l.room(now)
	}
	l.m[key] = bucket{max(0, left-1), now}
}

// room makes room for another bucket: it forgets full ones, at most once a second,
// and if there are none, any.
func (l *Limiter) room(now time.Time) {
	if len(l.m) < limiterSize {
		return
	}
	if now.Sub(l.swept) >= time.Second {
		l.swept = now
		for k, b := range l.m {
			if now.Sub(b.at) > time.Minute {
				delete(l.m, k)
			}
		}
	}
	for k := range l.m {
		if len(l.m) < limiterSize {
			return
		}
		delete(l.m, k)
	}
}

// refusals limits the audit entries about refused sign-ins: sixty at once, then one
// every ten seconds.
type refusals struct {
	now    func() time.Time
	mu     sync.Mutex
	bucket bucket
	unsaid int
}

// say reports whether to record the next refusal, and how many before it were left
// out.
func (l *refusals) say() (unsaid int, ok bool) {
	const most, each = 60, 10 * time.Second
	l.mu.Lock()
	defer l.mu.Unlock()
	now, left := l.now(), float64(most)
	if !l.bucket.at.IsZero() {
		left = min(most, l.bucket.left+float64(now.Sub(l.bucket.at))/float64(each))
	}
	if left < 1 {
		l.unsaid++
		return 0, false
	}
	l.bucket = bucket{left - 1, now}
	unsaid, l.unsaid = l.unsaid, 0
	return unsaid, true
}
