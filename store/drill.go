package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// DrillPlans lists when restores are tried.
func (s *Store) DrillPlans(ctx context.Context) ([]drills.Plan, error) {
	rows, err := drills.Plans(ctx, s.r)
	return rows, ours(err)
}

// PutDrillPlan changes a plan: edit gets the current one, with an empty cron line if there
// is none.
func (s *Store) PutDrillPlan(ctx context.Context, actor string, kind drills.Kind, subject string,
	edit func(*drills.Plan) error) (plan drills.Plan, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if plan, err = drills.PlanOf(ctx, tx, kind, subject); err != nil {
			return err
		}
		if err := edit(&plan); err != nil {
			return err
		}
		if err := drills.PutPlan(ctx, tx, plan); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "drill.saved", subject, plan.String())
	})
	return plan, err
}

// beginDrills gives a new host the usual plan, unless that of the fleet counts for it.
func (s *Store) beginDrills(ctx context.Context, tx *sqlx.Tx, actor string, h Host) error {
	plan, fresh, err := drills.Begin(ctx, tx, h.ID, h.CreatedAt)
	if err != nil || !fresh {
		return err
	}
	return s.audit(ctx, tx, actor, "drill.saved", string(h.ID), plan.String())
}

// DropDrillPlan takes a plan back: what is less near counts then. It returns ErrNotFound
// if there is none.
func (s *Store) DropDrillPlan(ctx context.Context, actor string, kind drills.Kind, subject string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		there, err := drills.DropPlan(ctx, tx, kind, subject)
		if err == nil && !there {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "drill.removed", subject, "the plan of the "+string(kind))
	})
}

// ServedDrills are the latest slots of hosts that were begun; PutServedDrill notes one.
func (s *Store) ServedDrills(ctx context.Context) (map[topics.HostID]int64, error) {
	out, err := drills.Served(ctx, s.r)
	return out, ours(err)
}

// PutServedDrill notes that a host's slot was begun.
func (s *Store) PutServedDrill(ctx context.Context, host topics.HostID, slot int64) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return drills.PutServed(ctx, tx, host, slot) })
}

// DrillVerdicts lists what the last drills of a host's groups came to; of all hosts for "".
func (s *Store) DrillVerdicts(ctx context.Context, host topics.HostID) ([]drills.Verdict, error) {
	rows, err := drills.Verdicts(ctx, s.r, host)
	return rows, ours(err)
}

// DrillOf returns what a job of kind drill is to prove, with the snapshots there are now.
func (s *Store) DrillOf(ctx context.Context, j Job) (*topics.Drill, error) {
	d := topics.Drill{}
	if j.Operation.V != nil && j.Operation.V.Drill != nil {
		d = *j.Operation.V.Drill
	}
	var err error
	d.Groups, err = drills.Groups(ctx, s.r, j.Host, j.Repository, d.Seed)
	return &d, ours(err)
}
