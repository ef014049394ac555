package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A GivingError refuses a job in a repository that its host does not have: sending it tells
// the host the address and the password. An administrator may do that for one job, if they
// say that they mean it.
type GivingError struct {
	Kind       topics.JobKind
	Host       topics.HostID
	Name       string // of the host
	Repository store.Repository
	Place      string // name of the host at whose place the job works, if that is another
}

// Error implements error.
func (e *GivingError) Error() string {
	return fmt.Sprintf("the host %s does not have the repository %s, and would get its address and password for this %s", e.Name,
		e.Where(), e.Kind)
}

// Where names the repository, and the place in it if that is another host's.
func (e *GivingError) Where() string {
	if e.Place == "" {
		return e.Repository.Name
	}
	return e.Repository.Name + " of " + e.Place
}

// Consequence says beforehand what giving it means.
func (e *GivingError) Consequence() string {
	return fmt.Sprintf("%s has no source group in the repository %s, and is not its keeper. For this %s job it will get the address and "+
		"password of %[2]s: root there can read everything in it, now and later, until the password is changed at the repository.",
		e.Name, e.Where(), e.Kind)
}

// Has returns a *GivingError if a host does not have a repository at a place, nil if it
// does, or if there is no such repository or host.
func (e *Engine) Has(ctx context.Context, host topics.HostID, kind topics.JobKind, repository topics.RepositoryID,
	place topics.HostID) error {
	if yes, err := e.Store.HasRepository(ctx, host, repository, place); yes || err != nil {
		return err
	}
	r, err := e.Store.Repository(ctx, repository)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	h, err := e.Store.Host(ctx, host)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	out := &GivingError{Kind: kind, Host: host, Name: h.Name, Repository: r}
	if place != "" && place != host {
		other, err := e.Store.AnyHost(ctx, place)
		if err != nil {
			return err
		}
		out.Place = other.Name
	}
	return out
}

// weigh returns what the right to ask for a request depends on, and a *GivingError if the
// request's host does not have its repository.
func (e *Engine) weigh(ctx context.Context, r Request) (j rights.Job, giving error, err error) {
	j = rights.Job{Kind: r.Kind, Operation: r.Operation}
	if r.Kind == topics.BackupJob {
		return j, nil, nil // it goes where its host's own source group says
	}
	place, err := e.placeOf(ctx, r.Host, r.Repository, r.Operation)
	if err != nil {
		return j, nil, err
	}
	giving = e.Has(ctx, r.Host, r.Kind, r.Repository, place)
	if j.Strange = errors.As(giving, new(*GivingError)); giving != nil && !j.Strange {
		return j, nil, giving
	}
	if second := topics.RepositoryID(r.Operation.To); r.Kind == topics.CopyJob {
		if giving == nil {
			giving = e.Has(ctx, r.Host, r.Kind, second, "")
			if j.Strange = errors.As(giving, new(*GivingError)); giving != nil && !j.Strange {
				return j, nil, giving
			}
		}
		m, err := e.Store.Mirror(ctx, r.Repository)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return j, nil, err
		}
		j.Unasked = err != nil || m.Target != second || m.Host != r.Host
	}
	if r.Kind != topics.RestoreJob {
		return j, giving, nil
	}
	h, err := e.Store.Host(ctx, r.Host)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return j, nil, err
	}
	j.Outside = r.Operation.InPlace || !r.Operation.Fresh && !h.Permits.V.Quarantined(r.Operation.Target)
	b, err := restores.Resolve(ctx, e.Store, r.Host, r.Repository, r.Operation)
	j.Another = b.Another(r.Host)
	return j, giving, err
}

// quarantines reports whether a request is a restore into the quarantine of its host. An
// agent that told of none is not told to hold to it; a new folder is all that is asked of it.
func (e *Engine) quarantines(ctx context.Context, r Request) (bool, error) {
	h, err := e.Store.Host(ctx, r.Host)
	if errors.Is(err, store.ErrNotFound) {
		return false, ErrNoHost
	}
	return r.Kind == topics.RestoreJob && h.Permits.V.Quarantined(r.Operation.Target), err
}

// because says why a job takes more than the role that its kind takes, "" if it does not.
func because(j rights.Job, giving error) string {
	var g *GivingError
	switch {
	case errors.As(giving, &g):
		return fmt.Sprintf("The host %s does not have the repository %s, and would get its address and password.", g.Name, g.Where())
	case j.Kind == topics.CopyJob && j.Unasked:
		return "The repository it goes to is not the mirror of the other one, by this host: who reads that one would read everything."
	case j.Kind == topics.DrillJob && j.Operation.Drill != nil && j.Operation.Drill.Target != "":
		return "It writes to a place of the host that somebody chose. Without a target it goes into the agent's own scratch folder."
	case j.Kind != topics.RestoreJob:
		return ""
	case j.Operation.InPlace:
		return "It puts files where they were on the host."
	case j.Operation.Replaces():
		return "It writes over files that are there."
	case j.Outside:
		return "It writes to a place of the host that is neither a new folder nor in its folder for restores. Without a target it gets a " +
			"new folder."
	case j.Another:
		return "No job of this host made the snapshot, or one of the snapshots."
	}
	return ""
}

// disown ends the queued jobs whose hosts lost the repository since they were asked for: a
// source group that was moved or removed, or another keeper. Nothing of the repository is
// sent there any more.
func (e *Engine) disown(ctx context.Context) error {
	ids, err := e.Store.Strays(ctx)
	for _, id := range ids {
		err = errors.Join(err, e.Settle(ctx, topics.Finished{Job: id, State: topics.Failed, Cause: topics.CauseNotOwn,
			Message: "Since this was asked for, its host lost the repository: its source groups back up elsewhere, or another host is the keeper."}))
	}
	return err
}

// unread ends the queued jobs whose repositories have secrets that cannot be read, if the
// jobs need them.
func (e *Engine) unread(ctx context.Context) error {
	jobs, err := e.Store.QueuedUnreadable(ctx)
	for id, bad := range jobs {
		j, failed := e.Store.Job(ctx, id)
		if failed == nil && !bad.Everyday() {
			_, failed = e.run(ctx, id)
		} else if failed == nil {
			failed = bad
		}
		if errors.As(failed, &bad) {
			e.Log.Warn("a job is not sent, the secrets of its repository cannot be read", "host", j.Host, "job", id,
				"repository", j.Repository, "err", bad.Err)
			failed = e.Settle(ctx, topics.Finished{Job: id, State: topics.Failed, Cause: topics.CauseSecrets, Message: bad.Say()})
		}
		err = errors.Join(err, failed)
	}
	return err
}

// unsaid reports whether a job's command must not be sent (again), as its host lost the
// repository. A job that may be there already is ended there: the repository's secrets do
// not go out once more.
func (e *Engine) unsaid(ctx context.Context, p protocol.PlaneJob) (bool, error) {
	stray, err := e.Store.Stray(ctx, p.ID)
	if err != nil || !stray {
		return false, err
	}
	e.Log.Warn("a job is not sent, its host lost the repository", "host", p.Host, "job", p.ID, "repository", p.Repository)
	return true, e.Cancel(ctx, store.Plane, p.ID)
}
