package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/release"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Tick is how often it is looked at what nobody tells: the hour, a new lies, somebody
// who works in the database beside us. What hosts tell is looked at once a Pace at most.
const (
	Tick = 15 * time.Second
	Pace = 500 * time.Millisecond
)

// Run goes on with rollouts until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(Tick)
	defer tick.Stop()
	for {
		if err := s.Turn(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("going on with updates of agents failed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			continue
		case <-s.queue():
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(Pace):
		}
	}
}

// Turn does what is to be done now.
func (s *Service) Turn(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	lies := s.Release()
	if was := s.lies.Swap(&lies); was == nil || was.Number != lies.Number || was.Say != lies.Say || len(was.Lacks) != len(lies.Lacks) {
		if s.Seen != nil {
			s.Seen()
		}
	}
	m, err := s.Board.Now(ctx)
	if err != nil {
		return err
	}
	if err := s.automatic(ctx, lies, m); err != nil {
		return err
	}
	looks, err := s.looks(ctx, lies, m)
	if err != nil {
		return err
	}
	for _, l := range looks {
		if e := s.do(ctx, l, Next(l), lies); e != nil {
			err = errors.Join(err, fmt.Errorf("rollout %s: %w", l.Rollout.ID, e))
		}
	}
	s.going.Store(len(looks) > 0)
	return errors.Join(err, s.tell(ctx, lies, m))
}

// looks gathers what each rollout that is not over depends on. One for a single host goes
// before the others, and of these the oldest: a host is in one of them.
func (s *Service) looks(ctx context.Context, lies shelf.Release, m *fleet.Moment) (list []Look, err error) {
	going, err := s.Store.Rollouts().Going(ctx)
	if err != nil {
		return nil, err
	}
	trailing, err := s.Store.Rollouts().Trailing(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(going, func(a, b rollouts.Rollout) int { return first(a.Host == "", b.Host == "") })
	taken := map[topics.HostID]bool{}
	for _, x := range going {
		l, err := s.look(ctx, x, lies, m, taken)
		if err != nil {
			return nil, err
		}
		for _, h := range l.Hosts {
			taken[h.ID] = true
		}
		list = append(list, l)
	}
	for _, x := range trailing {
		l, err := s.look(ctx, x, lies, m, nil)
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

func (s *Service) look(ctx context.Context, x rollouts.Rollout, lies shelf.Release, m *fleet.Moment, taken map[topics.HostID]bool) (
	l Look, err error) {
	s.began.CompareAndSwap(0, s.Now().UnixMilli())
	l = Look{Rollout: x, Jobs: map[topics.JobID]Job{}, NoLie: lies.Say, Now: s.Now()}
	if lies.Good() {
		l.Lies, l.LiesWas = lies.Number, lies.Version
	}
	if l.Members, err = s.Store.Rollouts().Members(ctx, x.ID); err != nil {
		return l, err
	}
	failed, err := s.Store.Rollouts().FailedWith(ctx, x.Number, s.Now().Add(-Respite).UnixMilli())
	if err != nil {
		return l, err
	}
	mine, updating := map[topics.HostID]bool{}, map[topics.HostID]bool{}
	var ids []topics.JobID
	for _, mem := range l.Members {
		mine[mem.Host], updating[mem.Host] = true, mem.State == rollouts.Updating
		if mem.Job != "" {
			ids = append(ids, mem.Job)
		}
	}
	for _, e := range m.ByID() {
		tagged := x.Host != "" || x.Tag == "" || slices.Contains(e.Tags, x.Tag) || updating[e.ID] // it may have lost the tag meanwhile
		if taken[e.ID] && !mine[e.ID] || x.Host != "" && e.ID != x.Host || !tagged {
			continue
		}
		h := hostOf(e, lies, x.Number, failed[e.ID], l.Now.UnixMilli())
		if h.Gone > 0 {
			h.Gone = max(h.Gone, s.began.Load()) // while this server was away, everybody was
		}
		l.Hosts = append(l.Hosts, h)
	}
	for some := range slices.Chunk(ids, 500) {
		rows, err := s.Store.JobsByID(ctx, some)
		if err != nil {
			return l, err
		}
		for _, j := range rows {
			l.Jobs[j.ID] = jobOf(j)
		}
	}
	return l, nil
}

func jobOf(j store.Job) Job {
	out := Job{ID: j.ID, State: j.State, Cause: j.Cause, Accepted: j.Accepted, EndedAt: j.FinishedAt, CancelsBy: j.CancelledBy}
	if j.State.Ended() && j.State != topics.Succeeded {
		out.Why = jobs.ExplainJob(j).Cause + "."
	}
	return out
}

// do carries out a step. A crash in between loses nothing: what was to be begun is written
// down first, without its job, and the job asked for after that is found again.
func (s *Service) do(ctx context.Context, l Look, step Step, lies shelf.Release) error {
	x, rows := l.Rollout, s.Store.Rollouts()
	changed := slices.Clone(step.Changed)
	var begun []rollouts.Member
	for _, m := range l.Members {
		if m.State == rollouts.Updating && m.Job == "" {
			begun = append(begun, m)
		}
	}
	for _, id := range step.Begin {
		begun = append(begun, rollouts.Member{Rollout: x.ID, Host: id, Wave: step.Wave, State: rollouts.Updating, BeganAt: l.Now.UnixMilli()})
	}
	if len(changed)+len(begun) > 0 || step.Wave != x.Wave {
		if err := rows.Save(ctx, x.ID, step.Wave, append(changed, begun...)); err != nil {
			return err
		}
	}
	if step.Outcome != "" {
		if err := rows.End(ctx, store.Plane, x.ID, step.Outcome, step.Why); err != nil && !errors.Is(err, rollouts.ErrEnded) {
			return err
		}
		s.Log.Info("a rollout ended", "rollout", x.ID, "outcome", step.Outcome, "why", step.Why)
	}
	var errs []error
	for _, id := range step.Cancel {
		if err := s.Jobs.Cancel(ctx, store.Plane, id); err != nil && !errors.Is(err, jobs.ErrEnded) {
			errs = append(errs, err)
		}
	}
	for _, m := range begun {
		asked, err := s.ask(ctx, x, m, lies, l.Now)
		if err == nil {
			err = rows.Save(ctx, x.ID, step.Wave, []rollouts.Member{asked})
		}
		errs = append(errs, err)
	}
	if len(changed)+len(begun)+len(step.Cancel) > 0 || step.Outcome != "" || step.Wave != x.Wave {
		s.changed()
	}
	return errors.Join(errs...)
}

// ask asks for a host's update, unless that was done before a crash.
func (s *Service) ask(ctx context.Context, x rollouts.Rollout, m rollouts.Member, lies shelf.Release, now time.Time) (
	rollouts.Member, error) {
	end := func(state rollouts.State, why string) (rollouts.Member, error) {
		m.State, m.Why, m.EndedAt = state, why, now.UnixMilli()
		return m, nil
	}
	before, err := s.Store.JobsOf(ctx, m.Host, 50)
	if err != nil {
		return m, err
	}
	for _, j := range before {
		if j.Kind == topics.UpdateJob && !j.OfRestic() && j.QueuedAt >= m.BeganAt && numberOf(j) == x.Number {
			m.Job = j.ID
			return m, nil
		}
	}
	if x.EndedAt > 0 || !lies.Good() || lies.Number != x.Number {
		return end(rollouts.Later, "It was not asked for before the rollout ended.")
	}
	actor := store.Plane
	if x.Host != "" {
		actor = x.BeganBy
	}
	var old *permits.OldAgent
	until, open := x.Opens(now)
	if !open {
		return end(rollouts.Later, "Its hours were over.")
	}
	j, _, err := s.Jobs.AskUpdateUntil(ctx, actor, m.Host, topics.Update{Manifest: lies.Bytes, Signature: lies.Signature}, until)
	switch {
	case errors.Is(err, jobs.ErrNoHost):
		return end(rollouts.Cancelled, "The host was removed.")
	case errors.As(err, &old): // somebody installed an older package meanwhile
		return end(rollouts.Cannot, "Its agent is too old to be updated from here.")
	case errors.Is(err, jobs.ErrQueueFull):
		return end(rollouts.Later, "Too many jobs wait on the host.")
	case err != nil:
		return m, err
	case numberOf(j) != x.Number:
		return end(rollouts.Later, "Another update of it is under way.")
	}
	m.Job = j.ID
	return m, nil
}

// automatic begins a rollout if that is wanted. A release of which a rollout failed or was
// stopped is not begun again, and one that is only half there not yet.
func (s *Service) automatic(ctx context.Context, lies shelf.Release, m *fleet.Moment) error {
	set, err := s.Settings(ctx)
	if err != nil || !set.Automatic || !lies.Good() || len(lies.Lacks) > 0 {
		return err
	}
	of, err := s.Store.Rollouts().Of(ctx, lies.Number)
	if err != nil {
		return err
	}
	for _, x := range of {
		if x.EndedAt == 0 && x.Host == "" || x.Outcome == rollouts.Failed || x.Outcome == rollouts.Stopped && x.Host == "" {
			return nil
		}
	}
	failed, err := s.Store.Rollouts().FailedWith(ctx, lies.Number, s.Now().Add(-Respite).UnixMilli())
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(m.ByID(), func(e *fleet.Entry) bool {
		h := hostOf(e, lies, lies.Number, failed[e.ID], s.Now().UnixMilli())
		return (set.Tag == "" || slices.Contains(e.Tags, set.Tag)) && Behind(e.Host, lies) && h.Cannot == "" && !h.Failed && h.Open == ""
	}) {
		return nil
	}
	from, until := Clock(set.From), Clock(set.Until)
	_, _, err = s.begin(ctx, store.Plane, Input{Tag: &set.Tag, From: &from, Until: &until, Zone: &set.Zone, AtOnce: &set.Most}, true)
	var overlap *OverlapError
	if errors.As(err, &overlap) { // an older one goes on, and ends when it sees the release
		return nil
	}
	return err
}

// tell keeps the notices.
func (s *Service) tell(ctx context.Context, lies shelf.Release, m *fleet.Moment) error {
	list := []notices.Notice{}
	latest, err := s.Store.Rollouts().Latest(ctx, 20)
	if err != nil {
		return err
	}
	set, err := s.Settings(ctx)
	if err != nil {
		return err
	}
	last := slices.IndexFunc(latest, func(x rollouts.Rollout) bool { return x.Host == "" })
	going := slices.ContainsFunc(latest, func(x rollouts.Rollout) bool { return x.EndedAt == 0 && x.Host == "" })
	link := notices.Link{Text: "Updates", URL: "/updates"}
	switch {
	case last >= 0 && latest[last].Outcome == rollouts.Failed && latest[last].Number >= lies.Number:
		x := latest[last]
		list = append(list, notices.Notice{ID: "rollout-failed", Severity: notices.Warning, Link: link,
			Say: "The update of agents to " + x.Version + " stopped by itself: " + x.Why + " Hosts that failed went back to what they " +
				"ran before and go on backing up.",
			Remedy: "Look at the jobs of those that failed, mend what they say, and start it again or put another release here."})
	case going || !lies.Good():
	default:
		behind, can := 0, 0
		for _, e := range m.ByID() {
			if !Behind(e.Host, lies) || e.Host.Updates.V == nil && e.AgentVersion == lies.Version || e.RetiredAt > 0 {
				continue
			}
			behind++
			if why, _ := Cannot(e.Host, lies); why == "" {
				can++
			}
		}
		if can > 0 && !set.Automatic {
			list = append(list, notices.Notice{ID: "newer-agent", Severity: notices.Info, Link: link,
				Say: "Version " + lies.Version + " of the agent lies here, and " + words.Count(uint64(behind), "host runs", "hosts run") +
					" an older one. Backups go on as they are."})
		}
	}
	s.said.Store(&list)
	return nil
}

// numberOf is that of the release that a job is to bring, 0 if it cannot be read.
func numberOf(j store.Job) int64 {
	if j.Operation.V == nil || j.Operation.V.Update == nil {
		return 0
	}
	m, err := release.Parse(j.Operation.V.Update.Manifest)
	if err != nil {
		return 0
	}
	return m.Number
}
