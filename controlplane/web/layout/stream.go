package layout

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// pollOf returns how often a view refreshes even if no change was announced.
func (s *Page) pollOf(view string) time.Duration {
	if view == "enrol" || view == "mqtt" {
		return s.Timing.Poll // a source group is saved, and messages go by, without a bell
	}
	return s.Timing.Beat
}

// A Painter draws a page of this server's: all of a drawing is of one moment.
type Painter struct {
	*live.Painter
	Moment *fleet.Moment // how the fleet is for this drawing
	shell  shellFacts    // as they were drawn last
}

// A Draw draws a page again after some hosts rang; all of it if the painter says so.
type Draw func(ctx context.Context, p *Painter, rang map[topics.HostID]bool) error

// Open begins the answer of a view's stream.
func (s *Page) Open(w http.ResponseWriter, view string) *live.Tab {
	return live.Open(w, live.Timing{Gap: s.Timing.Gap, Beat: s.Timing.Beat, Poll: s.pollOf(view), Write: s.Timing.Write}, s.Now)
}

// Parting says to the browser why a stream has ended, if its visitor may not listen
// any more, and returns the error with which it ended.
func Parting(ctx context.Context, t *live.Tab, err error) error {
	if errors.Is(context.Cause(ctx), base.ErrOut) {
		return errors.Join(err, t.Out())
	}
	return err
}

// Drawing is a page's draw with what surrounds every page.
func (s *Page) Drawing(r *http.Request, d Draw) live.Draw {
	own := &Painter{}
	return func(ctx context.Context, p *live.Painter, rang map[topics.HostID]bool) (err error) {
		own.Painter = p
		if own.Moment, err = s.Fleet.Now(ctx); err != nil {
			return err
		}
		if err := d(ctx, own, rang); err != nil {
			return err
		}
		s.PaintShell(own, r)
		return nil
	}
}

// shellFacts are what paintShell draws.
type shellFacts struct {
	hosts, connected, running int
	alerts                    int
	critical, up, drawn       bool
	banners                   string // all they say
	road                      string // what the first steps say
}

// PaintShell draws what changes around every page.
func (s *Page) PaintShell(p *Painter, r *http.Request) {
	v := session.Of(r.Context())
	m := p.Moment
	sh := views.Shell{Now: s.Now(), Version: s.Version}
	s.around(r.Context(), &sh, v, m)
	facts := shellFacts{hosts: m.Len(), connected: m.Online, running: m.Running, alerts: sh.Alerts, critical: sh.AlertsCritical,
		up: sh.BrokerUp, drawn: true, banners: fmt.Sprint(sh.Banners)}
	if sh.Road != nil {
		facts.road = fmt.Sprint(*sh.Road)
	}
	if facts == p.shell {
		return
	}
	p.shell = facts
	p.Morph("side-foot", views.Foot(sh))
	p.Morph("plane-notices", views.Banners(sh))
	p.Morph("first-steps-strip", views.Road(sh))
	p.Morph("nav-jobs", views.NavJobs(sh))
	p.Morph("nav-hosts", views.NavHosts(sh))
	p.Morph("nav-alerts", views.NavAlerts(sh))
	p.Morph("tab-alerts", views.TabAlerts(sh))
	p.Morph("fleet-alerts", views.FleetAlerts(sh))
}
