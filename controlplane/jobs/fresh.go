package jobs

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Drawn returns what a drill is to prove, with its sample's size and a seed of its own. The
// snapshots are chosen when it is sent.
func Drawn(d *topics.Drill) *topics.Drill {
	out := topics.Drill{}
	if d != nil {
		out = *d
	}
	out.Groups = nil
	if !out.Full {
		out.Files, out.Bytes = cmp.Or(out.Files, topics.DrillFiles), cmp.Or(out.Bytes, topics.DrillBytes)
	}
	out.Seed = cmp.Or(out.Seed, 1+rand.Int64N(1<<53-1)) // as JSON's readers can hold it
	return &out
}

// fresh gives a restore that says no target a directory of its own. If the same was
// asked for and has not ended, it is that one's; if a dry run was done first, the dry
// run's.
func (e *Engine) fresh(ctx context.Context, a Actor, r Request) (_ Request, err error) {
	r.Operation.Fresh = false // that is ours to say
	if r.Kind != topics.RestoreJob {
		return r, nil
	}
	r.Operation, err = restores.Into(ctx, e.Store, r.DryRunJob, r.Operation)
	if err != nil || r.Operation.Target != "" || r.Operation.InPlace {
		return r, err
	}
	h, err := e.Store.Host(ctx, r.Host)
	if errors.Is(err, store.ErrNotFound) {
		return r, ErrNoHost
	} else if err != nil {
		return r, err
	}
	open, err := e.Store.OpenJobs(ctx, r.Host)
	if err != nil {
		return r, err
	}
	now, first := e.Now(), ""
	for _, item := range r.Operation.Basket() {
		first = item.Snapshot
		break
	}
	id := topics.NewID(now)
	r.Operation.Target = restores.FreshTarget(h, first, now.UTC().Format("20060102-150405"), id[len(id)-4:])
	r.Operation.Fresh = true
	for _, j := range open {
		if o := j.Operation.V; o != nil && j.Kind == r.Kind && j.Repository == r.Repository && !j.CancelAsked && restores.Same(*o, r.Operation) &&
			o.Confined == (h.Permits.V.Quarantined(o.Target) && !rights.May(a.Role, rights.RestoreOver)) {
			r.Operation.Target = o.Target
			break
		}
	}
	return r, nil
}

// judge returns why a restore is not asked for as it is, whoever asks: its host, what has
// to be seen first, and what has to be said. It returns the operation with what it has to
// find, if it goes by a dry run.
func (e *Engine) judge(ctx context.Context, r Request, place topics.HostID) (topics.Operation, error) {
	o := r.Operation
	h, err := e.Store.Host(ctx, r.Host)
	if errors.Is(err, store.ErrNotFound) {
		return o, ErrNoHost
	} else if err != nil {
		return o, err
	}
	if err := e.gone(ctx, r.Host, r.Kind, r.Repository, o); err != nil {
		return o, err
	}
	if r.DryRunJob != "" {
		o.Preview = &topics.Preview{Job: r.DryRunJob}
	}
	for _, err := range []error{permits.Kind(h, r.Kind), restores.Able(h, o), permits.Restore(h, o)} {
		if err != nil {
			return o, err
		}
	}
	if r.DryRunJob != "" {
		if o.Preview, err = restores.Preview(ctx, e.Store, e.Presence, e.Now(), restores.Wish{Host: h, Repository: r.Repository, Place: place,
			Operation: o, DryRun: r.DryRunJob}); err != nil {
			return o, err
		}
	}
	return o, restores.Confirm(h, o, r.Confirm)
}
