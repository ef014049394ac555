package controlplane

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/asking"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/topics"
)

// openBox reads what is said to brokers that others listen to.
func (p *Plane) openBox(ctx context.Context, now func() time.Time, public bool) (err error) {
	p.box, err = outbox.New(ctx, outbox.Config{Rows: p.Store.Outbox(), Log: p.log, Timing: p.timing.Outbox, Now: now})
	if err != nil || !public {
		return err
	}
	return p.box.Open(ctx, outbox.Dialect{Outlet: outbox.Public, Root: topics.Root, Command: func(h topics.HostID, a topics.Action) string {
		return topics.Topic{Kind: topics.KindDo, Host: h, Action: a}.String()
	}})
}

// openUplink reads how a broker of the user's own is reached, if there is one.
func (p *Plane) openUplink(ctx context.Context, c Config) error {
	p.uplink = &uplink.Service{Store: p.Store, Source: p.box, Flags: c.Uplink, Log: c.Log, Now: time.Now, Timing: c.Timing.Uplink,
		Changed: func() { p.decided() }, Do: func(ctx context.Context, w uplink.Wish) error {
			_, err := p.asking.Ask(ctx, asking.Wish{Consumer: cmp.Or(w.Consumer, asking.External), Outlet: outbox.Uplink,
				Below: w.Below, Payload: w.Payload, Retained: w.Retained, Again: w.Again, Excess: w.Excess})
			return err
		}}
	p.notices.Add(p.uplink.Notices)
	return p.uplink.Open(ctx)
}

// toConsumers gives the embedded public broker what there is to say, until ctx ends. A message
// that it refuses is not worth more than a line in the log: it would refuse it again.
func (p *Plane) toConsumers(ctx context.Context) error {
	return p.box.Follow(ctx, outbox.Public, outbox.Link{
		Send: func(_ context.Context, topic string, payload []byte, qos byte, retain bool) error {
			err := p.publish(topic, payload, qos, retain)
			if err != nil && !errors.Is(err, broker.ErrClosed) {
				p.log.Error("the public broker refused what it was to say", "topic", topic, "err", err)
				return nil
			}
			return err
		},
		Heard: func() bool { // whoever has only connected hears nothing yet
			return slices.ContainsFunc(p.consumers.Connections(), func(c broker.Connection) bool { return c.Subscriptions > 0 })
		},
	})
}

// settle lets brokers that are connected take what was said in parting.
func (p *Plane) settle(ctx context.Context) {
	limit, end := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer end()
	p.box.Settle(limit)
}
