package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Why a request for a job is not taken.
var (
	ErrNoHost       = errors.New("there is no such host")
	ErrNoGroup      = errors.New("the host has no such source group")
	ErrNoGroups     = errors.New("the host has no source group yet")
	ErrNoRepository = errors.New("there is no such repository")
	ErrForbidden    = errors.New("the host's policy forbids it")
	ErrNoJob        = errors.New("there is no such job")
	ErrEnded        = store.ErrEnded
)

// AskBackup records a backup of one of a host's source groups, by name, or of
// each of them with "", and answers with the first job. A group whose backup
// waits or runs already is answered with that one, and fresh is false.
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

// Ask records a job of any kind but backup, which AskBackup is for. While the
// same one waits or runs, that one is the answer, and fresh is false. What the
// kind does not take is a topics.ErrOperation; maintenance on another host than
// the keeper, where there is one, is a *NotKeeperError. Before a job that has to
// be alone, the locks are looked at if any may be there.
func (e *Engine) Ask(ctx context.Context, actor string, host topics.HostID, kind topics.JobKind, repository topics.RepositoryID,
	o topics.Operation) (job store.Job, fresh bool, err error) {
	if err := e.Permit(ctx, host, kind, repository, o); err != nil {
		return job, false, err
	}
	now := e.Now()
	job, fresh, err = e.Store.Ask(ctx, actor, store.Job{ID: topics.JobID(topics.NewID(now)), Host: host, Kind: kind, Repository: repository,
		Operation: store.JSON[topics.Operation]{V: &o}, NotAfter: now.Add(e.Timing.NotAfter).UnixMilli()})
	if err != nil {
		return job, false, err
	}
	failpoint.Here("plane-asked")
	e.tell(host)
	e.Stir()
	return job, fresh, nil
}

// Permit says why a job cannot be asked for, as Ask does, nil if it can.
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
	// The role of who asks is looked at before, by Start: the control plane may ask for
	// anything.
	if err := MayAsk(Actor{Name: store.Plane, Role: store.Admin}, h, kind, row); err != nil {
		return e.named(ctx, err)
	}
	if err := within(h, kind, o); err != nil {
		return err
	}
	if row == nil {
		return ErrNoRepository
	}
	if kind.Exclusive() {
		if err := e.lookFirst(ctx, host, *row); err != nil {
			return err
		}
	}
	return nil
}

// allowed says why a host would refuse every job of a kind, as far as it has told. The
// host decides; this spares everybody a job that cannot be.
func allowed(h store.Host, kind topics.JobKind) error {
	if p := h.Permits.V; p != nil && !p.Allows(kind) {
		return forbids(h, "does not allow %s", kind)
	}
	return nil
}

// within says why a host would refuse what exactly a job is asked for.
func within(h store.Host, kind topics.JobKind, o topics.Operation) error {
	p := h.Permits.V
	switch {
	case p == nil || p.Anywhere || kind != topics.RestoreJob:
		return nil
	case !p.Restores(o.Target):
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
	return fmt.Errorf("%w: %s of %s %s.", ErrForbidden, policy, h.Name, fmt.Sprintf(format, args...))
}

// Cancel asks for the end of a job: one that waits ends now, one that was sent
// ends when its host has ended it.
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

// Settle ends a job that was not sent. One that was sent or has ended is left
// alone.
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

// news tells watchers what a step outside the loop changed; whatever else it asks
// for, the loop finds in the rows.
func (e *Engine) news(effects []protocol.PlaneEffect) {
	for _, effect := range effects {
		if c, ok := effect.(protocol.Changed); ok {
			e.changed(c.Job)
		}
	}
	e.Stir()
}

// Do carries out what a consumer asked for on a do/ topic.
func (e *Engine) Do(ctx context.Context, actor string, t topics.Topic) error {
	switch t.Action {
	case topics.ActionBackup:
		_, _, err := e.Start(ctx, Actor{Name: actor, Role: store.Operator}, Request{Host: t.Host, Kind: topics.BackupJob})
		return err
	case topics.ActionCancel:
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
