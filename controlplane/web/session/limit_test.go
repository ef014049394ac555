package session

import (
	"fmt"
	"testing"
	"time"
)

func TestTheLimiterIsBoundedAndForgives(t *testing.T) {
	now := time.Unix(1000, 0)
	l := NewLimiter(func() time.Time { return now })
	count := func(network, name string) (n int) {
		for range 100 {
			if l.Take(network, name) == 0 {
				n++
			}
		}
		return n
	}
	if n := count("10.0.0.1", "ada"); n != 10 {
		t.Errorf("%d tries at once, want 10", n)
	}
	if wait := l.Take("10.0.0.1", "ada"); wait != 6*time.Second {
		t.Errorf("the next try is in %v, want 6 s", wait)
	}
	if n := count("10.0.0.2", "ada"); n != 10 {
		t.Errorf("%d tries from elsewhere, want 10: the name's twenty", n)
	}
	for i := range 50 { // each network has one try, however many others are at it
		network := fmt.Sprint("10.0.1.", i)
		if wait := l.Take(network, "ada"); wait != 0 {
			t.Errorf("a network that never tried has to wait %v", wait)
		}
		if wait := l.Take(network, "ada"); wait <= 0 || wait > patience {
			t.Errorf("its second try is in %v", wait)
		}
	}
	now = now.Add(patience)
	if wait := l.Take("10.0.1.7", "ada"); wait != 0 {
		t.Errorf("after %v it has to wait %v", patience, wait)
	}
	now = now.Add(time.Minute)
	if n := count("10.0.0.1", "ada"); n != 10 {
		t.Errorf("%d tries after a minute, want 10", n)
	}
	for i := range 3 * limiterSize {
		l.Take("10.0.0.3", fmt.Sprint("name", i))
		now = now.Add(time.Second)
	}
	if len(l.m) > limiterSize+2 {
		t.Errorf("it remembers %d", len(l.m))
	}
}
