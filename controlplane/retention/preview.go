package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// A Preview is what a forget would do now, by what the database knows, with warnings
// and notes.
type Preview struct {
	Repository store.Repository
	Keep       store.Keep
	Verdicts
	Plan     store.Plan
	Oddities []Oddity
	Warnings []string      // rules that contradict each other or the schedules
	Held     *store.Review // the plan that waits for approval, if there is one
}

// Look computes a preview, with the rules in keep instead of the repository's if keep
// is not nil. It returns ErrRules for invalid rules.
func Look(ctx context.Context, s *store.Store, id topics.RepositoryID, keep *store.Keep, now time.Time) (p Preview, err error) {
	if p.Repository, err = s.Repository(ctx, id); err != nil {
		return p, err
	}
	if p.Keep = KeepOf(p.Repository); keep != nil {
		p.Keep = *keep
	}
	if err := check(p.Keep, p.Repository.AppendOnly); err != nil {
		return p, err
	}
	list, err := s.PlannedSnapshots(ctx, id)
	if err != nil {
		return p, err
	}
	for i := range list { // the next forget lists the repository first; until then, trust what backups reported
		list[i].Seen = list[i].Seen || !list[i].Missing
	}
	if p.Verdicts, err = Plan(p.Keep, list, now); err != nil {
		return p, err
	}
	before, err := before(ctx, s, id, "")
	if err != nil {
		return p, err
	}
	p.Plan = PlanOf(p.Verdicts, before)
	keys, err := s.Keys(ctx, id)
	if err != nil {
		return p, err
	}
	p.Oddities = Oddities(p.Verdicts, keys)
	every, err := Interval(ctx, s, id, now)
	if err != nil {
		return p, err
	}
	p.Warnings = Contradictions(p.Keep, every)
	switch held, err := s.ReviewOf(ctx, id); {
	case err == nil:
		p.Held = &held
	case !errors.Is(err, store.ErrNotFound):
		return p, err
	}
	return p, nil
}

// ErrRules is the error that retention rules cannot be parsed, or are not allowed on
// this repository.
var ErrRules = errors.New("these rules cannot be")

// CheckRepository returns ErrRules if a repository's rules cannot be parsed, or are
// not allowed there.
func CheckRepository(r store.Repository) error { return check(KeepOf(r), r.AppendOnly) }

func check(k store.Keep, appendOnly bool) error {
	if err := Check(k, appendOnly); err != nil {
		return fmt.Errorf("%w: %w", ErrRules, err)
	}
	return nil
}

// KeepOf returns a repository's rules; the zero value keeps every snapshot.
func KeepOf(r store.Repository) store.Keep {
	if r.Keep.V == nil {
		return store.Keep{}
	}
	return *r.Keep.V
}

// before returns how many snapshots of each group the last completed forget removed, at
// the place of a host or at any.
func before(ctx context.Context, s *store.Store, id topics.RepositoryID, at topics.HostID) (map[topics.SourceGroupID]int, error) {
	last, err := s.LastRunAt(ctx, id, topics.ForgetJob, store.RunSucceeded, at)
	if errors.Is(err, store.ErrNotFound) || err == nil && last.Plan.V == nil {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return last.Plan.V.Groups, nil
}

// Decide returns the plan of a forget, after the repository was listed. With the hash
// of an approved plan it removes no more than that plan; if another plan is held by
// now, the approval is ignored. Where hosts have places of their own, it names what is at
// that of one host alone.
func Decide(ctx context.Context, s *store.Store, r store.Repository, at topics.HostID, approved string, now time.Time) (
	plan store.Plan, err error) {
	if err := Check(KeepOf(r), r.AppendOnly); err != nil {
		return store.Plan{Unusual: []string{"Its rules cannot be: " + err.Error() + "."}}, nil
	}
	list, err := s.PlannedAt(ctx, r.ID, at)
	if err != nil {
		return plan, err
	}
	v, err := Plan(KeepOf(r), list, now)
	if err != nil {
		return plan, err
	}
	if places.Shared(r.Location) {
		at = "" // whoever did it, it was there
	}
	last, err := before(ctx, s, r.ID, at)
	if err != nil {
		return plan, err
	}
	plan = PlanOf(v, last)
	if approved == "" {
		return plan, nil
	}
	review, err := s.ReviewNamed(ctx, r.ID, approved)
	if errors.Is(err, store.ErrNotFound) || err == nil && (review.Hash != approved || review.ApprovedAt == 0) {
		return plan, nil
	} else if err != nil {
		return plan, err
	}
	v.Remove = slices.DeleteFunc(v.Remove, func(s Verdict) bool { return !slices.Contains(review.Plan.V.Remove, s.ID) })
	plan = PlanOf(v, nil)
	plan.Unusual = nil
	return plan, nil
}

// Interval returns the shortest time that schedules plan between two backups into a
// repository, 0 without schedules.
func Interval(ctx context.Context, s *store.Store, id topics.RepositoryID, now time.Time) (shortest time.Duration, err error) {
	groups, err := s.SourceGroupsInto(ctx, id)
	if err != nil {
		return 0, err
	}
	into := map[topics.HostID][]topics.SourceGroupID{}
	for _, g := range groups {
		into[g.Host] = append(into[g.Host], g.ID)
	}
	for host, groups := range into {
		schedules, err := s.Schedules(ctx, host)
		if err != nil {
			return 0, err
		}
		for _, sc := range schedules {
			if !sc.Enabled || !slices.ContainsFunc(sc.Groups, func(g topics.SourceGroupID) bool { return slices.Contains(groups, g) }) {
				continue
			}
			policy, err := schedule.Of(sc)
			if err != nil {
				continue // reported by whoever runs the schedule
			}
			first := slots.Next(policy, now)
			second := slots.Next(policy, first)
			if gap := second.Sub(first); !first.IsZero() && !second.IsZero() && (shortest == 0 || gap < shortest) {
				shortest = gap
			}
		}
	}
	return shortest, nil
}
