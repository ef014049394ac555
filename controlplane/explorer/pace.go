package explorer

import "time"

// How fast messages go by is counted in so many spans.
const (
	spans = 60
	span  = 20 * time.Second
)

// A pace counts what went by in the last twenty minutes.
type pace struct {
	last  int64 // the span that was counted last, since 1970
	first int64 // the span that was counted first
	n     [spans]int
	bytes [spans]int64
}

func (p *pace) note(now time.Time, bytes int) {
	p.to(now)
	i := p.last % spans
	p.n[i]++
	p.bytes[i] += int64(bytes)
}

// to empties the spans in which nothing went by.
func (p *pace) to(now time.Time) {
	at := now.UnixNano() / int64(span)
	if p.last == 0 {
		p.last, p.first = at, at
	}
	for range min(at-p.last, spans) {
		p.last++
		p.n[p.last%spans], p.bytes[p.last%spans] = 0, 0
	}
	p.last = max(p.last, at)
}

// A Pace is how fast messages go by.
type Pace struct {
	PerSecond float64 // within the last minute
	Bytes     float64 // a second, of topics and payloads
	Points    []int   // messages of each of the spans before, the oldest first
}

// Pace returns how fast messages have gone by lately.
func (e *Explorer) Pace() (p Pace) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	e.pace.to(now)
	part := time.Duration(now.UnixNano() % int64(span)) // of the span that goes on
	n, bytes := e.pace.n[e.pace.last%spans], e.pace.bytes[e.pace.last%spans]
	for i := int64(1); i <= 2 && i < spans && e.pace.last-i >= e.pace.first; i++ {
		n += e.pace.n[(e.pace.last-i)%spans]
		bytes += e.pace.bytes[(e.pace.last-i)%spans]
	}
	over := (2*span + part).Seconds()
	p.PerSecond, p.Bytes = float64(n)/over, float64(bytes)/over
	for i := e.pace.last - spans + 1; i < e.pace.last; i++ {
		if i >= e.pace.first {
			p.Points = append(p.Points, e.pace.n[i%spans])
		}
	}
	return p
}
