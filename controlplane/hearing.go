package controlplane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/audience"
	"github.com/restic-manager/restic-manager/store"
	rows "github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// hearing is what decides of which topics consumers hear. It is looked after once a
// consumer was let in that does not hear of all hosts.
type hearing struct {
	facts  atomic.Pointer[audience.Facts]
	needed atomic.Bool
	mu     sync.Mutex // held by whoever replaces the facts
}

// hears is what a consumer hears of, for as long as it is connected: its own row does not
// change in that time, the facts about hosts do.
func (p *Plane) hears(ctx context.Context, u store.MQTTUser) (func(topic string) bool, error) {
	if len(u.Tags) > 0 {
		p.hearing.mu.Lock()
		defer p.hearing.mu.Unlock()
		p.hearing.needed.Store(true)
		if p.hearing.facts.Load() == nil {
			first, err := p.firstFacts(ctx)
			if err != nil {
				return nil, err
			}
			p.hearing.facts.Store(first)
		}
	}
	return func(topic string) bool { return p.hearing.facts.Load().Hears(u, topic) }, nil
}

// firstFacts has in it what went before the start, too.
func (p *Plane) firstFacts(ctx context.Context) (*audience.Facts, error) {
	gone, err := p.Store.RemovedTags(ctx)
	if err != nil {
		return nil, err
	}
	ended, err := p.alerts.List(ctx, alerts.Filter{State: rows.Ended, Most: mostCleared})
	if err != nil {
		return nil, err
	}
	over := map[topics.AlertID]topics.HostID{}
	for _, a := range ended.Alerts {
		over[topics.AlertID(a.ID)] = a.Host
	}
	return p.nextFacts(ctx, (*audience.Facts)(nil).Next(gone, over, time.Now()))
}

func (p *Plane) nextFacts(ctx context.Context, last *audience.Facts) (*audience.Facts, error) {
	m, err := p.fleet.Now(ctx)
	if err != nil {
		return nil, err
	}
	live, err := p.alerts.Live(ctx)
	if err != nil {
		return nil, err
	}
	hosts, open := make(map[topics.HostID][]string, m.Len()), make(map[topics.AlertID]topics.HostID, len(live))
	for _, h := range m.ByName() {
		hosts[h.ID] = h.Tags
	}
	for _, a := range live {
		open[topics.AlertID(a.ID)] = a.Host
	}
	return last.Next(hosts, open, time.Now()), nil
}

// rehear looks whether consumers hear of other hosts and alerts now. Those that are
// connected are told what they hear of now and did not before, and that what they do not
// hear of any more is empty.
func (p *Plane) rehear(ctx context.Context) error {
	if !p.hearing.needed.Load() {
		return nil
	}
	p.hearing.mu.Lock()
	was := p.hearing.facts.Load()
	now, err := p.nextFacts(ctx, was)
	if err != nil || now.Same(was) {
		p.hearing.mu.Unlock()
		return err
	}
	p.hearing.facts.Store(now)
	p.hearing.mu.Unlock()
	users, err := p.Store.MQTTUsers(ctx)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, u := range users {
		if len(u.Tags) > 0 && p.connectedAs(u.Name) {
			all.Go(func() {
				p.consumers.Reconsider(u.Name, func(topic string) bool { return was.Hears(u, topic) },
					func(topic string) bool { return now.Hears(u, topic) })
			})
		}
	}
	all.Wait() // a client that does not read holds it up for the write deadline at most
	return nil
}
