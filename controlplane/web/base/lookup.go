package base

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// NamesFiles reports whether what jobs of a kind found out names files of hosts or snapshots,
// which is for those who may search.
func NamesFiles(k topics.JobKind) bool {
	return k == topics.FindJob || k == topics.DiffJob || k == topics.RestoreJob || k == topics.DrillJob
}

type heldKey struct{}

// held keeps how the fleet was when a request first asked.
type held struct{ moment *fleet.Moment }

// Hold returns a context of a request all of which is of one moment.
func Hold(ctx context.Context) context.Context {
	return context.WithValue(ctx, heldKey{}, &held{})
}

// Moment is how the fleet is, for a request: all of its page is of one moment. A
// stream has no such context, and asks for each drawing.
func (p *Parts) Moment(ctx context.Context) (*fleet.Moment, error) {
	h, _ := ctx.Value(heldKey{}).(*held)
	if h != nil && h.moment != nil {
		return h.moment, nil
	}
	m, err := p.Fleet.Now(ctx)
	if err == nil && h != nil {
		h.moment = m
	}
	return m, err
}

// At is a moment that a row holds, the zero time for zero.
func At(ms int64) time.Time { return words.At(ms) }

// Host finds a host by the ID in the address.
func (p *Parts) Host(ctx context.Context, id topics.HostID) (store.Host, error) {
	h, err := p.Store.Host(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		if r, err := p.Store.Removed(ctx, removal.Host, string(id)); err == nil {
			return h, problem.HostRemoved(r)
		}
		return h, problem.NoHost
	}
	return h, err
}

// System is what a host runs, as far as it said.
func System(h store.Host) string {
	if h.Platform != "" {
		return h.Platform
	}
	return h.OS
}

// GapWords say that a host could not tell again all that it did between two moments.
func GapWords(from, to string) string {
	return "Between " + from + " and " + to + " jobs may be missing: the control plane was restored from a copy, and this host could not " +
		"tell them again."
}

// Revoke refuses a host's agent from now on.
func (p *Parts) Revoke(ctx context.Context, id topics.HostID) (store.Host, error) {
	if _, err := p.Host(ctx, id); err != nil {
		return store.Host{}, err
	}
	return p.Desk.Revoke(ctx, session.Of(ctx).Name, id)
}

// GroupOf is a backup's source group; a job of another kind has none.
func (p *Parts) GroupOf(ctx context.Context, j store.Job) (store.SourceGroup, error) {
	if j.SourceGroup == "" {
		return store.SourceGroup{}, nil
	}
	g, err := p.Store.AnySourceGroup(ctx, j.SourceGroup)
	if err != nil {
		return g, fmt.Errorf("source group of job %s: %w", j.ID, err)
	}
	return g, nil
}

// Job finds a job by the ID in the address, or by a beginning of it that no other has.
func (p *Parts) Job(ctx context.Context, id topics.JobID) (store.Job, error) {
	j, err := jobs.Find(ctx, p.Store, string(id))
	if errors.Is(err, jobs.ErrNoJob) {
		made, ok := topics.MadeAt(string(id))
		if age := p.Settings.JobAge; ok && age > 0 && made.Before(p.Now().Add(-age)) {
			return j, problem.JobSwept(age)
		}
	}
	return j, err
}

// A Queue is every job that has not ended at one moment, and the names of what
// some jobs are about.
type Queue struct {
	Fleet  *fleet.Moment
	Open   []store.Job // the oldest first
	Waits  map[topics.JobID]protocol.Turn
	Hosts  map[topics.HostID]string // removed ones
	Groups map[topics.SourceGroupID]string
	Repos  map[topics.RepositoryID]string
}

// Queue lists what waits and runs; names are for the jobs among more, too.
func (p *Parts) Queue(ctx context.Context, m *fleet.Moment, more ...store.Job) (*Queue, error) {
	q := &Queue{Fleet: m, Open: m.Open(), Hosts: map[topics.HostID]string{}, Groups: map[topics.SourceGroupID]string{},
		Repos: map[topics.RepositoryID]string{}}
	var err error
	if q.Waits, err = p.Jobs.Waits(ctx, q.Open); err != nil {
		return nil, err
	}
	return q, p.NameJobs(ctx, q, more)
}

// NameJobs reads what the groups and repositories of some jobs are called.
func (p *Parts) NameJobs(ctx context.Context, q *Queue, jobs []store.Job) (err error) {
	var groups []topics.SourceGroupID
	var repos []topics.RepositoryID
	var gone []topics.HostID
	for _, j := range jobs {
		if q.Fleet.Host(j.Host) == nil {
			gone = append(gone, j.Host)
		}
		if _, known := q.Groups[j.SourceGroup]; !known && j.SourceGroup != "" {
			groups = append(groups, j.SourceGroup)
		}
		if _, known := q.Repos[j.Repository]; !known && j.State == topics.Queued {
			repos = append(repos, j.Repository)
		}
	}
	if err = p.Store.GroupNames(ctx, groups, q.Groups); err == nil {
		err = p.Store.RepositoryNames(ctx, repos, q.Repos)
	}
	if err == nil {
		err = p.Store.HostNames(ctx, gone, q.Hosts)
	}
	return err
}

// Host is a host's name, that of a removed one too.
func (q *Queue) Host(id topics.HostID) string {
	if h := q.Fleet.Host(id); h != nil {
		return h.Name
	}
	return q.Hosts[id]
}

// Job finds one of the jobs that have not ended.
func (q *Queue) Job(id topics.JobID) (store.Job, bool) {
	for _, j := range q.Open {
		if j.ID == id {
			return j, true
		}
	}
	return store.Job{}, false
}

// Silent reports whether a job is to be called stalled, and how long it has done nothing.
func (p *Parts) Silent(j store.Job) (jobs.Silence, bool) {
	s := p.Hub.Silence(j)
	return s, p.Timing.Stalled > 0 && s.For >= p.Timing.Stalled
}

// Repository returns one in care.
func (p *Parts) Repository(ctx context.Context, id topics.RepositoryID) (store.Repository, error) {
	return repositories.Find(ctx, p.Store, id)
}

// Health returns everything that is to be said of how some repositories are, worst
// first.
func (p *Parts) Health(ctx context.Context, ids ...topics.RepositoryID) (map[topics.RepositoryID][]health.Verdict, error) {
	said := make(map[topics.RepositoryID][]health.Verdict, len(ids))
	if len(ids) == 0 {
		return said, nil
	}
	facts, err := p.Store.Looks(ctx, ids...)
	for _, f := range facts {
		said[f.Repository] = health.All(f, p.Now())
	}
	return said, err
}

// Known is what the rows of repositories do not hold.
type Known struct {
	Tallies map[topics.RepositoryID]store.SnapshotTally
	Keys    map[topics.RepositoryID]int
	Locks   map[topics.RepositoryID][]store.Lock
}

// Known reads for some repositories what their rows do not hold.
func (p *Parts) Known(ctx context.Context, ids ...topics.RepositoryID) (k Known, err error) {
	if k.Tallies, err = p.Store.SnapshotTalliesOf(ctx, ids); err != nil {
		return k, err
	}
	if k.Keys, err = p.Store.ForeignKeysOf(ctx, ids); err != nil {
		return k, err
	}
	rows, err := p.Store.LocksOf(ctx, ids)
	k.Locks = map[topics.RepositoryID][]store.Lock{}
	for _, l := range rows {
		k.Locks[l.Repository] = append(k.Locks[l.Repository], l)
	}
	return k, err
}

// SnapshotPlace is where a list goes on behind a snapshot, "" for its beginning.
func (p *Parts) SnapshotPlace(ctx context.Context, id topics.RepositoryID, after string) (store.SnapshotPlace, error) {
	if after == "" {
		return store.SnapshotPlace{}, nil
	}
	n, err := p.Store.SnapshotByID(ctx, id, after)
	if errors.Is(err, store.ErrNotFound) {
		return store.SnapshotPlace{}, &problem.Problem{Kind: problem.NotFound, Title: "There is no such snapshot",
			Say: "The repository never held one with this ID.", Do: "Begin with the newest."}
	}
	return store.SnapshotPlace{Time: n.Time, ID: n.ID}, err
}

// DayOf is the beginning of a day of a repository.
func DayOf(d store.Day) time.Time { return time.Unix(d.Day*24*60*60, 0).UTC() }

// DateOf is the date of a day of a repository: days are of UTC.
func DateOf(d store.Day) string {
	return words.Date(words.WithZone(context.Background(), time.UTC), DayOf(d))
}

// Preview is what the next forget keeps and removes, by other rules if keep is not nil.
func (p *Parts) Preview(ctx context.Context, id topics.RepositoryID, keep *store.Keep) (retention.Preview, error) {
	if _, err := p.Repository(ctx, id); err != nil {
		return retention.Preview{}, err
	}
	return retention.Look(ctx, p.Store, id, keep, p.Now())
}

// AskMaintenance begins maintenance for a visitor. Only an administrator may
// approve a plan that was held.
func (p *Parts) AskMaintenance(
	ctx context.Context,
	id topics.RepositoryID,
	kind topics.JobKind,
	host topics.HostID,
	plan string,
	give bool,
) (topics.JobID, error) {
	v := session.Of(ctx)
	if plan != "" && !v.May(rights.Approve) {
		return "", Forbidden(v, rights.Approve)
	}
	if host != "" {
		if _, err := p.Host(ctx, host); err != nil {
			return "", err
		}
	}
	return p.Maintenance.Ask(ctx, v.Actor(), id, kind, host, plan, give)
}

// WeekdayOf is the day of hours as the API and forms have it.
func WeekdayOf(h store.MaintenanceHours) string {
	if h.Weekday < 0 {
		return maintenance.Daily
	}
	return maintenance.Weekdays[h.Weekday]
}

// ClockOf is a minute of the day as a clock shows it.
func ClockOf(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// EndSession ends one of the visitor's own sessions; an administrator may end
// anybody'p.
func (p *Parts) EndSession(ctx context.Context, id string) error {
	v := session.Of(ctx)
	whose := v.UserID
	if v.May(rights.People) {
		whose = ""
	} else if whose == "" {
		whose = "nobody" // a program has none
	}
	return p.People.EndSession(ctx, v.Name, id, whose)
}

// LinkPath returns the path of a link to set a password.
func LinkPath(l people.Link) string { return "/set-password?key=" + l.Key }

// Connected lists the open connections of consumers.
func (p *Parts) Connected() []Connected {
	if p.Consumers == nil {
		return nil
	}
	return p.Consumers.Connected()
}

// Figures are what the public broker and the agents' count.
func (p *Parts) Figures() (public, agents Figures) {
	if p.Consumers == nil {
		return
	}
	return p.Consumers.Figures()
}
