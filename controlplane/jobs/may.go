package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// An Actor is who asks for a job, with their role.
type Actor struct {
	Name string // for the audit log, and as the job's RequestedBy
	Role store.Role
}

// Lacks returns a *RoleError if the actor's role has not this right.
func (a Actor) Lacks(r rights.Right) error { return a.lacks(r, "") }

func (a Actor) lacks(r rights.Right, because string) error {
	if rights.May(a.Role, r) {
		return nil
	}
	return &RoleError{Actor: a, Needs: rights.Least(r), Because: because}
}

// A RoleError refuses a job because the actor's role is too low.
type RoleError struct {
	Actor   Actor
	Needs   store.Role
	Because string // a sentence: what takes more than a job of this kind does; "" if nothing
}

// Error implements error.
func (e *RoleError) Error() string {
	return fmt.Sprintf("it needs the role %s; %s has the role %s", e.Needs, e.Actor.Name, e.Actor.Role)
}

// ErrNotAgain refuses to repeat a job that a person has to confirm first.
var ErrNotAgain = errors.New("this is not asked for again by a click: it removes the locks of live jobs, too")

// ErrRollout refuses to ask for an update by itself.
var ErrRollout = errors.New("agents are updated by a rollout, which asks for the job")

// MaxReason is how long a reason for a job may be, in bytes.
const MaxReason = 200

// A Request asks for a job.
type Request struct {
	Host        topics.HostID
	Kind        topics.JobKind
	SourceGroup string              // name of the group to back up; "" is every group of the host
	Repository  topics.RepositoryID // for every kind but backup
	Operation   topics.Operation
	Confirm     string       // the host's name, for a restore in place or to the root of a file system
	DryRunJob   topics.JobID // the dry run that a restore goes by: it writes only if it finds what that saw
	Reason      string       // why they ask, for the audit log; [MaxReason] bytes at most
	// Give says that the host is to get the repository for this job, though it does not have
	// it. It means nothing where the host does.
	Give bool
}

// check validates a request, whoever made it. It returns a topics.ErrOperation that
// names the field.
func (r Request) check() error {
	switch {
	case r.Kind == topics.UpdateJob:
		return fmt.Errorf("%w: kind: %w", topics.ErrOperation, ErrRollout)
	case r.Kind != topics.BackupJob && r.SourceGroup != "":
		return fmt.Errorf("%w: source_group: only a backup has one", topics.ErrOperation)
	case r.Kind == topics.BackupJob && r.Repository != "":
		return fmt.Errorf("%w: repository: a backup goes where its source group says", topics.ErrOperation)
	case len(r.Reason) > MaxReason:
		return fmt.Errorf("%w: reason: at most %d bytes", topics.ErrOperation, MaxReason)
	case r.Kind != topics.RestoreJob && r.Confirm != "":
		return fmt.Errorf("%w: confirm: only a restore is confirmed", topics.ErrOperation)
	case r.Kind != topics.RestoreJob && r.DryRunJob != "" || r.Operation.DryRun && r.DryRunJob != "":
		return fmt.Errorf("%w: dry_run_job: only a restore that writes goes by one", topics.ErrOperation)
	}
	if err := r.Operation.Check(r.Kind); err != nil {
		return err
	}
	if r.Kind != topics.BackupJob && r.Repository == "" {
		return fmt.Errorf("%w: repository: %s needs one", topics.ErrOperation, r.Kind)
	}
	return nil
}

// MayAsk returns why the actor cannot have this host run a kind of job now, nil if
// they can. It checks the role, the host's policy and the repository's keeper, so
// that pages can disable what Start would refuse. A nil repository means any. The
// operation's options are checked by Start only.
func MayAsk(a Actor, h store.Host, k topics.JobKind, r *store.Repository) error {
	if err := a.Lacks(rights.Right(k)); err != nil {
		return err
	}
	if err := permits.Kind(h, k); err != nil || r == nil {
		return err
	}
	switch {
	case r.RemovedAt > 0:
		return ErrNoRepository
	case Maintains(k) && r.Keeper != "" && r.Keeper != h.ID:
		return &NotKeeperError{Kind: k, Keeper: r.Keeper}
	}
	return nil
}

// Start queues a job; the pages, the API and the command line all use it. It checks
// the request, the actor's role and the host's policy. For a backup of every group it
// returns the first job. If the same job is already queued or running, that one is
// returned and fresh is false. A restore that says no target gets a new directory.
func (e *Engine) Start(ctx context.Context, a Actor, r Request) (job store.Job, fresh bool, err error) {
	if err := a.Lacks(rights.Right(r.Kind)); err != nil && slices.Contains(topics.Kinds, r.Kind) {
		return job, false, err // whatever the rest is
	}
	r.Operation.Confined, r.Operation.Preview = false, nil // those are ours to say
	if r.Kind == topics.DrillJob {
		r.Operation.Drill = Drawn(r.Operation.Drill)
	}
	if r.Kind == topics.RestoreJob {
		b, err := restores.Resolve(ctx, e.Store, r.Host, r.Repository, r.Operation)
		if err != nil {
			return job, false, err
		}
		r.Operation = b.Operation
	}
	if r, err = e.fresh(ctx, a, r); err != nil {
		return job, false, err
	}
	j, giving, err := e.weigh(ctx, r)
	if err != nil {
		return job, false, err
	}
	if err := a.lacks(rights.Of(j), because(j, giving)); err != nil && slices.Contains(topics.Kinds, r.Kind) {
		return job, false, err
	}
	if err := r.check(); err != nil {
		return job, false, err
	}
	if r.Kind == topics.BackupJob {
		return e.AskBackup(ctx, a.Name, r.Host, r.SourceGroup)
	}
	if r.Kind == topics.CopyJob && len(r.Operation.Snapshots) == 0 {
		if r.Operation, err = e.CopySelection(ctx, r.Host, r.Repository, r.Operation); err != nil {
			return job, false, err
		}
	}
	place, err := e.placeOf(ctx, r.Host, r.Repository, r.Operation)
	if err == nil && r.Kind == topics.RestoreJob {
		r.Operation, err = e.judge(ctx, r, place)
	}
	if err != nil {
		return job, false, err
	}
	givenBy := ""
	if giving != nil {
		if givenBy = a.Name; !r.Give {
			return job, false, giving
		}
	}
	if !rights.May(a.Role, rights.RestoreOver) {
		if r.Operation.Confined, err = e.quarantines(ctx, r); err != nil {
			return job, false, err
		}
	}
	return e.AskAt(ctx, a.Name, Order{Host: r.Host, Kind: r.Kind, Repository: r.Repository, Place: place, Operation: r.Operation,
		GivenBy: givenBy, Reason: words.Line(r.Reason)})
}

// Again returns the request that repeats a job, and why the actor cannot make it now,
// nil if they can. elsewhere has a restore go into a new directory; so does one that went
// into one that was its own. A repository that was given for a job is not given again.
func (e *Engine) Again(ctx context.Context, a Actor, j store.Job, elsewhere bool) (Request, error) {
	r := Request{Host: j.Host, Kind: j.Kind}
	if j.Kind == topics.UpdateJob {
		return r, ErrRollout
	}
	if o := j.Operation.V; o != nil {
		r.Operation = *o
	}
	if r.Operation.Fresh || elsewhere { // that directory was for that job
		r.Operation.Fresh, r.Operation.Target, r.Operation.InPlace = false, "", false
	}
	if d := r.Operation.Drill; d != nil { // another sample: what the first did not take may be what is broken
		fresh := *d
		fresh.Seed = 0
		r.Operation.Drill = &fresh
	}
	r.Operation.Preview = nil // what it saw is not so any more
	h, err := e.Store.Host(ctx, j.Host)
	if errors.Is(err, store.ErrNotFound) {
		return r, ErrNoHost
	} else if err != nil {
		return r, err
	}
	var repository *store.Repository
	if j.Kind == topics.BackupJob {
		g, err := e.Store.SourceGroup(ctx, j.SourceGroup)
		if errors.Is(err, store.ErrNotFound) {
			return r, ErrNoGroup
		} else if err != nil {
			return r, err
		}
		r.SourceGroup = g.Name
	} else {
		row, err := e.Store.Repository(ctx, j.Repository)
		if errors.Is(err, store.ErrNotFound) {
			return r, ErrNoRepository
		} else if err != nil {
			return r, err
		}
		r.Repository, repository = j.Repository, &row
	}
	if err := MayAsk(a, h, j.Kind, repository); err != nil {
		return r, e.named(ctx, err)
	}
	r.Operation.Confined = false
	w := r
	w.Operation.Fresh = r.Operation.Target == ""
	weighed, giving, err := e.weigh(ctx, w)
	if err != nil {
		return r, err
	}
	if err := a.lacks(rights.Of(weighed), because(weighed, giving)); err != nil {
		return r, err
	}
	if giving != nil {
		return r, giving
	}
	if r.Operation.All {
		return r, ErrNotAgain
	}
	if j.Kind == topics.RestoreJob {
		return r, cmp.Or(restores.Able(h, r.Operation), permits.Restore(h, r.Operation), restores.Confirm(h, r.Operation, ""))
	}
	return r, nil
}

// RunAgain queues the same job once more; a restore into a new directory if elsewhere
// is set, and if it went to one that was its own.
func (e *Engine) RunAgain(ctx context.Context, a Actor, id topics.JobID, elsewhere bool) (job store.Job, fresh bool, err error) {
	j, err := e.Store.Job(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return job, false, ErrNoJob
	} else if err != nil {
		return job, false, err
	}
	r, err := e.Again(ctx, a, j, elsewhere)
	if err != nil {
		return job, false, err
	}
	return e.Start(ctx, a, r)
}

// named adds the keeper's name to a NotKeeperError.
func (e *Engine) named(ctx context.Context, err error) error {
	var other *NotKeeperError
	if !errors.As(err, &other) || other.Name != "" {
		return err
	}
	h, herr := e.Store.Host(ctx, other.Keeper)
	if herr != nil {
		return herr
	}
	return &NotKeeperError{Kind: other.Kind, Keeper: other.Keeper, Name: h.Name}
}
