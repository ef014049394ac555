package web

import (
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// network returns the network a request is rate limited by: the IPv4 address, or
// the /64 of an IPv6 address, since one person usually has a whole /64.
func network(r *http.Request) string {
	h := remote(r)
	ip := net.ParseIP(h)
	if ip == nil || ip.To4() != nil {
		return h
	}
	return ip.Mask(net.CIDRMask(64, 128)).String()
}

// remote returns the address of a request's sender.
func remote(r *http.Request) string {
	if h, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return h
	}
	return r.RemoteAddr
}

// A limiter slows down guessing. A network may try thirty times at once, then
// every two seconds; one name ten times, then every six seconds. A name that is
// tried from everywhere has twenty tries, then one every three seconds, but a
// network that has not tried it for half a minute always may: nobody can lock
// anybody else out. It remembers a bounded number of these.
type limiter struct {
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

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, m: map[[2]string]bucket{}}
}

// take uses up a try and returns 0, or returns how long to wait for the next one.
func (l *limiter) take(network, name string) time.Duration {
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
func (l *limiter) full(key [2]string, most float64, each time.Duration) float64 {
	b, known := l.m[key]
	if !known {
		return most
	}
	return min(most, b.left+float64(l.now().Sub(b.at))/float64(each))
}

func (l *limiter) wait(key [2]string, most float64, each time.Duration) time.Duration {
	if left := l.full(key, most, each); left < 1 {
		return time.Duration((1 - left) * float64(each))
	}
	return 0
}

func (l *limiter) use(key [2]string, most float64, each time.Duration) {
	left, now := l.full(key, most, each), l.now()
	if _, known := l.m[key]; !known {
		l.room(now)
	}
	l.m[key] = bucket{max(0, left-1), now}
}

// room makes room for another bucket: it forgets full ones, at most once a second,
// and if there are none, any.
func (l *limiter) room(now time.Time) {
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

// slow sets Retry-After and returns the sentence that says how long to wait.
func slow(w http.ResponseWriter, wait time.Duration) string {
	n := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(n))
	if n == 1 {
		return "Too many tries. Wait 1 second, then try again."
	}
	return "Too many tries. Wait " + strconv.Itoa(n) + " seconds, then try again."
}
