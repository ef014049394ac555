// Package drills has hosts prove that what they saved can be restored: when somebody asks,
// and by plans of hosts and of tags.
package drills

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// Jitter spreads the hosts of a plan: each begins up to this much later, always by the
// same while.
const Jitter = time.Hour

// Jobs is what a service needs of the jobs engine.
type Jobs interface {
	Start(ctx context.Context, a jobs.Actor, r jobs.Request) (job store.Job, fresh bool, err error)
}

// A Service asks for drills, and changes the plans by which they are asked for.
type Service struct {
	Store   *store.Store
	Jobs    Jobs
	Online  func(topics.HostID) bool
	Changed func(...topics.HostID) // called after a commit; it must not block
	Log     *slog.Logger
	Now     func() time.Time
}

// Ask has a host prove its source groups in a repository, in every one that it has if the
// request names none: one job for each, in the order of the groups. It returns the jobs;
// fresh is false if the first was asked for already.
func (s *Service) Ask(ctx context.Context, a jobs.Actor, r jobs.Request) (all []store.Job, fresh bool, err error) {
	r.Kind = topics.DrillJob
	if err := a.Lacks(rights.Drill); err != nil {
		return nil, false, err
	}
	h, err := s.host(ctx, r.Host)
	if err != nil {
		return nil, false, err
	}
	want := topics.Drill{}
	if r.Operation.Drill != nil {
		want = *r.Operation.Drill
	}
	if !want.Full && (want.Files == 0 || want.Bytes == 0) {
		plan, _, err := s.Plan(ctx, h)
		if err != nil {
			return nil, false, err
		}
		want.Files, want.Bytes = cmp.Or(want.Files, plan.Files), cmp.Or(want.Bytes, plan.Bytes)
	}
	where := []topics.RepositoryID{r.Repository}
	if r.Repository == "" {
		groups, err := s.Store.SourceGroups(ctx, h.ID)
		if err != nil {
			return nil, false, err
		}
		if where = nil; len(groups) == 0 {
			return nil, false, jobs.ErrNoGroups
		}
		for _, g := range groups {
			if !slices.Contains(where, g.Repository) {
				where = append(where, g.Repository)
			}
		}
	}
	open, err := s.Store.OpenJobs(ctx, h.ID)
	if err != nil {
		return nil, false, err
	}
	for _, repository := range where {
		if i := slices.IndexFunc(open, func(j store.Job) bool { return same(j, repository, want) }); i >= 0 {
			all = append(all, open[i])
			continue
		}
		r.Repository, r.Operation.Drill = repository, new(want)
		j, added, err := s.Jobs.Start(ctx, a, r)
		if err != nil {
			return all, fresh, err
		}
		fresh = fresh || added && len(all) == 0
		all = append(all, j)
	}
	return all, fresh, nil
}

// same reports whether a job that has not ended proves the same, by whatever sample.
func same(j store.Job, repository topics.RepositoryID, want topics.Drill) bool {
	if j.Kind != topics.DrillJob || j.Repository != repository || j.CancelAsked || j.Operation.V == nil || j.Operation.V.Drill == nil {
		return false
	}
	is := *j.Operation.V.Drill
	return is.Files == want.Files && is.Bytes == want.Bytes && is.Full == want.Full && is.Target == want.Target && is.Keep == want.Keep &&
		(want.Seed == 0 || want.Seed == is.Seed)
}

func (s *Service) host(ctx context.Context, id topics.HostID) (store.Host, error) {
	h, err := s.Store.Host(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return h, jobs.ErrNoHost
	}
	return h, err
}

// Nearest returns the plan that counts for a host: its own, else that of the first of its
// tags that has one, else that of the fleet. said reports whether somebody said any.
func Nearest(h store.Host, plans []drills.Plan) (plan drills.Plan, said bool) {
	for _, p := range plans {
		if p.Kind == drills.OfHost && p.Subject == string(h.ID) {
			return p, true
		}
	}
	for _, tag := range h.Tags {
		for _, p := range plans {
			if p.Kind == drills.OfTag && p.Subject == tag {
				return p, true
			}
		}
	}
	for _, p := range plans {
		if p.Kind == drills.OfFleet {
			return p, true
		}
	}
	return drills.Usual(drills.OfHost, string(h.ID)), false
}

// Plan returns the plan that counts for a host.
func (s *Service) Plan(ctx context.Context, h store.Host) (plan drills.Plan, said bool, err error) {
	plans, err := s.Store.DrillPlans(ctx)
	plan, said = Nearest(h, plans)
	return plan, said, err
}

// An Input changes a plan; nil fields stay as they are, or are the usual.
type Input struct {
	Cron    *string // five fields, or a word such as @weekly
	Zone    *string // IANA's name
	Files   *int    // 1 to topics.MaxDrillFiles
	Bytes   *int64  // 1 to topics.MaxDrillBytes
	Enabled *bool   // off unless said
}

// Put changes the plan of a host, of a tag, or of the fleet. It returns [field.Errors] for what is not
// valid, and jobs.ErrNoHost.
func (s *Service) Put(ctx context.Context, by string, kind drills.Kind, subject string, in Input) (drills.Plan, error) {
	wrong := field.Errors{}
	switch kind {
	case drills.OfHost:
		if _, err := s.host(ctx, topics.HostID(subject)); err != nil {
			return drills.Plan{}, err
		}
	case drills.OfTag:
		var bad string
		if subject, bad = hosts.Tag(subject); bad == "" {
			var err error
			if bad, err = s.unused(ctx, subject); err != nil {
				return drills.Plan{}, err
			}
		}
		wrong.Say("tag", bad)
	case drills.OfFleet:
		subject = ""
	}
	plan, err := s.Store.PutDrillPlan(ctx, by, kind, subject, func(p *drills.Plan) error {
		if p.Cron == "" {
			*p = drills.Usual(kind, subject)
		}
		was := *p
		apply(&p.Cron, in.Cron)
		apply(&p.Zone, in.Zone)
		apply(&p.Files, in.Files)
		apply(&p.Bytes, in.Bytes)
		apply(&p.Enabled, in.Enabled)
		if p.Files < 1 || p.Files > topics.MaxDrillFiles {
			wrong.Say("files", "Choose between 1 and 5,000 files.")
		}
		if p.Bytes < 1 || p.Bytes > topics.MaxDrillBytes {
			wrong.Say("bytes", "Choose between 1 byte and 1 TiB, which is 1,048,576 MiB.")
		}
		if bad := (*slots.Invalid)(nil); true {
			if _, err := slots.Parse(p.Cron, p.Zone, Jitter, subject); errors.As(err, &bad) {
				wrong.Say(bad.Field, bad.Say)
			} else if err != nil {
				return err
			}
		}
		if p.Cron != was.Cron || p.Zone != was.Zone || p.Enabled != was.Enabled || p.Since == 0 {
			p.Since = s.Now().UnixMilli()
		}
		return wrong.Err()
	})
	if err == nil {
		s.changed(kind, subject)
	}
	return plan, err
}

// unused says what is wrong with a new plan of a tag: no host has it, so it would be nobody's.
// A plan that is there can be changed all the same.
func (s *Service) unused(ctx context.Context, tag string) (wrong string, err error) {
	there, err := s.Store.DrillPlans(ctx)
	if err != nil || slices.ContainsFunc(there, func(p drills.Plan) bool { return p.Kind == drills.OfTag && p.Subject == tag }) {
		return "", err
	}
	all, err := s.Store.Hosts(ctx)
	if err != nil {
		return "", err
	}
	var tags []string
	for _, h := range all {
		tags = append(tags, h.Tags...)
	}
	slices.Sort(tags)
	if tags = slices.Compact(tags); slices.Contains(tags, tag) {
		return "", nil
	}
	const most = 10
	others := "No host has any tag yet."
	if len(tags) > 0 {
		others = "Tags that hosts have: " + strings.Join(tags[:min(len(tags), most)], ", ")
		if len(tags) > most {
			others += fmt.Sprintf(" and %d more", len(tags)-most)
		}
		others += "."
	}
	return "No host has the tag " + tag + ". Give it to one on its page, or with restic-manager host tag HOST +" + tag + ". " + others, nil
}

func (s *Service) changed(kind drills.Kind, subject string) {
	switch {
	case s.Changed == nil:
	case kind == drills.OfHost:
		s.Changed(topics.HostID(subject))
	default:
		s.Changed()
	}
}

// ErrNoPlan says that there is no plan to take back.
var ErrNoPlan = errors.New("no drills were planned")

// Drop takes the plan of a host, of a tag, or of the fleet back. What is less near counts
// for their hosts then. It returns [ErrNoPlan] if there is none.
func (s *Service) Drop(ctx context.Context, by string, kind drills.Kind, subject string) error {
	if kind == drills.OfTag {
		subject, _ = hosts.Tag(subject)
	}
	err := s.Store.DropDrillPlan(ctx, by, kind, subject)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoPlan
	}
	if err == nil {
		s.changed(kind, subject)
	}
	return err
}

// Why says whose plan counts for a host, in a sentence.
func Why(h store.Host, p drills.Plan, said bool) string {
	switch {
	case !said:
		return "Nobody planned drills for this host, its tags or the fleet."
	case p.Kind == drills.OfTag:
		return "The plan of the tag " + p.Subject + " counts: this host has none of its own" +
			map[bool]string{true: ", and it is the first of its tags with one.", false: "."}[len(h.Tags) > 1]
	case p.Kind == drills.OfFleet:
		return "The plan of the fleet counts: neither this host nor one of its tags has one."
	}
	return "This host’s own plan counts, whatever its tags and the fleet have."
}

func apply[T any](into *T, from *T) {
	if from != nil {
		*into = *from
	}
}

// Next is when a host's next drill begins, by its plan; the zero time if there is none. None
// begins while the host is paused.
func Next(h store.Host, p drills.Plan, now time.Time) time.Time {
	if !p.Enabled {
		return time.Time{}
	}
	policy, err := slots.Parse(p.Cron, p.Zone, Jitter, string(h.ID))
	if err != nil {
		return time.Time{}
	}
	next := slots.NextBut(policy, now, h.AllPauses().Spans())
	if next.IsZero() {
		return next
	}
	return policy.Start(next)
}

// due is the latest slot of a host that was not begun, 0 if there is none. One that fell into
// a pause of the host is left out.
func due(h store.Host, p drills.Plan, served int64, now time.Time) int64 {
	if !p.Enabled {
		return 0
	}
	policy, err := slots.Parse(p.Cron, p.Zone, Jitter, string(h.ID))
	if err != nil {
		return 0
	}
	slot, n := slots.DueBut(policy, time.UnixMilli(max(p.Since, served)), now, h.AllPauses().Spans())
	if n == 0 {
		return 0
	}
	return slot.UnixMilli()
}
