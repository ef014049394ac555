package controlplane

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
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
	set, _, err := p.discovery.Get(ctx)
	if err != nil {
		return broker.Rights{}, fmt.Errorf("consumer %.60q: %w: %w", c.User, broker.ErrUnavailable, err)
	}
	p.admitted.note(u, set.Prefix, p.connectedAs(u.Name))
	if err := p.Store.SeenMQTTUser(ctx, u.Name); err != nil {
		p.log.Error("note that a consumer connected", "consumer", u.Name, "err", err)
	}
	r := broker.Rights{Name: u.Name, Subscribe: []string{topics.ConsumersRead, topics.HomeAssistantRead, set.Prefix + "/#"}}
	if rights.May(role, rights.Run) {
		r.Publish = []string{topics.ConsumersDo}
	}
	greets(&r, u, set.Prefix, c.Will)
	r.Visible, err = p.hears(ctx, u)
	if err != nil {
		return broker.Rights{}, fmt.Errorf("consumer %.60q: %w: %w", c.User, broker.ErrUnavailable, err)
	}
	return r, nil
}

// births are the topics where a Home Assistant says that it is there, or gone: unless told
// otherwise, below the usual prefix, whatever it is told of where to look for devices.
func births(prefix string) []string {
	return slices.Compact([]string{topics.HomeAssistantStatus, prefix + "/status"})
}

// greets lets a consumer say that it is there, and have the will that says it is gone:
// every Home Assistant does so unless told otherwise. Of one that has no right to be
// Home Assistant nobody hears it.
func greets(r *broker.Rights, u store.MQTTUser, prefix string, w *broker.Will) {
	births := births(prefix)
	if !u.HomeAssistant {
		r.Aside = births
		return
	}
	r.Publish, r.Retain = append(r.Publish, births...), births
	if w != nil && slices.Contains(births, w.Topic) {
		r.Will = w.Topic
	}
}

// A grip is what a consumer was let in with.
type grip struct {
	key       string
	role      store.Role // that it acts in
	assistant bool
	tags      string
	prefix    string // of Home Assistant's discovery
}

func gripOf(u store.MQTTUser, prefix string) grip {
	return grip{string(u.KeyHash), u.Acts(), u.HomeAssistant, strings.Join(u.Tags, " "), prefix}
}

// admitted remembers what the connections of each consumer were let in with: of
// several, the first. There are as many as there are consumers.
type admitted struct {
	mu sync.Mutex
	m  map[string]grip
}

func (a *admitted) note(u store.MQTTUser, prefix string, others bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.m == nil {
		a.m = map[string]grip{}
	}
	if _, known := a.m[u.Name]; !known || !others {
		a.m[u.Name] = gripOf(u, prefix)
	}
}

// fits reports whether a consumer was let in with what it has now.
func (a *admitted) fits(u store.MQTTUser, prefix string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.m[u.Name] == gripOf(u, prefix)
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

// credentialsLook is between two looks for credentials that people should know of.
const credentialsLook = 2 * time.Second

// watchConsumers ends connections whose credential was revoked or changed, or whose
// maker's rights were, here or by another process: the command line beside us. Those that
// were let in while Home Assistant's discovery had another prefix come back with rights to
// this one. It also looks which credentials people should know of.
func (p *Plane) watchConsumers(ctx context.Context) error {
	look := time.NewTicker(p.timing.Consumer)
	defer look.Stop()
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		if err := p.recheckConsumers(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("look whether connected consumers still may be", "err", err)
		}
		if err := p.rehear(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("look what consumers hear of", "err", err)
		}
		if time.Since(looked) < credentialsLook {
			continue
		}
		looked = time.Now()
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
	set, _, err := p.discovery.Get(ctx)
	if err != nil {
		return err
	}
	for _, u := range rows {
		if names[u.Name] && p.admitted.fits(u, set.Prefix) {
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
func (c consumers) Connected() []base.Connected { return connectedTo(c.p.consumers) }

// Agents implements web.Consumers.
func (c consumers) Agents() []base.Connected { return connectedTo(c.p.agents) }

func connectedTo(b *broker.Broker) (out []base.Connected) {
	for _, x := range b.Connections() {
		out = append(out, base.Connected{Name: x.Name, ClientID: x.ClientID, Remote: x.Remote, Since: x.Since,
			Transport: string(x.Transport), Version: x.Version, Subscriptions: x.Subscriptions, In: x.In, Out: x.Out,
			Dropped: x.Dropped, Denied: x.Denied, Beyond: x.Beyond, LostWill: x.LostWill})
	}
	return out
}

// Figures implements web.Consumers.
func (c consumers) Figures() (public, agents base.Figures) {
	return figuresOf(c.p.consumers.Stats()), figuresOf(c.p.agents.Stats())
}

func figuresOf(s broker.Stats) base.Figures {
	return base.Figures{Connected: s.Connected, Waiting: s.Waiting, Subscriptions: s.Subscriptions, Refused: s.Refused,
		Denied: s.Denied, Dropped: s.Dropped, In: s.In, Out: s.Out, BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		Retained: s.Retained, RetainedBytes: s.RetainedBytes}
}
