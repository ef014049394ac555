package drills

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
)

// Tick is how often it is looked for drills that are due.
const Tick = 30 * time.Second

// Run asks for the drills that are due until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(Tick)
	defer tick.Stop()
	for {
		if err := s.Due(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("looking for drills that are due failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Due asks for the drills that are due. One whose host is away waits for it, and only the
// latest slot counts then. A host that is paused, or all of whose schedules are, proves nothing.
func (s *Service) Due(ctx context.Context) error {
	plans, err := s.Store.DrillPlans(ctx)
	if err != nil || len(plans) == 0 {
		return err
	}
	served, err := s.Store.ServedDrills(ctx)
	if err != nil {
		return err
	}
	all, err := s.Store.Hosts(ctx)
	if err != nil {
		return err
	}
	for _, h := range all {
		plan, _ := Nearest(h, plans)
		slot := due(h, plan, max(served[h.ID], h.CreatedAt), s.Now())
		if slot == 0 || h.RevokedAt > 0 || h.RetiredAt > 0 || !s.Online(h.ID) {
			continue
		}
		if paused, err := s.paused(ctx, h); err != nil {
			return err
		} else if paused {
			continue
		}
		asked, _, err := s.Ask(ctx, jobs.Actor{Name: store.Plane, Role: store.Admin}, jobs.Request{Host: h.ID})
		if errors.Is(err, jobs.ErrQueueFull) && len(asked) == 0 { // it passes, and the slot is not served by it
			s.Log.Debug("a drill that is due waits for room in its host's queue", "host", h.ID)
			continue
		}
		if err != nil {
			s.Log.Warn("a drill that was due cannot be asked for", "host", h.ID, "err", err)
		} else {
			s.Log.Info("a drill is due", "host", h.ID, "jobs", len(asked))
		}
		if err := s.Store.PutServedDrill(ctx, h.ID, slot); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) paused(ctx context.Context, h store.Host) (bool, error) {
	if _, paused := h.Paused(s.Now().UnixMilli()); paused {
		return true, nil
	}
	rows, err := s.Store.Schedules(ctx, h.ID)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	for _, r := range rows {
		if r.Enabled {
			return false, nil
		}
	}
	return true, nil
}
