package gather

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/endings"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// repositories puts together what is known of all repositories.
func (r *Reader) repositories(ctx context.Context, now time.Time, known *memory) ([]conditions.Repository, error) {
	waiting, err := r.Store.PlansWaiting(ctx)
	if err != nil {
		return nil, fmt.Errorf("plans that wait: %w", err)
	}
	held := map[topics.RepositoryID][]conditions.Held{}
	for _, w := range waiting {
		plans, err := r.Store.Reviews(ctx, w.Repository)
		if err != nil {
			return nil, err
		}
		for _, p := range plans {
			if p.ApprovedAt == 0 {
				held[w.Repository] = append(held[w.Repository], heldOf(p))
			}
		}
	}
	mirrors, err := r.mirrors(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]conditions.Repository, 0, len(known.repositories))
	for _, id := range slices.Sorted(maps.Keys(known.repositories)) {
		k := known.repositories[id]
		n := healthOf(k.facts, now)
		n.Held, n.Growth, n.GrowthAt = held[id], k.growth, k.growthAt
		n.Mirror = mirrors[id]
		upkeep(&n, known.rows, k.facts.Location)
		list = append(list, n)
	}
	return list, nil
}

// mirrors reads what the mirrors of repositories lack, and how the last copies ended.
func (r *Reader) mirrors(ctx context.Context) (map[topics.RepositoryID]*conditions.Mirror, error) {
	rows, err := r.Store.Mirrors(ctx)
	if err != nil {
		return nil, fmt.Errorf("mirrors: %w", err)
	}
	list := map[topics.RepositoryID]*conditions.Mirror{}
	for _, m := range rows {
		lag, err := r.Store.MirrorLag(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("mirror of %s: %w", m.Repository, err)
		}
		target, err := r.Store.Repository(ctx, m.Target)
		if err != nil {
			return nil, err
		}
		is := &conditions.Mirror{Name: target.Name, Lacks: lag.Snapshots}
		if lag.Snapshots > 0 { // what was there before counts from when the mirror was set
			is.Oldest = max(lag.Oldest, m.Since)
		}
		if j, err := r.Store.Job(ctx, m.Job); err == nil {
			told := bodyOf(j)
			is.Copy = &conditions.Run{Job: j.ID, State: j.State, Cause: j.Cause, At: j.FinishedAt, Why: told.Why, Do: told.Do, Brief: told.Brief,
				Retrying: m.Attempt > 0}
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		list[m.Repository] = is
	}
	return list, nil
}

// upkeep fills in how forget, prune and check ended last. What ended at places that the
// repository's address does not have any more does not count.
func upkeep(r *conditions.Repository, kept kept, location string) {
	kept = kept.at(string(r.ID), places.Shared(location))
	for kind, into := range map[endings.Kind]**conditions.Run{endings.Forget: &r.Forget, endings.Prune: &r.Prune, endings.Check: &r.Check} {
		if row := kept.of(string(r.ID), kind); row != nil {
			*into = upkeepOf(*row)
		}
	}
}

// at are the rows of a subject that are of the one place that all hosts share, or else those
// of places of their own.
func (k kept) at(subject string, shared bool) kept {
	rows := slices.DeleteFunc(slices.Clone(k[subject]), func(r endings.Row) bool { return (r.Place == "") != shared })
	return map[string][]endings.Row{subject: rows}
}

// upkeepOf is a run of maintenance. One that will be tried again by itself has not failed
// yet, unless that has gone on for hours.
func upkeepOf(row endings.Row) *conditions.Run {
	run := runOf(row)
	run.Since, run.Retrying = row.Since, row.Failed() && !row.GaveUp
	return &run
}

func heldOf(p store.Review) conditions.Held {
	h := conditions.Held{Since: p.HeldAt}
	if p.Plan.V == nil {
		return h
	}
	why := p.Plan.V.Unusual
	for _, g := range p.Plan.V.Held {
		h.Names = append(h.Names, g.Name)
		why = append(why, g.Reasons...)
	}
	if len(why) > 0 {
		h.Why = conditions.Sentence(why[0])
	}
	return h
}

// growth compares how much a repository grew on its last measured day with the days before.
// Days on which it was not measured share what it grew until the next; where it shrank it
// grew by nothing.
func growth(days []store.Day) (*conditions.Compared, int64) {
	const millis = 24 * 60 * 60 * 1000
	var each []float64
	for i := 1; i < len(days); i++ {
		more := float64(days[i].StoredBytes - days[i-1].StoredBytes)
		gap := max(days[i].Day-days[i-1].Day, 1)
		if days[i-1].StoredBytes <= 0 {
			continue // it was not measured then, or was empty
		}
		for range min(gap, conditions.Window) {
			each = append(each, max(more, 0)/float64(gap))
		}
	}
	if len(each) <= conditions.Least {
		return nil, 0
	}
	last := len(each) - 1
	c := conditions.Compare(each[last], each[max(0, last-conditions.Window):last])
	return &c, (days[len(days)-1].Day + 1) * millis
}

// healthOf is what is to be said of a repository in a transaction.
func healthOf(f looks.Facts, now time.Time) conditions.Repository {
	return conditions.Repository{ID: f.Repository, Name: f.Name, Said: health.All(f, now), Planted: f.ForeignSnapshots, Keys: f.ForeignKeys}
}
