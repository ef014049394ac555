package controlplane

import (
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/alerts/delivery"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/zone"
)

// tell makes what tells people of alerts.
func (p *Plane) tell(c Config, now func() time.Time) {
	p.channels = &channels.Service{Store: p.Store, Now: now, PublicURL: p.alerts.PublicURL, Zone: zone.OfServer(), Changed: func() {
		p.bell.Ring("")
		p.queue.Stir()
	}}
	figures := &delivery.Summary{Store: p.Store, Fleet: p.fleet, Said: alerts.Said, PublicURL: p.alerts.PublicURL}
	p.queue = &delivery.Queue{
		Store:     p.Store,
		Send:      p.channels.Tell,
		Said:      alerts.Said,
		PublicURL: p.alerts.PublicURL,
		Summary:   figures.Of,
		Changed: func() {
			p.bell.Ring("")
			p.alerts.Stir() // a channel may fail now, or work again
		},
		Now:    now,
		Log:    c.Log,
		Timing: c.Timing.Delivery,
	}
	p.alerts.Note = p.queue.Note
}

// Alerts are what somebody should be told of.
func (p *Plane) Alerts() *alerts.Service { return p.alerts }
