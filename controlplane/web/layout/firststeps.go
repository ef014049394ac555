package layout

import (
	"context"
	"strconv"

	"github.com/restic-manager/restic-manager/controlplane/firststeps"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/views"
)

// Road is how far the first steps are at a moment.
func (s *Page) Road(ctx context.Context, m *fleet.Moment) (firststeps.Road, firststeps.Facts, error) {
	f, err := s.RoadFacts(ctx, m)
	return firststeps.Of(f), f, err
}

// RoadFacts is what they are judged by.
func (s *Page) RoadFacts(ctx context.Context, m *fleet.Moment) (f firststeps.Facts, err error) {
	if f.Facts, err = s.Store.FirstSteps().Facts(ctx); err != nil {
		return f, err
	}
	if f.Address, err = s.Reach.Of(ctx); err != nil {
		return f, err
	}
	if f.Looks, err = s.Reach.Looked(ctx); err != nil {
		return f, err
	}
	f.Pages, f.Hosts = s.Alerts.PublicURL(ctx), m.ByName()
	return f, nil
}

// strip is the next of the first steps as other pages show it, nil if there is nothing to
// say, or nobody to say it to. That they are over is remembered, so that a fleet that is
// looked after costs no query for it; hosts that come and go are looked at again.
func (s *Page) strip(ctx context.Context, v *session.Visitor, m *fleet.Moment) *views.RoadStrip {
	if !v.May(rights.Hosts) || m.Len() > 0 && s.Walked.Load() {
		return nil
	}
	road, _, err := s.Road(ctx, m)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Error("reading how far the first steps are failed", "err", err)
		}
		return nil
	}
	over := road.Over()
	s.Walked.Store(over)
	if over {
		return nil
	}
	next := road.Next()
	return &views.RoadStrip{Done: strconv.Itoa(road.Done), Of: strconv.Itoa(len(road.Steps)), Next: views.StepTitle(string(next.Key)),
		Say: next.Say, Works: next.State == firststeps.Works, Failed: next.State == firststeps.Failed}
}
