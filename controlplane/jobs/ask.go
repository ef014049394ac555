package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/failpoint"
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
	ErrForbidden    = errors.New("the host's policy forbids it")
	ErrNoPlace      = errors.New("the host has no place of its own in the repository yet")
	ErrNoJob        = errors.New("there is no such job")
	ErrEnded        = store.ErrEnded
)

// AskBackup queues a backup of one source group of a host, by name, or of every group
// if the name is empty, and returns the first job. If a backup of the group is
// already queued or running, that job is returned and fresh is false.
func (e *Engine) AskBackup(ctx context.Context, actor string, host topics.HostID, group string) (job store.Job, fresh bool, err error) {
	h, err := e.Store.Host(ctx, host)
	if errors.Is(err, store.ErrNotFound) {
		return job, false, ErrNoHost
	} else if err != nil {
		return job, false, err
	}
	if err := allowed(h, topics.BackupJob); err != nil {
		return job, false, err
	}
	groups, err := e.Store.SourceGroups(ctx, host)
	if err != nil {
		return job, false, err
	}
	if len(groups) == 0 {
		return job, false, ErrNoGroups
	}
	found := false
	for _, g := range groups {
		if group != "" && g.Name != group {
			continue
		}
		if _, _, err := e.at(ctx, g.Repository, host); err != nil {
			return job, false, err
		}
		now := e.Now()
		j, added, err := e.Store.Ask(ctx, actor, store.Job{ID: topics.JobID(topics.NewID(now)), Host: host, Kind: topics.BackupJob,
			SourceGroup: g.ID, Repository: g.Repository, NotAfter: now.Add(e.Timing.NotAfter).UnixMilli()})
		if err != nil {
			return job, false, err
		}
		failpoint.Here("plane-asked")
		if !found {
			job, fresh, found = j, added, true
		}
	}
	if !found {
		return job, false, ErrNoGroup
	}
	e.tell(host)
	e.Stir()
	return job, fresh, nil
}

// Ask queues a job of any kind except backup; see AskBackup. If the same job is
// already queued or running, that one is returned and fresh is false. Ask returns a
// topics.ErrOperation if the kind does not take these options, and a *NotKeeperError
// for maintenance on a host that is not the repository's keeper, and a *GoneError for
// a snapshot that is known to be gone. Before a job that needs exclusive access, it asks for a listing of the locks if there may be any.
func (e *Engine) Ask(ctx context.Context, actor string, host topics.HostID, kind topics.JobKind, repository topics.RepositoryID,
	o topics.Operation) (job store.Job, fresh bool, err error) {
	place, err := e.placeOf(ctx, host, repository, o)
	if err != nil {
		return job, false, err
	}
	return e.AskAt(ctx, actor, host, kind, repository, place, o)
}

// AskAt is Ask for a job at the place of another host, or at its own for "".
func (e *Engine) AskAt(ctx context.Context, actor string, host topics.HostID, kind topics.JobKind, repository topics.RepositoryID,
	place topics.HostID, o topics.Operation) (job store.Job, fresh bool, err error) {
	if err := e.Permit(ctx, host, kind, repository, o); err != nil {
		return job, false, err
	}
	if err := e.there(ctx, repository, cmp.Or(place, host), kind); err != nil {
		return job, false, err
	}
	now := e.Now()
	job, fresh, err = e.Store.Ask(ctx, actor, store.Job{ID: topics.JobID(topics.NewID(now)), Host: host, Kind: kind, Repository: repository,
		Place: place, Operation: store.JSON[topics.Operation]{V: &o}, NotAfter: now.Add(e.Timing.NotAfter).UnixMilli()})
	if err != nil {
		return job, false, err
	}
	failpoint.Here("plane-asked")
	e.tell(host)
	e.Stir()
	return job, fresh, nil
}

// Permit returns the error that Ask would return for this job, or nil if it may be
// asked for.
func (e *Engine) Permit(ctx context.Context, host topics.HostID, kind topics.JobKind, repository topics.RepositoryID,
	o topics.Operation) error {
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
	if err := within(h, kind, o); err != nil {
		return err
	}
	if row == nil {
		return ErrNoRepository
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

// allowed returns why the host's policy, as last reported, forbids a kind of job
// altogether. The host decides in the end; checking here avoids jobs that are bound
// to be refused.
func allowed(h store.Host, kind topics.JobKind) error {
	if p := h.Permits.V; p != nil && !p.Allows(kind) {
		return forbids(h, "does not allow %s", kind)
	}
	return nil
}

// within returns why the host's policy, as last reported, forbids this particular
// operation.
func within(h store.Host, kind topics.JobKind, o topics.Operation) error {
	p := h.Permits.V
	switch {
	case p == nil || p.Anywhere || kind != topics.RestoreJob:
		return nil
	case o.Target != "" && !p.Restores(o.Target):
		return forbids(h, "lets restores write below %s only", strings.Join(p.RestoreRoots, ", "))
	case !p.Overwrite && o.Overwrite != "" && o.Overwrite != "never":
		return forbids(h, "lets no restore write over files that are there")
	}
	return nil
}

func forbids(h store.Host, format string, args ...any) error {
	policy := "The policy"
	if h.Policy != "" {
		policy += " " + h.Policy
	}
	return fmt.Errorf("%w: %s of %s %s", ErrForbidden, policy, h.Name, fmt.Sprintf(format, args...))
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

// Do carries out the request that a consumer published on a do/ topic.
func (e *Engine) Do(ctx context.Context, actor string, t topics.Topic) error {
	a := Actor{Name: actor, Role: rights.Consumer}
	switch t.Action {
	case topics.ActionBackup:
		_, _, err := e.Start(ctx, a, Request{Host: t.Host, Kind: topics.BackupJob})
		return err
	case topics.ActionCancel:
		if err := a.Lacks(rights.Cancel); err != nil {
			return err
		}
		open, err := e.Store.OpenJobs(ctx, t.Host)
		if err != nil {
			return err
		}
		for _, j := range open {
			if err := e.Cancel(ctx, actor, j.ID); err != nil && !errors.Is(err, ErrEnded) {
				return err
			}
		}
	}
	return nil
}
