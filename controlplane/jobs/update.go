package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// AskUpdate queues a job that has a host's agent run another release of itself, or use another
// restic; see [Engine.Ask]. If one of the same is queued or under way there, that one is returned and fresh is
// false. It returns a *permits.OldAgent for an agent that cannot be updated from here. Who
// may ask, and whether the host would take it, is for who asks.
func (e *Engine) AskUpdate(ctx context.Context, actor string, host topics.HostID, u topics.Update) (job store.Job, fresh bool, err error) {
	return e.AskUpdateUntil(ctx, actor, host, u, time.Time{})
}

// AskUpdateUntil is AskUpdate of a job that is not begun after a moment; the zero time is the
// usual while.
func (e *Engine) AskUpdateUntil(ctx context.Context, actor string, host topics.HostID, u topics.Update, until time.Time) (
	job store.Job, fresh bool, err error) {
	o := topics.Operation{Update: &u}
	if err := o.Check(topics.UpdateJob); err != nil {
		return job, false, err
	}
	h, err := e.Store.Host(ctx, host)
	if errors.Is(err, store.ErrNotFound) {
		return job, false, ErrNoHost
	} else if err != nil {
		return job, false, err
	}
	if u.Restic == nil && !h.Able(topics.UpdatesItself) {
		return job, false, &permits.OldAgent{Name: h.Name, What: "update itself"}
	}
	if u.Restic != nil && !h.Able(topics.FetchesRestic) {
		return job, false, &permits.OldAgent{Name: h.Name, What: "fetch restic"}
	}
	now := e.Now()
	if last := now.Add(e.Timing.NotAfter); until.IsZero() || until.After(last) {
		until = last
	}
	job, fresh, err = e.Store.Ask(ctx, actor, store.Job{
		ID:        topics.JobID(topics.NewID(now)),
		Host:      host,
		Kind:      topics.UpdateJob,
		Operation: store.JSON[topics.Operation]{V: &o},
		NotAfter:  until.UnixMilli(),
	})
	if err != nil {
		return job, false, err
	}
	failpoint.Here("plane-asked")
	e.tell(host)
	e.Stir()
	return job, fresh, nil
}
