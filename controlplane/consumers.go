package controlplane

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// admitConsumer lets a consumer read what is public, and ask for what it was
// given the right to ask for.
func (p *Plane) admitConsumer(c broker.Connect) (broker.Rights, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	u, err := p.Store.MQTTUser(ctx, c.User)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return broker.Rights{}, fmt.Errorf("consumer %.60q: %w: %w", c.User, broker.ErrUnavailable, err)
	}
	if subtle.ConstantTimeCompare(password.HashKey(string(c.Password)), u.KeyHash) != 1 || err != nil {
		return broker.Rights{}, fmt.Errorf("consumer %.60q: %w", c.User, broker.ErrBadPassword)
	}
	if err := p.Store.Confirmed(ctx, "consumer", u.Name); err != nil { // it may be confirmed soon
		return broker.Rights{}, fmt.Errorf("consumer %.60q: %w: %w", c.User, broker.ErrUnavailable, err)
	}
	role := u.Acts()
	if !rights.May(role, rights.See) {
		return broker.Rights{}, fmt.Errorf("consumer %.60q: whoever made it may not sign in any more", c.User)
	}
	p.admitted.note(u, p.connectedAs(u.Name))
	if err := p.Store.SeenMQTTUser(ctx, u.Name); err != nil {
		p.log.Error("note that a consumer connected", "consumer", u.Name, "err", err)
	}
	r := broker.Rights{Name: u.Name, Subscribe: []string{topics.ConsumersRead, topics.HomeAssistantRead}}
	if rights.May(role, rights.Run) {
		r.Publish = []string{topics.ConsumersDo}
	}
	return r, nil
}

// A grip is what a consumer was let in with.
type grip struct {
	key  string
	role store.Role // that it acts in
}

func gripOf(u store.MQTTUser) grip { return grip{string(u.KeyHash), u.Acts()} }

// admitted remembers what the connections of each consumer were let in with: of
// several, the first. There are as many as there are consumers.
type admitted struct {
	mu sync.Mutex
	m  map[string]grip
}

func (a *admitted) note(u store.MQTTUser, others bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.m == nil {
		a.m = map[string]grip{}
	}
	if _, known := a.m[u.Name]; !known || !others {
		a.m[u.Name] = gripOf(u)
	}
}

// fits reports whether a consumer was let in with what it has now.
func (a *admitted) fits(u store.MQTTUser) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.m[u.Name] == gripOf(u)
}

func (a *admitted) forget(name string) {
	a.mu.Lock()
	delete(a.m, name)
	a.mu.Unlock()
}

func (p *Plane) connectedAs(name string) bool {
	return slices.ContainsFunc(p.consumers.Connections(), func(c broker.Connection) bool { return c.Name == name })
}

// disconnect ends a consumer's connections. One that still has a credential may
// come back with it.
func (p *Plane) disconnect(name string) {
	p.admitted.forget(name)
	if n := p.consumers.Kick(name); n > 0 {
		p.log.Info("a consumer's rights changed; it was disconnected", "consumer", name, "connections", n)
	}
}

// watchConsumers ends connections whose credential was revoked or changed, or whose
// maker's rights were, here or by another process: the command line beside us. It also
// looks which credentials people should know of.
func (p *Plane) watchConsumers(ctx context.Context) error {
	look := time.NewTicker(p.timing.Consumer)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		if err := p.recheckConsumers(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("look whether connected consumers still may be", "err", err)
		}
		if err := p.credentials.look(ctx, p.Store); err != nil && ctx.Err() == nil {
			p.log.Error("look for credentials that end soon", "err", err)
		}
	}
}

func (p *Plane) recheckConsumers(ctx context.Context) error {
	names := map[string]bool{}
	for _, c := range p.consumers.Connections() {
		names[c.Name] = true
	}
	if len(names) == 0 {
		return nil
	}
	rows, err := p.Store.MQTTUsers(ctx)
	if err != nil {
		return err
	}
	for _, u := range rows {
		if names[u.Name] && p.admitted.fits(u) {
			delete(names, u.Name)
		}
	}
	for name := range names {
		p.disconnect(name)
	}
	return nil
}

// consumers is the public broker as web sees it.
type consumers struct{ p *Plane }

// Disconnect implements web.Consumers.
func (c consumers) Disconnect(name string) { c.p.disconnect(name) }

// Connected implements web.Consumers.
func (c consumers) Connected() []base.Connected {
	var out []base.Connected
	for _, x := range c.p.consumers.Connections() {
		out = append(out, base.Connected{Name: x.Name, ClientID: x.ClientID, Remote: x.Remote, Since: x.Since})
	}
	return out
}

// A wish is what a consumer asked for.
type wish struct {
	actor    string
	consumer string
	topic    topics.Topic
}

// do carries out a wish in the role that its consumer has now: it may have waited, and
// the connection it came by may be about to end.
func (p *Plane) do(ctx context.Context, w wish) error {
	u, err := p.Store.MQTTUser(ctx, w.consumer)
	if err != nil {
		return err
	}
	return p.Jobs.Do(ctx, jobs.Actor{Name: w.actor, Role: u.Acts()}, w.topic)
}

// wished takes a consumer's wish. It runs on the consumer's own goroutine in the
// broker; what does not fit into the queue is refused.
func (p *Plane) wished(m broker.Message) {
	t, err := topics.Parse(m.Topic)
	if err != nil || t.Kind != topics.KindDo || m.Retain {
		p.log.Warn("message of a consumer refused", "consumer", m.Name, "topic", m.Topic, "retained", m.Retain)
		return
	}
	select {
	case p.wishes <- wish{"mqtt:" + m.Name, m.Name, t}:
	default:
		p.Jobs.Aside(t.Host, protocol.AsideQueue)
		p.log.Warn("too many wishes at once; one was refused", "consumer", m.Name, "topic", m.Topic)
	}
}

func (p *Plane) grant(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-p.wishes:
			if err := p.do(ctx, w); err != nil {
				p.log.Warn("a consumer's wish was not carried out", "consumer", w.actor, "topic", w.topic.String(), "err", err)
			}
		}
	}
}
