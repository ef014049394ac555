package jobs

import (
	"bytes"
	"context"

	"github.com/restic-manager/restic-manager/topics"
)

// heardNext is which identity of ours a session was told to move to, nil for none. A
// host's connections change while identities do, so that nobody can be told once for all:
// it is told again whenever a sign of life shows that it heard something else.
type heardNext struct {
	session topics.Session
	next    *topics.Succession
}

func (h heardNext) same(n *topics.Succession) bool {
	if n == nil || h.next == nil {
		return n == h.next
	}
	return h.next.Until == n.Until && bytes.Equal(h.next.CA, n.CA) && bytes.Equal(h.next.SealKey, n.SealKey)
}

// tells returns the identity that is to be told to a session now, and notes that it is.
// Without one there is one alone.
func (e *Engine) tells(host topics.HostID, s topics.Session) *topics.Succession {
	e.mu.Lock()
	defer e.mu.Unlock()
	var next *topics.Succession
	if e.Follows != nil {
		next = e.Follows()
	}
	e.follows[host] = heardNext{s, next}
	return next
}

// tellNext tells a session which identity follows, unless it heard that.
func (e *Engine) tellNext(host topics.HostID, s topics.Session) {
	if e.Follows == nil {
		return
	}
	next := e.Follows()
	e.mu.Lock()
	heard := e.follows[host]
	e.mu.Unlock()
	if next == nil || heard.session == s && heard.same(next) {
		return // that there is one alone is for a first welcome to say
	}
	e.say(host, s, "", topics.Welcome{Received: topics.Received{Epoch: s.Epoch}, Next: e.tells(host, s)})
}

// Succeed has everybody told of another identity of ours. Hosts that several machines
// use hear of it when they connect again.
func (e *Engine) Succeed(ctx context.Context) error {
	e.mu.Lock()
	clear(e.channels)
	e.mu.Unlock()
	rows, err := e.Store.Hosts(ctx)
	if err != nil {
		return err
	}
	for _, h := range rows {
		if h.RevokedAt > 0 || !e.Presence.Reachable(h.ID) {
			continue
		}
		if _, err := e.channel(ctx, h.ID); err != nil {
			return err
		}
		if h.TwinsSince == 0 {
			e.tellNext(h.ID, e.Presence.Session(h.ID))
		}
	}
	return nil
}
