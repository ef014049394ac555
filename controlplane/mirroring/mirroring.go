// Package mirroring has repositories copied into others, their mirrors, on schedule: by one
// host that has both. How far it came is in the database, so a control plane that was
// stopped goes on where it was, and what it missed is caught up with once.
package mirroring

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
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/mirrors"
	"github.com/restic-manager/restic-manager/topics"
)

// UsualCron is when a mirror is copied for which nobody said when: after the night's backups.
const UsualCron = "0 6 * * *"

// ErrNone is the error that a repository has no mirror.
var ErrNone = errors.New("the repository has no mirror")

// Timing holds the durations of this package.
type Timing struct {
	Tick     time.Duration // how often due copies are looked for
	RetryMax int           // how often a copy is tried again after a failure that passes
}

// DefaultTiming is what production uses.
func DefaultTiming() Timing { return Timing{Tick: 15 * time.Second, RetryMax: 8} }

// Jobs is what a service needs of the jobs engine.
type Jobs interface {
	AskAt(ctx context.Context, actor string, o jobs.Order) (job store.Job, fresh bool, err error)
	CopySelection(ctx context.Context, host topics.HostID, repository topics.RepositoryID, o topics.Operation) (topics.Operation, error)
	Permit(ctx context.Context, o jobs.Order) error
}

// A Service keeps mirrors. Run does what is due; the other methods may be called from any
// goroutine.
type Service struct {
	Store   *store.Store
	Jobs    Jobs
	Online  func(topics.HostID) bool // whether commands can reach a host
	Changed func(...topics.HostID)   // is told whom something that was decided is about; must not block
	Log     *slog.Logger
	Timing  Timing
	Now     func() time.Time // its zone is what a mirror has for which nobody said one
}

// Input sets a mirror; nil fields stay as they are, or as is usual.
type Input struct {
	To   *string // ID or name of the second repository
	Host *string // ID or name of who copies; "" is the keeper of To, and so is nil for another To than before
	Cron *string
	Zone *string // IANA's name
}

// Put has a repository copied into another. For input that does not fit it returns
// field.Errors.
func (s *Service) Put(ctx context.Context, by string, repository topics.RepositoryID, in Input) error {
	if _, err := repositories.Find(ctx, s.Store, repository); err != nil {
		return err
	}
	m, err := s.Store.Mirror(ctx, repository)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	m.Repository = repository
	wrong := field.Errors{}
	if err := s.target(ctx, &m, in, wrong); err != nil {
		return err
	}
	if err := s.host(ctx, &m, in, wrong); err != nil {
		return err
	}
	m.Cron, m.Zone = cmp.Or(m.Cron, UsualCron), cmp.Or(m.Zone, zoneOf(s.Now()))
	if in.Cron != nil {
		m.Cron = field.Clean(*in.Cron)
	}
	if in.Zone != nil {
		m.Zone = field.Clean(*in.Zone)
	}
	var bad *slots.Invalid
	if _, err := slots.Parse(m.Cron, m.Zone, 0, ""); errors.As(err, &bad) {
		wrong.Say(bad.Field, bad.Say+" "+bad.Do)
	} else if err != nil {
		return err
	}
	if len(wrong) == 0 {
		if err := s.refuses(ctx, m, wrong); err != nil {
			return err
		}
	}
	if err := wrong.Err(); err != nil {
		return err
	}
	if err := s.Store.PutMirror(ctx, by, m); err != nil {
		return err
	}
	s.Changed(m.Host)
	return nil
}

func zoneOf(now time.Time) string {
	if name := now.Location().String(); name != "Local" && name != "" {
		return name
	}
	return "UTC"
}

func (s *Service) target(ctx context.Context, m *store.Mirror, in Input, wrong field.Errors) error {
	if in.To != nil {
		rows, err := s.Store.Repositories(ctx)
		if err != nil {
			return err
		}
		named := field.Clean(*in.To)
		i := slices.IndexFunc(rows, func(r store.Repository) bool { return string(r.ID) == named || r.Name == named })
		if i < 0 {
			wrong.Say("to", "There is no such repository. Name one that is registered here, by its name or ID.")
			return nil
		}
		if m.Target != rows[i].ID {
			m.Host = "" // its own keeper, unless somebody is named
		}
		m.Target = rows[i].ID
	}
	if m.Target == "" {
		wrong.Say("to", "Say which repository the snapshots are to be copied to.")
		return nil
	}
	t, err := repositories.Find(ctx, s.Store, m.Target)
	if err != nil {
		return err
	}
	switch {
	case m.Target == m.Repository:
		wrong.Say("to", "A repository is no mirror of itself. Choose another.")
	case location.PerHost(t.Location):
		wrong.Say("to", "The address of "+t.Name+" has {host}: it is one for each host. Choose a repository that is the same for all.")
	}
	return nil
}

func (s *Service) host(ctx context.Context, m *store.Mirror, in Input, wrong field.Errors) error {
	if in.Host != nil {
		m.Host = ""
	}
	if in.Host != nil && field.Clean(*in.Host) != "" {
		rows, err := s.Store.Hosts(ctx)
		if err != nil {
			return err
		}
		named := field.Clean(*in.Host)
		i := slices.IndexFunc(rows, func(h store.Host) bool { return string(h.ID) == named || h.Name == named })
		if i < 0 {
			wrong.Say("host", "There is no such host.")
			return nil
		}
		m.Host = rows[i].ID
	}
	if m.Host == "" && m.Target != "" {
		t, err := repositories.Find(ctx, s.Store, m.Target)
		if err != nil {
			return err
		}
		if m.Host = t.Keeper; m.Host == "" {
			wrong.Say("host", t.Name+" has no keeper. Say which host copies: it has to have both repositories.")
		}
	}
	return nil
}

// refuses says why a host cannot copy, at each place where there is something to copy.
func (s *Service) refuses(ctx context.Context, m store.Mirror, wrong field.Errors) error {
	at, err := s.places(ctx, m)
	if err != nil {
		return err
	}
	if len(at) == 0 { // nothing is there yet
		at = []topics.HostID{""}
	}
	for _, place := range at {
		o := jobs.Order{Host: m.Host, Kind: topics.CopyJob, Repository: m.Repository, Operation: topics.Operation{To: string(m.Target)}}
		if place != m.Host {
			o.Place = place
		}
		if err := s.Jobs.Permit(ctx, o); err != nil {
			name := "host"
			if errors.As(err, new(*jobs.SharedError)) {
				name = "to"
			}
			wrong.Say(name, why(err))
			return nil
		}
	}
	return nil
}

// why says in sentences why a copy is not asked for.
func why(err error) string {
	var giving *jobs.GivingError
	var shared *jobs.SharedError
	switch {
	case errors.As(err, &shared):
		return strings.ToUpper(shared.Error()[:1]) + shared.Error()[1:]
	case errors.As(err, &giving):
		return fmt.Sprintf("%s does not have the repository %s. Make it that one's keeper, or have it back up into it; or choose one that has "+
			"both.", giving.Name, giving.Where())
	}
	if refusal := (*permits.Refusal)(nil); errors.As(err, &refusal) {
		return refusal.Words() + " " + refusal.Do() + " " + refusal.Command
	}
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// Drop has a repository not copied any more. What was copied stays.
func (s *Service) Drop(ctx context.Context, by string, repository topics.RepositoryID) error {
	m, err := s.Store.Mirror(ctx, repository)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNone
	} else if err != nil {
		return err
	}
	if err := s.Store.DropMirror(ctx, by, repository); err != nil {
		return err
	}
	s.Changed(m.Host)
	return nil
}

// Next is when a mirror is copied next, the zero time if never.
func Next(m store.Mirror, now time.Time) time.Time {
	p, err := slots.Parse(m.Cron, m.Zone, 0, "")
	if err != nil {
		return time.Time{}
	}
	return slots.Next(p, now)
}

// Run has copied what is due until ctx ends. A step that fails is repeated at the next tick.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(s.Timing.Tick)
	defer tick.Stop()
	for {
		if err := s.Step(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("copying into mirrors failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Step looks at all mirrors once.
func (s *Service) Step(ctx context.Context) error {
	list, err := s.Store.Mirrors(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range list {
		if err := s.step(ctx, m); err != nil {
			errs = append(errs, fmt.Errorf("mirror of %s: %w", m.Repository, err))
		}
	}
	return errors.Join(errs...)
}

// step goes on with one mirror: it looks how the copy ended that a slot began, and begins
// what is due.
func (s *Service) step(ctx context.Context, m store.Mirror) error {
	if m.RunJob != "" {
		j, err := s.Store.Job(ctx, m.RunJob)
		switch {
		case errors.Is(err, store.ErrNotFound): // records go by age
			m.RunJob = ""
		case err != nil:
			return err
		case !j.State.Ended():
			return nil
		case s.ended(&m, j): // with this place; there may be others
			return s.begin(ctx, m, m.RunSlot, j.Where())
		}
		if err := s.Store.PutMirrorServed(ctx, m); err != nil {
			return err
		}
	}
	now := s.Now()
	p, err := slots.Parse(m.Cron, m.Zone, 0, "")
	if err != nil {
		return err
	}
	slot, n := slots.Due(p, time.UnixMilli(m.Served), now)
	if n == 0 || now.UnixMilli() < m.NextAttemptAt || !s.Online(m.Host) {
		return nil
	}
	return s.begin(ctx, m, slot.UnixMilli(), "")
}

// begin asks for the copy of a slot, at the next place after one; "" is before the first.
// Where there is nothing more to copy, the slot is served.
func (s *Service) begin(ctx context.Context, m store.Mirror, slot int64, after topics.HostID) error {
	at, err := s.places(ctx, m)
	if err != nil {
		return err
	}
	for _, place := range at {
		if after != "" && place <= after {
			continue
		}
		o := jobs.Order{Host: m.Host, Kind: topics.CopyJob, Repository: m.Repository}
		if place != m.Host {
			o.Place = place
		}
		o.Operation, err = s.Jobs.CopySelection(ctx, cmp.Or(place, m.Host), m.Repository, topics.Operation{To: string(m.Target)})
		switch {
		case errors.Is(err, jobs.ErrNothingToCopy):
			continue
		case errors.Is(err, jobs.ErrHollow): // until a check finds it whole; the mirror's lag and its page tell
			m.Unasked = true
			continue
		case err != nil:
			return err
		}
		j, _, err := s.Jobs.AskAt(ctx, store.Plane, o)
		if err != nil { // its queue is full, or a person has to do something, which the mirror's lag tells
			s.Log.Warn("a copy into a mirror cannot be asked for", "repository", m.Repository, "host", m.Host, "place", place, "err", err)
			m.Unasked = true
			continue
		}
		m.RunJob, m.RunSlot = j.ID, slot
		if err := s.Store.PutMirrorServed(ctx, m); err != nil {
			return err
		}
		s.Log.Info("a copy into a mirror begins", "repository", m.Repository, "host", m.Host, "place", place, "job", j.ID)
		s.Changed(m.Host)
		return nil
	}
	m.RunJob = ""
	if m.Unasked && m.Attempt < s.Timing.RetryMax { // the others are done, and are not copied again
		m.Attempt++
		m.Unasked, m.NextAttemptAt = false, s.Now().Add(schedule.Backoff(m.Attempt)).UnixMilli()
		return s.Store.PutMirrorServed(ctx, m)
	}
	m.Served, m.Attempt, m.NextAttemptAt, m.Unasked = max(m.Served, slot), 0, 0, false
	return s.Store.PutMirrorServed(ctx, m)
}

// places lists the hosts at whose places the first repository is copied, in order: all where
// there is one, if its address has {host}; else it is the one of whoever copies, which is "".
func (s *Service) places(ctx context.Context, m store.Mirror) ([]topics.HostID, error) {
	r, err := s.Store.Repository(ctx, m.Repository)
	if err != nil || !location.PerHost(r.Location) {
		return []topics.HostID{""}, err
	}
	rows, err := s.Store.Places(ctx, m.Repository)
	var at []topics.HostID
	for _, p := range rows {
		if p.Host != "" && p.Ready() {
			at = append(at, p.Host)
		}
	}
	slices.Sort(at)
	return at, err
}

// ended notes how the copy of a slot ended, and reports whether the slot is over at its place.
// One that failed of something that passes is tried again; of one that named as many snapshots
// as a job can, more follow at once.
func (s *Service) ended(m *store.Mirror, j store.Job) bool {
	done := j.State == topics.Succeeded || j.State == topics.Warnings
	named := 0
	if j.Operation.V != nil {
		named = len(j.Operation.V.Snapshots)
	}
	m.RunJob = ""
	switch {
	case done && named == topics.MaxPaths && j.Result.V != nil && j.Result.V.Copy != nil && j.Result.V.Copy.Copied > 0:
		m.Attempt, m.NextAttemptAt = 0, 0
	case !done && schedule.Retry(j.State, j.Cause) && m.Attempt < schedule.Retries(j.Cause, s.Timing.RetryMax):
		m.Attempt++
		m.NextAttemptAt = s.Now().Add(schedule.Backoff(m.Attempt)).UnixMilli()
	default:
		return true
	}
	return false
}

// A State is how a mirror is, for pages and programs.
type State struct {
	store.Mirror
	mirrors.Lag
	TargetName, HostName string
	Next                 time.Time
	Last                 *store.Job // the last copy that was begun or ended, nil if none is kept
	Open                 bool       // that one goes on
	Held                 bool       // nothing is copied: the first repository counts as damaged
}

// Of returns how the mirror of a repository is, or ErrNone.
func Of(ctx context.Context, s *store.Store, repository topics.RepositoryID, now time.Time) (st State, err error) {
	if st.Mirror, err = s.Mirror(ctx, repository); errors.Is(err, store.ErrNotFound) {
		return st, ErrNone
	} else if err != nil {
		return st, err
	}
	if st.Lag, err = s.MirrorLag(ctx, st.Mirror); err != nil {
		return st, err
	}
	t, err := s.Repository(ctx, st.Target)
	if err != nil {
		return st, err
	}
	h, err := s.AnyHost(ctx, st.Host)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return st, err
	}
	if st.Held, err = s.DamagedAt(ctx, repository, st.Host); err != nil {
		return st, err
	}
	st.TargetName, st.HostName, st.Next = t.Name, h.Name, Next(st.Mirror, now)
	if id := cmp.Or(st.RunJob, st.Job); id != "" {
		j, err := s.Job(ctx, id)
		if err == nil {
			st.Last, st.Open = &j, !j.State.Ended()
		} else if !errors.Is(err, store.ErrNotFound) {
			return st, err
		}
	}
	return st, nil
}
