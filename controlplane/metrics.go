package controlplane

import (
	"time"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/metrics"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
)

// metrics is the page for programs that watch; nil if nobody may read it.
func (p *Plane) metrics(c Config, now func() time.Time) (base.Metrics, error) {
	if !c.Metrics.Any() {
		return nil, nil
	}
	page, err := metrics.New(metrics.Config{
		Access: c.Metrics,
		Store:  p.Store,
		Fleet:  p.fleet,
		Live:   p.alerts.Live,
		Brokers: func() map[string]broker.Stats {
			return map[string]broker.Stats{"agents": p.agents.Stats(), "public": p.consumers.Stats()}
		},
		Inflow: p.Jobs.Inflow,
		Turns: func() map[string]time.Time {
			return map[string]time.Time{"jobs": p.Jobs.Turned(), "schedules": p.schedules.Turned(), "alerts": p.alerts.Turned(),
				"notifications": p.queue.Turned()}
		},
		Space: p.space.Status,
		Outbox: func() (list []metrics.Outlet) {
			for _, l := range p.box.Backlogs() {
				list = append(list, metrics.Outlet{Name: string(l.Outlet), Connected: l.Followed, Waiting: l.Messages, Oldest: l.Oldest})
			}
			return list
		},
		Uplink: func() metrics.Uplink {
			s := p.uplink.Status()
			return metrics.Uplink{On: s.On, Connected: s.Connected, Connects: s.Connects}
		},
		Version: Version,
		Log:     c.Log,
		Now:     now,
	})
	if err != nil {
		return nil, err
	}
	p.notices.Add(page.Notices)
	return page, nil
}
