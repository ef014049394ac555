package uplink

import "time"

// A bucket bounds how many commands are carried out.
type bucket struct {
	now    func() time.Time
	full   float64
	tokens float64
	at     time.Time
}

// Bounds of commands that come over the uplink.
const (
	burst     = 20
	perSecond = 0.5
)

func newBucket(now func() time.Time) bucket {
	return bucket{now: now, full: burst, tokens: burst, at: now()}
}

func (b *bucket) take() bool {
	now := b.now()
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens = min(b.full, b.tokens+passed*perSecond)
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
