package controlplane

import (
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/gather"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	rows "github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// watch makes what finds out that somebody should be told of something, and who tells them.
// stopped is when the control plane was last known to work before.
func (p *Plane) watch(c Config, now func() time.Time, stopped int64) {
	facts := &gather.Reader{Store: p.Store, Fleet: p.fleet, Presence: p.presence, Notices: p.notices, Now: now, Stopped: stopped}
	p.alerts = &alerts.Service{
		Store:  p.Store,
		Facts:  facts.Facts,
		Ended:  facts.Ended,
		Unsure: p.unsure(now),
		Changed: func() {
			p.bell.Ring("")
			p.publisher.AlertsChanged()
			p.queue.Stir()
		},
		PublicFlag: c.PublicURL,
		Now:        now,
		Log:        c.Log,
		Timing:     c.Timing.Alerts,
	}
	p.Store.OnJudge(p.alerts.JobEnded)
	p.tell(c, now)
}

// away is how long a host may be away until what it said last does not count any more.
const away = 7 * 24 * time.Hour

// unsure reports that nobody can say now whether a condition of a host holds: whether it is
// connected is not known yet, as the control plane has just started; or only its agent can
// say, which is away.
func (p *Plane) unsure(now func() time.Time) func(rows.Key) bool {
	return func(k rows.Key) bool {
		if k.Condition == string(conditions.PlaneClock) {
			return p.presence.Online() < conditions.FewClocks
		}
		if k.On != rows.OnHost {
			return false
		}
		switch conditions.Name(k.Condition) {
		case conditions.HostOffline:
			c, _ := p.presence.Connection(topics.HostID(k.Subject))
			return c == hosts.Unknown
		case conditions.HostDisk, conditions.ClockOff:
			c, seen := p.presence.Connection(topics.HostID(k.Subject))
			return c == hosts.Unknown || c == hosts.Offline && now().Sub(seen) < away
		}
		return false
	}
}
