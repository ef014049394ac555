package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Reasons to refuse a request for a job.
var (
	ErrNoHost       = errors.New("there is no such host")
	ErrNoGroup      = errors.New("the host has no such source group")
	ErrNoGroups     = errors.New("the host has no source group yet")
	ErrNoRepository = errors.New("there is no such repository")
	ErrForbidden    = permits.ErrForbidden
	ErrNotPinned    = permits.ErrNotPinned
	ErrNoPlace      = errors.New("the host has no place of its own in the repository yet")
	ErrNoJob        = errors.New("there is no such job")
	ErrEnded        = store.ErrEnded
	ErrQueueFull    = store.ErrQueueFull
)

// MostQueued is how many jobs may wait on one host.
const MostQueued = protocol.MostQueued

// AskBackup queues a backup of one source group of a host, by name, or of every group
// if the name is empty, and returns the first job. If a backup of the group is
// already queued or running, that job is returned and fresh is false.
func (e *Engine) AskBackup(ctx context.Context, actor string, host topics.HostID, group string) (job store.Job, fresh bool, err error) {
	var named []string
	if group != "" {
		named = []string{group}
	}
	asked, err := e.AskBackups(ctx, actor, host, named)
	if err != nil {
		return job, false, err
	}
	return asked[0].Job, asked[0].Fresh, nil
}

// A Backup is the job of a source group that was to be backed up; one that is not fresh
// waited or ran already.
type Backup struct {
	store.Job
	Fresh bool
}

// AskBackups is [Engine.AskBackup] for several groups, by their names or IDs, or for every
// group of the host. It returns a job of each. With an error it returns those that were
// asked for before.
func (e *Engine) AskBackups(ctx context.Context, actor string, host topics.HostID, named []string) (asked []Backup, err error) {
	h, err := e.Store.Host(ctx, host)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoHost
	} else if err != nil {
		return nil, err
	}
	if err := permits.Kind(h, topics.BackupJob); err != nil {
		return nil, err
	}
	groups, err := e.Store.SourceGroups(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(groups) == 0 {
		return nil, ErrNoGroups
	}
	if groups, err = among(groups, named); err != nil {
		return nil, err
	}
	if err := e.opensOne(ctx, h, groups); err != nil {
		return nil, err
	}
	for _, g := range groups {
		if _, _, err := e.at(ctx, g.Repository, host); err != nil && !errors.As(err, new(*store.UnreadableError)) {
			return asked, err // a job whose repository's secrets cannot be read ends by itself, and says so
		}
		now := e.Now()
		j, added, err := e.Store.Ask(ctx, actor, store.Job{ID: topics.JobID(topics.NewID(now)), Host: host, Kind: topics.BackupJob,
			SourceGroup: g.ID, Repository: g.Repository, NotAfter: now.Add(e.Timing.NotAfter).UnixMilli()})
		if err != nil {
			return asked, err
		}
		failpoint.Here("plane-asked")
		asked = append(asked, Backup{j, added})
	}
	e.tell(host)
	e.Stir()
	return asked, nil
}

// among returns the groups that are named, all of them if none is.
func among(groups []store.SourceGroup, named []string) (some []store.SourceGroup, err error) {
	if len(named) == 0 {
		return groups, nil
	}
	for _, n := range named {
		i := slices.IndexFunc(groups, func(g store.SourceGroup) bool { return g.Name == n })
		if i < 0 {
			i = slices.IndexFunc(groups, func(g store.SourceGroup) bool { return string(g.ID) == n })
		}
		if i < 0 {
			return nil, fmt.Errorf("%w: %.60q", ErrNoGroup, n)
		}
		if !slices.ContainsFunc(some, func(g store.SourceGroup) bool { return g.ID == groups[i].ID }) {
			some = append(some, groups[i])
		}
	}
	return some, nil
}

// An Order is a job of any kind except backup that the control plane puts into its queue.
type Order struct {
	Host       topics.HostID
	Kind       topics.JobKind
	Repository topics.RepositoryID
	Place      topics.HostID // at whose place it works, "" for the host's own
	Operation  topics.Operation
	GivenBy    string // who gives the host the repository for this job, if it does not have it
	Reason     string // why somebody asks for it, for the audit log
}

// Ask queues a job of any kind except backup; see AskBackup. If the same job is
// already queued or running, that one is returned and fresh is false. Ask returns a
// topics.ErrOperation if the kind does not take these options, a *NotKeeperError
// for maintenance on a host that is not the repository's keeper, a *GivingError for a
// repository that the host does not have, and a *GoneError for
// a snapshot that is known to be gone. Before a job that needs exclusive access, it asks for a listing of the locks if there may be any.
func (e *Engine) Ask(ctx context.Context, actor string, host topics.HostID, kind topics.JobKind, repository topics.RepositoryID,
	o topics.Operation) (job store.Job, fresh bool, err error) {
	place, err := e.placeOf(ctx, host, repository, o)
	if err != nil {
		return job, false, err
	}
	return e.AskAt(ctx, actor, Order{Host: host, Kind: kind, Repository: repository, Place: place, Operation: o})
}

// AskAt is Ask for a job that may be at the place of another host, and in a repository that
// somebody gives its host.
func (e *Engine) AskAt(ctx context.Context, actor string, o Order) (job store.Job, fresh bool, err error) {
	if err := e.Permit(ctx, o); err != nil {
		return job, false, err
	}
	if err := e.there(ctx, o.Repository, cmp.Or(o.Place, o.Host), needsPlace(o)); err != nil {
		return job, false, err
	}
	now := e.Now()
	job, fresh, err = e.Store.Ask(ctx, actor, store.Job{
		ID:         topics.JobID(topics.NewID(now)),
		Host:       o.Host,
		Kind:       o.Kind,
		Repository: o.Repository,
		Place:      o.Place,
		GivenBy:    o.GivenBy,
		Reason:     o.Reason,
		Operation:  store.JSON[topics.Operation]{V: &o.Operation},
		NotAfter:   now.Add(e.Timing.NotAfter).UnixMilli(),
	})
	if err != nil {
		return job, false, err
	}
	failpoint.Here("plane-asked")
	e.tell(o.Host)
	e.Stir()
	return job, fresh, nil
}

// Permit returns the error that AskAt would return for this job, or nil if it may be
// asked for.
func (e *Engine) Permit(ctx context.Context, order Order) error {
	host, kind, repository, o := order.Host, order.Kind, order.Repository, order.Operation
	if err := o.Check(kind); err != nil {
		return err
	}
	h, err := e.Store.Host(ctx, host)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoHost
	} else if err != nil {
		return err
	}
	var row *store.Repository
	switch r, err := e.Store.Repository(ctx, repository); {
	case err == nil:
		row = &r
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	// Start has checked the actor's role before; the control plane itself may ask for
	// any kind.
	if err := MayAsk(Actor{Name: store.Plane, Role: store.Admin}, h, kind, row); err != nil {
		return e.named(ctx, err)
	}
	if kind == topics.RestoreJob {
		if err := permits.Restore(h, o); err != nil {
			return err
		}
	}
	if kind == topics.DrillJob {
		if err := permits.Drill(h); err != nil {
			return err
		}
	}
	if kind == topics.FindJob {
		if err := permits.Find(h, o); err != nil {
			return err
		}
	}
	if err := Able(h, kind, o); err != nil {
		return err
	}
	if o.Key != nil {
		if err := permits.Keys(h, o); err != nil {
			return err
		}
		if row != nil && o.Key.Action == topics.RemoveKey && row.Keeper != "" && row.Keeper != host &&
			location.Scheme(row.Location) != location.Local {
			return e.named(ctx, &NotKeeperError{Kind: kind, Keeper: row.Keeper})
		}
	}
	if row == nil {
		return ErrNoRepository
	}
	if order.GivenBy == "" {
		if err := e.Has(ctx, host, kind, repository, order.Place); err != nil {
			return err
		}
	}
	if err := e.Opens(ctx, h, kind, repository, cmp.Or(order.Place, host)); err != nil {
		return err
	}
	if err := e.second(ctx, h, order); err != nil {
		return err
	}
	if err := e.gone(ctx, host, kind, repository, o); err != nil {
		return err
	}
	if kind.Exclusive() {
		if err := e.lookFirst(ctx, host, *row); err != nil {
			return err
		}
	}
	return nil
}

// opensOne returns why a host would refuse to back up each of the groups that are asked
// for; if it takes one, it is asked for all, and says itself what it refuses.
func (e *Engine) opensOne(ctx context.Context, h store.Host, groups []store.SourceGroup) (why error) {
	for _, g := range groups {
		err := e.Opens(ctx, h, topics.BackupJob, g.Repository, h.ID)
		if err == nil {
			return nil
		}
		why = cmp.Or(why, err)
	}
	return why
}

// Opens returns why a host would refuse a job by what its policy says of repositories,
// where that is certain: see [hosts.Presence.Permit]. The rules are the agent's own. What
// only the host can tell, such as where a path leads, is left to it.
func (e *Engine) Opens(ctx context.Context, h store.Host, kind topics.JobKind, repository topics.RepositoryID, place topics.HostID) error {
	p := e.Presence.Permit(h)
	if p == nil || p.Anywhere || !p.BackupPins {
		return nil
	}
	r, a, err := e.at(ctx, repository, place)
	if errors.Is(err, store.ErrNotFound) {
		return nil // there is no such place, which is said elsewhere
	} else if err != nil {
		return err
	}
	return permits.Repository(h, p, kind, access(r, a, h.ID, kind))
}

// Cancel cancels a job. A queued job ends at once; a job that was sent ends when its
// host reports it.
func (e *Engine) Cancel(ctx context.Context, actor string, id topics.JobID) error {
	var effects []protocol.PlaneEffect
	err := e.Store.Cancel(ctx, actor, id, func(tx protocol.PlaneTx) (err error) {
		effects, err = protocol.PlaneStep(e.Timing.Protocol, tx, protocol.CancelAsked{Job: id, By: actor, Now: e.Now().UnixMilli()})
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoJob
	}
	if err != nil {
		return err
	}
	failpoint.Here("plane-cancel-noted")
	e.news(effects)
	return nil
}

// Settle ends a job that was not sent yet. It changes nothing if the job was sent or
// has ended.
func (e *Engine) Settle(ctx context.Context, end topics.Finished) error {
	var effects []protocol.PlaneEffect
	err := e.Store.Steps(ctx, func(tx protocol.PlaneTx) (err error) {
		effects, err = protocol.PlaneStep(e.Timing.Protocol, tx, protocol.Settled{End: end, Now: e.Now().UnixMilli()})
		return err
	})
	if err != nil {
		return err
	}
	e.news(effects)
	return nil
}

// news tells watchers what a step outside Run's loop changed. The step's other
// effects need no help: the loop finds them in the database.
func (e *Engine) news(effects []protocol.PlaneEffect) {
	for _, effect := range effects {
		if c, ok := effect.(protocol.Changed); ok {
			e.changed(c.Job)
		}
	}
	e.Stir()
}
