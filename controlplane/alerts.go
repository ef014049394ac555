package controlplane

import (
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
)

// watch makes what finds out that somebody should be told of something, and who tells them.
func (p *Plane) watch(c Config, now func() time.Time) {
	p.alerts = &alerts.Service{
		Store:   p.Store,
		Changed: func() { p.bell.Ring("") },
		Now:     now,
		Log:     c.Log,
		Timing:  c.Timing.Alerts,
	}
	p.Store.OnJudge(p.alerts.JobEnded)
}
