package restores

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Lasts is how long a restore may go by a dry run.
const Lasts = 24 * time.Hour

// A StaleError refuses a restore by a dry run that says nothing of it any more.
type StaleError struct {
	Job  topics.JobID
	Host topics.HostID
	Name string // of the host
	Why  string // a sentence
}

// Error implements error.
func (e *StaleError) Error() string { return "the dry run is stale: " + e.Why }

// A Wish is a restore that is to go by a dry run.
type Wish struct {
	Host       store.Host
	Repository topics.RepositoryID
	Place      topics.HostID // see Basket
	Operation  topics.Operation
	DryRun     topics.JobID
}

// Of returns the dry run's job, or store.ErrNotFound.
func dryRun(ctx context.Context, s *store.Store, id topics.JobID) (store.Job, topics.Operation, error) {
	j, err := s.Job(ctx, id)
	if err != nil {
		return j, topics.Operation{}, err
	}
	if j.Kind != topics.RestoreJob || j.Operation.V == nil || !j.Operation.V.DryRun {
		return j, topics.Operation{}, store.ErrNotFound
	}
	return j, *j.Operation.V, nil
}

// Into takes over the new folder that a dry run was given, for a restore that says none, or
// that one: it is this restore's as it was the dry run's.
func Into(ctx context.Context, s *store.Store, id topics.JobID, o topics.Operation) (topics.Operation, error) {
	if id == "" || o.InPlace {
		return o, nil
	}
	_, dry, err := dryRun(ctx, s, id)
	if errors.Is(err, store.ErrNotFound) {
		return o, nil // Preview says it
	} else if err != nil {
		return o, err
	}
	if dry.Fresh && (o.Target == "" || o.Target == dry.Target) {
		o.Target, o.Fresh = dry.Target, true
	}
	return o, nil
}

// Preview returns what a restore has to find by its dry run, or a *StaleError that says why
// that dry run is not good for it. presence may be nil where nobody knows who is connected.
func Preview(ctx context.Context, s *store.Store, presence *hosts.Presence, now time.Time, w Wish) (*topics.Preview, error) {
	stale := func(format string, args ...any) error {
		return &StaleError{Job: w.DryRun, Host: w.Host.ID, Name: w.Host.Name, Why: fmt.Sprintf(format, args...)}
	}
	j, dry, err := dryRun(ctx, s, w.DryRun)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, stale("There is no dry run %.40q.", w.DryRun)
	case err != nil:
		return nil, err
	case j.Host != w.Host.ID:
		return nil, stale("It was done on another host.")
	case j.Repository != w.Repository || j.Place != w.Place:
		return nil, stale("It was of another repository.")
	case !j.State.Ended():
		return nil, stale("It has not ended yet.")
	case j.State != topics.Succeeded && j.State != topics.Warnings:
		return nil, stale("It did not end well: it %s.", ended[j.State])
	}
	saw := ""
	if r := j.Result.V; r != nil && r.Restore != nil {
		saw = r.Restore.Digest
	}
	age := now.Sub(time.UnixMilli(j.FinishedAt))
	switch {
	case age > Lasts:
		return nil, stale("It is older than a day: it ended %s.", words.Ago(time.UnixMilli(j.FinishedAt), now))
	case differs(dry, w.Operation) != "":
		return nil, stale("%s since.", differs(dry, w.Operation))
	}
	for _, item := range dry.Basket() {
		n, err := s.SnapshotByID(ctx, w.Repository, item.Snapshot)
		if err == nil && n.GoneAt > 0 {
			return nil, stale("Snapshot %.8s is gone from the repository since.", n.ID)
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	back := w.Host.BackAt
	if presence != nil {
		look := presence.Look(w.Host.ID)
		if back = max(back, look.Back.UnixMilli()); look.Connection == hosts.Offline {
			return nil, stale("%s went offline since: what lies there now, nobody knows.", w.Host.Name)
		}
	}
	switch {
	case back > j.FinishedAt:
		return nil, stale("%s was offline since.", w.Host.Name)
	case saw == "":
		return nil, stale("It did not say what it saw: the agent of %s was of an older version.", w.Host.Name)
	}
	return &topics.Preview{Job: j.ID, Digest: saw}, nil
}

var ended = map[topics.JobState]string{
	topics.Failed:      "failed",
	topics.Cancelled:   "was cancelled",
	topics.Interrupted: "was interrupted",
	topics.Abandoned:   "was not started in time",
}

// differs says what a restore asks for that its dry run did not, "" if nothing.
func differs(dry, run topics.Operation) string {
	never := func(o string) string {
		if o == "" {
			return topics.Overwrites[0]
		}
		return o
	}
	switch {
	case !bytes.Equal(topics.Encode(dry.Basket()), topics.Encode(run.Basket())):
		return "The selection was changed"
	case dry.InPlace != run.InPlace || dry.Target != run.Target:
		return "The target was changed"
	case never(dry.Overwrite) != never(run.Overwrite):
		return "What happens to files that are there was changed"
	case dry.NoOwners != run.NoOwners:
		return "Whether owners are kept was changed"
	}
	return ""
}

// Same reports whether two restores ask for the same, whatever their new folders are called.
func Same(a, b topics.Operation) bool {
	for _, o := range []*topics.Operation{&a, &b} {
		if o.Fresh {
			o.Target = ""
		}
		o.Confined = false
	}
	return bytes.Equal(topics.Encode(a), topics.Encode(b))
}
