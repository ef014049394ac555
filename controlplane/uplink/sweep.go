package uplink

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// mostFound is how many topics are looked at when a broker is swept.
const mostFound = 1 << 20

// A sweep notes what of ours a broker retains that nobody knows of.
type sweep struct {
	mu    sync.Mutex
	found map[string]bool
	last  time.Time // when the last retained message came
}

// sweepOnce clears what a broker retains of ours that is not to be and that is not written down
// here: since the control plane was restored from a copy, it does not know what it said after
// the copy was made, such as of a host that was enrolled then. It is done once a start.
func (e *session) sweepOnce(ctx context.Context) error {
	p, err := e.s.Store.PlaneOf(ctx)
	if err != nil || p.RestoredAt == 0 {
		return err
	}
	at := e.place.Address + " " + e.set.Root + " " + e.devices
	if e.s.swept == at {
		return nil
	}
	sw := &sweep{found: map[string]bool{}, last: time.Now()}
	e.sweeping.Store(sw)
	defer e.sweeping.Store(nil)
	devices := e.devices + "+/config"
	for _, filter := range []string{e.set.Root + "/pub/#", devices} {
		if refused, err := e.conn.subscribe(ctx, filter, 0); err != nil {
			return err
		} else if refused {
			e.warn("The broker does not let us read " + filter + ", so what is left there of before the restored copy stays. Give our user " +
				"the right to read it.")
		}
	}
	if err := sw.quiet(ctx, e.s.timing); err != nil {
		return err
	}
	if err := e.conn.unsubscribe(ctx, e.set.Root+"/pub/#", devices); err != nil {
		return err
	}
	if refused, err := e.conn.subscribe(ctx, e.availability, 1); err != nil || refused { // some brokers took that away, too
		return err
	}
	wanted := map[string]bool{}
	for _, n := range e.wanted() {
		wanted[n] = true
	}
	names := []string{}
	sw.mu.Lock()
	for n := range sw.found {
		if !wanted[n] {
			names = append(names, n)
		}
	}
	sw.mu.Unlock()
	if len(names) > 0 {
		e.s.Log.Info("clearing what was retained at the uplink since the copy that the control plane was restored from", "topics", len(names))
		if err := clearAt(ctx, e.s.Store, e.conn, e.place.ID, names); err != nil {
			return err
		}
		e.know(false, names)
	}
	e.s.swept = at
	return nil
}

// quiet returns when no retained message has come for a moment; MQTT does not say which is the
// last.
func (sw *sweep) quiet(ctx context.Context, t Timing) error {
	again, limit := time.NewTicker(max(t.Settle/10, time.Millisecond)), time.NewTimer(max(10*t.Settle, time.Millisecond))
	defer again.Stop()
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit.C:
			return nil
		case <-again.C:
		}
		sw.mu.Lock()
		silent := time.Since(sw.last)
		sw.mu.Unlock()
		if silent >= t.Settle {
			return nil
		}
	}
}

// sees reports whether a message is one that the sweep alone looks at.
func (e *session) sees(m message) bool {
	sw := e.sweeping.Load()
	if sw == nil || m.topic == e.availability {
		return false
	}
	ours := strings.HasPrefix(m.topic, e.set.Root+"/pub/")
	device := strings.HasPrefix(m.topic, e.devices)
	if !ours && !device {
		return false
	}
	plane := e.set.Root + "/" + topics.Topic{Kind: topics.KindPlaneAvailability}.Below()
	if m.retained && len(m.payload) > 0 && (ours || bytes.Contains(m.payload, []byte(`"`+plane+`"`))) {
		sw.mu.Lock()
		if sw.last = time.Now(); len(sw.found) < mostFound {
			sw.found[m.topic] = true
		}
		sw.mu.Unlock()
	}
	return true
}
