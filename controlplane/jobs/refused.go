package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Reasons to refuse messages, as named in the log and the audit log.
var (
	errUnsealed = errors.New("not sealed by the host for this topic")
	errMAC      = errors.New("its MAC does not hold")
	errReplay   = errors.New("it came before, or is of another session")
	errForeign  = errors.New("about a job of another host, or a query that it was not asked")
	errRetained = errors.New("its retained flag is not its topic's")
	errTopic    = errors.New("not a topic agents write to")
	errShape    = errors.New("not what its topic carries")
	errBroken   = errors.New("it could not be handled")
)

// auditEvery is the minimum time between two audit entries about refused messages of
// one host; each entry holds the count.
const auditEvery = time.Hour

// refusalsLogged is how many refused messages per host are logged before the next
// settle; all are counted.
const refusalsLogged = 8

// refusals collects refused messages until the loop stores the counts. Even a sender
// of nothing but invalid messages costs one update a second.
type refusals struct {
	mu  sync.Mutex
	new map[topics.HostID]*refused
	all map[topics.HostID]*refused // for the next audit entry
	at  map[topics.HostID]time.Time
}

type refused struct {
	here, there uint64
	reasons     map[string]uint64
}

// maxRefusals bounds how many hosts are remembered between two calls of settle.
const maxRefusals = 10_000

func (r *refusals) note(host topics.HostID, reason string, here, there, aside uint64) (logIt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.new[host]
	if n == nil {
		if len(r.new) >= maxRefusals {
			return false
		}
		n = &refused{reasons: map[string]uint64{}}
		r.new[host] = n
	}
	n.here += here
	n.there += there
	n.reasons[reason] += here + there + aside
	return n.here+n.there <= refusalsLogged
}

// Refused counts a message that was invalid, or something else the host's agent was
// not allowed to do. It may be called from any goroutine.
func (e *Engine) Refused(host topics.HostID, topic, reason string) {
	e.turnedAway.Add(1)
	if e.refusals.note(host, reason, 1, 0, 0) {
		e.Log.Warn("message refused", "host", host, "topic", topic, "err", reason)
	}
}

// Aside counts something that a host, or somebody about it, asked for in vain. It may be
// called from any goroutine.
func (e *Engine) Aside(host topics.HostID, why protocol.Aside) {
	e.refusals.note(host, string(why), 0, 0, 1)
}

// told counts messages in the control plane's name that the agent refused.
func (e *Engine) told(host topics.HostID, n uint64) {
	if n > 0 && e.refusals.note(host, "not from this control plane, or old, by the host's word", 0, n, 0) {
		e.Log.Warn("agent refused messages in our name", "host", host, "count", n)
	}
}

// settle stores the counts since the last call.
func (e *Engine) settle(ctx context.Context) {
	clear(e.said)
	r := &e.refusals
	r.mu.Lock()
	fresh := r.new
	r.new = map[topics.HostID]*refused{}
	r.mu.Unlock()
	for host, n := range fresh {
		err := e.Store.Refused(ctx, host, n.here, n.there, n.reasons)
		switch {
		case errors.Is(err, store.ErrNotFound): // no such host
			continue
		case err != nil:
			e.complain(ctx, "storing refusals failed", "host", host, "err", err)
			continue
		}
		e.tell(host)
		if n.here+n.there == 0 {
			continue
		}
		sum := r.all[host]
		if sum == nil {
			sum = &refused{reasons: map[string]uint64{}}
			r.all[host] = sum
		}
		sum.here += n.here
		sum.there += n.there
		for reason, times := range n.reasons {
			sum.reasons[reason] += times
		}
	}
	now := e.Now()
	for host, sum := range r.all {
		if now.Sub(r.at[host]) < auditEvery {
			continue
		}
		if err := e.Store.Audit(ctx, "plane", "message.refused", string(host), sum.words()); err != nil {
			e.complain(ctx, "auditing refusals failed", "host", host, "err", err)
			continue
		}
		r.at[host] = now
		delete(r.all, host)
	}
}

func (r *refused) words() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(r.reasons)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.reasons[reason], reason))
	}
	return strings.Join(parts, "; ")
}
