package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// PreviewLasts is how long a rewrite or repair may go by a dry run.
const PreviewLasts = 24 * time.Hour

// A PreviewError refuses to take anything out of snapshots that nobody has looked at first.
type PreviewError struct {
	Kind       topics.JobKind
	Repository topics.RepositoryID
	Job        topics.JobID // the dry run that was named, "" if none was
	Why        string       // a sentence
}

// Error implements error.
func (e *PreviewError) Error() string { return string(e.Kind) + " takes a dry run first: " + e.Why }

// A TooOldError refuses a job for which the host's restic is too old.
type TooOldError struct {
	Name, Restic string // of the host, and which it has
	What, Since  string // what it is too old for, and since which version restic does that
}

// Error implements error.
func (e *TooOldError) Error() string {
	return "restic on " + e.Name + " is " + e.Restic + ", and " + e.What + " takes " + e.Since + " or newer"
}

// Able returns why a host cannot do what a job asks of it, nil if it can or nobody knows: its
// restic is too old, or its agent is to make snapshots anew.
func Able(h store.Host, kind topics.JobKind, o topics.Operation) error {
	if kind == topics.RestoreJob && o.InPlace && h.OS == "windows" {
		return tooOld(h, since.RestoreAnywhere)
	}
	if !kind.Remakes() {
		return nil
	}
	if !h.Able(topics.RemakesSnapshots) {
		return &permits.OldAgent{Name: h.Name, What: map[topics.JobKind]string{
			topics.TagJob:     "change the tags of snapshots",
			topics.RewriteJob: "take files out of snapshots",
			topics.RepairJob:  "repair repositories",
		}[kind]}
	}
	switch {
	case kind == topics.RewriteJob:
		return tooOld(h, since.Rewrite)
	case kind == topics.RepairJob && o.What == topics.RepairSnapshots:
		return tooOld(h, since.RepairSnapshots)
	case kind == topics.RepairJob && o.What == topics.RepairPacks:
		return tooOld(h, since.RepairPacks)
	}
	return nil
}

// tooOld returns a [*TooOldError] if a host's restic is known to be older than something
// takes.
func tooOld(h store.Host, f since.Feature) error {
	if v, ok := since.Parse(h.ResticVersion); !ok || v.Has(f) {
		return nil
	}
	return &TooOldError{Name: h.Name, Restic: h.ResticVersion, What: f.What, Since: f.Since.Short()}
}

// remake completes a request to make snapshots anew: each is named by the beginning of its
// ID, or by that of one that it took the place of, and what takes anything out goes by a dry
// run of the same that ended well.
func (e *Engine) remake(ctx context.Context, r Request) (Request, error) {
	if !r.Kind.Remakes() {
		return r, nil
	}
	for i, id := range r.Operation.Snapshots {
		n, err := e.Store.SnapshotByID(ctx, r.Repository, id)
		if errors.Is(err, store.ErrNotFound) {
			continue // it may be there, if the whole ID is given
		} else if err != nil {
			return r, err
		}
		if n, err = e.current(ctx, n); err != nil {
			return r, err
		}
		r.Operation.Snapshots[i] = n.ID
	}
	takes := r.Kind == topics.RewriteJob || r.Kind == topics.RepairJob && r.Operation.What == topics.RepairSnapshots
	if !takes || r.Operation.DryRun {
		return r, nil
	}
	if r.Kind == topics.RepairJob && len(r.Operation.Snapshots) == 0 && r.DryRunJob != "" { // those that the dry run named
		parts, err := e.Store.Reports(ctx, r.DryRunJob)
		if err != nil {
			return r, err
		}
		for _, p := range parts {
			for _, one := range p.Replacements {
				if one.Became == topics.BecameChanged || one.Became == topics.BecameRemoved {
					r.Operation.Snapshots = append(r.Operation.Snapshots, one.Snapshot)
				}
			}
		}
	}
	if r.DryRunJob != "" {
		if err := r.Operation.Check(r.Kind); err != nil {
			return r, err
		}
	}
	seen, err := e.seen(ctx, r)
	if err != nil {
		return r, err
	}
	r.Operation.Preview = seen
	return r, nil
}

// seen returns what the dry run saw that a request goes by.
func (e *Engine) seen(ctx context.Context, r Request) (*topics.Preview, error) {
	stale := func(format string, args ...any) error {
		return &PreviewError{Kind: r.Kind, Repository: r.Repository, Job: r.DryRunJob, Why: fmt.Sprintf(format, args...)}
	}
	if r.DryRunJob == "" {
		return nil, stale("It takes something out of snapshots that nobody can put back, so it goes by a dry run that somebody looked at, and " +
			"none is named.")
	}
	j, err := e.Store.Job(ctx, r.DryRunJob)
	if errors.Is(err, store.ErrNotFound) || err == nil && (j.Kind != r.Kind || j.Operation.V == nil || !j.Operation.V.DryRun) {
		return nil, stale("There is no such dry run %.40q.", r.DryRunJob)
	} else if err != nil {
		return nil, err
	}
	age := e.Now().Sub(time.UnixMilli(j.FinishedAt))
	switch {
	case j.Repository != r.Repository:
		return nil, stale("That dry run was of another repository.")
	case !j.State.Ended():
		return nil, stale("That dry run has not ended yet.")
	case j.State != topics.Succeeded || j.Result.V == nil || j.Result.V.Remade == nil || j.Result.V.Remade.Digest == "":
		return nil, stale("That dry run did not end well.")
	case age > PreviewLasts:
		return nil, stale("That dry run is older than a day: it ended %s.", words.Ago(time.UnixMilli(j.FinishedAt), e.Now()))
	case !same(*j.Operation.V, r.Operation):
		return nil, stale("That dry run was of other snapshots, or of other patterns.")
	}
	return &topics.Preview{Job: j.ID, Digest: j.Result.V.Remade.Digest}, nil
}

// same reports whether a dry run looked at what is to be done. A repair looks at all
// snapshots, if none is named, and what is to be done is what it found: the digest says so.
func same(dry, run topics.Operation) bool {
	for _, o := range []*topics.Operation{&dry, &run} {
		o.DryRun, o.Preview = false, nil
	}
	if len(dry.Snapshots) == 0 {
		run.Snapshots = nil
	}
	return bytes.Equal(topics.Encode(dry), topics.Encode(run))
}

// current is the snapshot that has a snapshot's place now, if a job of ours put it there and
// it is there; else the snapshot itself.
func (e *Engine) current(ctx context.Context, n store.Snapshot) (store.Snapshot, error) {
	if n.GoneAt == 0 || n.ReplacedBy == "" || n.NamedBy == "" {
		return n, nil
	}
	near, err := e.Store.Around(ctx, n)
	if err != nil || near.Instead == nil {
		return n, err
	}
	return *near.Instead, nil
}

// follow has an operation that reads snapshots name those that a tag job of ours put in their
// places: what they hold is the very same. What files were taken out of is another snapshot,
// which nobody gets without being told.
func (e *Engine) follow(ctx context.Context, repository topics.RepositoryID, o topics.Operation) (topics.Operation, error) {
	to := func(id string) (string, error) {
		if id == "" {
			return id, nil
		}
		n, err := e.Store.SnapshotByID(ctx, repository, id)
		if errors.Is(err, store.ErrNotFound) {
			return id, nil
		} else if err != nil {
			return id, err
		}
		now, err := e.current(ctx, n)
		if err != nil || now.ID == n.ID || now.Tree != n.Tree || now.Tree == "" {
			return id, err
		}
		return now.ID, nil
	}
	var err error
	for _, id := range []*string{&o.Snapshot, &o.From, &o.To} {
		if *id, err = to(*id); err != nil {
			return o, err
		}
	}
	items := make([]topics.Item, len(o.Items))
	for i, item := range o.Items {
		if item.Snapshot, err = to(item.Snapshot); err != nil {
			return o, err
		}
		items[i] = item
	}
	if len(items) > 0 {
		o.Items = items
	}
	return o, nil
}
