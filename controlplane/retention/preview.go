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
	return LookIf(ctx, s, id, keep, now, nil)
}

// LookIf computes a preview as [Look] does, of snapshots as change has them, which gets one
// after the other; nil changes none.
func LookIf(ctx context.Context, s *store.Store, id topics.RepositoryID, keep *store.Keep, now time.Time, change func(*store.Planned)) (
	p Preview, err error) {
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
		if change != nil {
			change(&list[i])
		}
	}
	past, err := pastOf(ctx, s, id, "")
	if err != nil {
		return p, err
	}
	if p.Verdicts, err = Plan(p.Keep, list, past, now); err != nil {
		return p, err
	}
	p.Plan = PlanOf(&p.Verdicts, past, now)
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

// pastOf reads what is known of a repository's source groups besides its snapshots: what
// the last plan removed at the place of a host, or at any.
func pastOf(ctx context.Context, s *store.Store, id topics.RepositoryID, at topics.HostID) (p Past, err error) {
	if p.Measures, err = s.Measures(ctx, id); err != nil {
		return p, err
	}
	if p.Before, err = before(ctx, s, id, at); err != nil {
		return p, err
	}
	held, err := s.Reviews(ctx, id)
	for _, r := range held {
		if r.Plan.V != nil && r.ApprovedAt == 0 {
			p.Holds = append(p.Holds, r.Plan.V.Held...)
		}
	}
	return p, err
}

// before returns how many snapshots of each group the last forget removed that did not
// fail, at the place of a host or at any; one that held some groups removed those of the
// others.
func before(ctx context.Context, s *store.Store, id topics.RepositoryID, at topics.HostID) (map[topics.SourceGroupID]int, error) {
	var last store.MaintenanceRun
	for _, outcome := range []store.RunOutcome{store.RunSucceeded, store.RunHeld} {
		switch r, err := s.LastRunAt(ctx, id, topics.ForgetJob, outcome, at); {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return nil, err
		case r.CreatedAt >= last.CreatedAt && (outcome == store.RunSucceeded || r.Removed > 0):
			last = r
		}
	}
	if last.Plan.V == nil {
		return nil, nil
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
	where := at
	if places.Shared(r.Location) {
		where = "" // whoever did it, it was there
	}
	past, err := pastOf(ctx, s, r.ID, where)
	if err != nil {
		return plan, err
	}
	v, err := Plan(KeepOf(r), list, past, now)
	if err != nil {
		return plan, err
	}
	defer func() { plan.Rules = r.Rules() }()
	if approved == "" {
		return PlanOf(&v, past, now), nil
	}
	review, err := s.ReviewNamed(ctx, r.ID, approved)
	if errors.Is(err, store.ErrNotFound) || err == nil && (review.Hash != approved || review.ApprovedAt == 0) {
		return PlanOf(&v, past, now), nil
	} else if err != nil {
		return plan, err
	}
	v.Remove = slices.DeleteFunc(v.Remove, func(s Verdict) bool { return !slices.Contains(review.Plan.V.Remove, s.ID) })
	plan = planOf(&v, nil)
	plan.Largest = largest(v.Remove, past)
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
