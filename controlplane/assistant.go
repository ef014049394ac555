package controlplane

import (
	"context"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/discovery"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// assist makes what tells Home Assistant which hosts and repositories there are.
func (p *Plane) assist(now func() time.Time) {
	p.discovery = &discovery.Service{
		Store:    p.Store,
		Fleet:    p.fleet,
		Box:      p.box,
		Dialects: p.box.Dialects,
		Public:   p.alerts.PublicURL,
		Prefix: func(ctx context.Context, o outbox.Outlet) string {
			if o == outbox.Uplink {
				return p.uplink.Prefix(ctx)
			}
			return ""
		},
		Reach:   p.reachOf,
		Version: Version,
		Log:     p.log,
		Now:     now,
		Timing:  p.timing.Discovery,
	}
	p.box.OnDialects(p.discovery.Stir)
	p.uplink.OnBirth(func() { p.discovery.Born(outbox.Uplink, "") })
	p.uplink.Usual = func() string {
		ctx, end := context.WithTimeout(context.Background(), 5*time.Second)
		defer end()
		set, _, err := p.discovery.Get(ctx)
		if err != nil {
			p.log.Error("read the prefix of Home Assistant", "err", err)
		}
		return set.Prefix
	}
}

// reachOf is what Home Assistants at a broker hear of and may ask for. At the user's own broker
// its accounts decide about that, which are not known here.
func (p *Plane) reachOf(ctx context.Context, o outbox.Outlet) (discovery.Reach, error) {
	if o != outbox.Public {
		return discovery.Everything, nil
	}
	list, err := p.Store.MQTTUsers(ctx)
	if err != nil {
		return discovery.Reach{}, err
	}
	if slices.ContainsFunc(list, isAssistant) {
		list = slices.DeleteFunc(list, func(u store.MQTTUser) bool { return !isAssistant(u) })
	}
	mayDo := func(u store.MQTTUser) bool { return rights.May(u.Acts(), rights.Run) }
	return discovery.Reach{All: !slices.ContainsFunc(list, func(u store.MQTTUser) bool { return isAssistant(u) && len(u.Tags) > 0 }),
		Commands: len(list) == 0 || slices.ContainsFunc(list, mayDo)}, nil
}

func isAssistant(u store.MQTTUser) bool { return u.HomeAssistant }

// greeted takes what a Home Assistant says of itself at the public broker.
func (p *Plane) greeted(m broker.Message) {
	if string(m.Payload) == topics.Online {
		p.discovery.Born(outbox.Public, m.Name)
	}
}
