package maintenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/store/reviews"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Reasons to refuse maintenance that a person asks for.
var (
	ErrNoKeeper  = errors.New("the repository has no keeper")
	ErrNotKeeper = errors.New("another host is the repository's keeper")
	ErrNoPlan    = errors.New("no such plan waits for approval")
	ErrNoPlace   = errors.New("no host has made a repository yet that could be looked after")
	ErrKind      = errors.New("maintenance is forget, prune or check")
)

// Timing holds the durations of this package.
type Timing struct {
	Tick     time.Duration // how often due work is looked for
	NotAfter time.Duration // how long a job of a run waits for its host
	Review   time.Duration // how long a plan waits for approval
	RetryMax int           // how often a run is retried after a temporary failure
}

// DefaultTiming is what production uses.
func DefaultTiming() Timing {
	return Timing{Tick: 15 * time.Second, NotAfter: 24 * time.Hour, Review: 7 * 24 * time.Hour, RetryMax: 8}
}

// Jobs is what a runner needs of the jobs engine.
type Jobs interface {
	AskAt(ctx context.Context, actor string, o jobs.Order) (job store.Job, fresh bool, err error)
	Permit(ctx context.Context, o jobs.Order) error
	Settle(ctx context.Context, end topics.Finished) error
	Stir()
}

// Config holds what a runner needs.
type Config struct {
	Store  *store.Store
	Jobs   Jobs
	Online func(topics.HostID) bool // whether commands can reach a host
	// Changed is called with the hosts about which something changed; it must not
	// block.
	Changed func(...topics.HostID)
	Log     *slog.Logger
	Timing  Timing
	Now     func() time.Time // days are counted in its zone
}

// A Runner runs due maintenance on the keepers, and what people ask for. The progress
// of each run is in the database, so a control plane that was killed continues where
// it was. Run does the work; the other methods may be called from any goroutine.
type Runner struct {
	Config
	wake chan struct{}

	mu   sync.Mutex
	busy map[topics.HostID]bool // hosts of open runs
}

// NewRunner returns a runner; Run starts it.
func NewRunner(c Config) *Runner {
	return &Runner{Config: c, wake: make(chan struct{}, 1), busy: map[topics.HostID]bool{}}
}

// HostChanged makes Run look at a host's runs. It does not block.
func (r *Runner) HostChanged(h topics.HostID) {
	r.mu.Lock()
	busy := r.busy[h]
	r.mu.Unlock()
	if busy {
		r.stir()
	}
}

func (r *Runner) stir() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run advances runs until ctx ends. A step that fails is repeated at the next tick.
func (r *Runner) Run(ctx context.Context) error {
	tick := time.NewTicker(r.Timing.Tick)
	defer tick.Stop()
	r.note(ctx, "maintenance of repositories failed", r.tick(ctx))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
			_, err := r.steps(ctx)
			r.note(ctx, "maintenance of repositories failed", err)
		case <-tick.C:
			r.note(ctx, "maintenance of repositories failed", r.tick(ctx))
		}
	}
}

func (r *Runner) note(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		r.Log.Error(what, "err", err)
	}
}

// tick advances the open runs, then starts what is due.
func (r *Runner) tick(ctx context.Context) error {
	open, err := r.steps(ctx)
	if err != nil {
		return err
	}
	if err := r.Store.ExpireReviews(ctx); err != nil {
		return err
	}
	repositories, err := r.Store.Repositories(ctx)
	if err != nil {
		return err
	}
	rows, err := r.Store.Hours(ctx, "")
	if err != nil {
		return err
	}
	type key struct {
		repository topics.RepositoryID
		kind       topics.JobKind
	}
	hours := map[key]store.MaintenanceHours{}
	for _, d := range rows {
		hours[key{d.Repository, d.Kind}] = d
	}
	var began []store.MaintenanceHours
	for _, repo := range repositories {
		if there, err := r.there(ctx, repo); err != nil {
			return err
		} else if !there {
			continue
		}
		var due store.MaintenanceHours
		var slot int64
		for _, kind := range Kinds {
			d, known := hours[key{repo.ID, kind}]
			switch {
			case !known: // slots before it was first seen do not count as missed
				d = Usual(repo.ID, kind)
				d.Served = r.Now().UnixMilli()
				began = append(began, d)
			case slot == 0 && (kind != topics.ForgetJob || retention.KeepOf(repo) != store.Keep{}):
				due, slot = d, Due(d, r.Now())
			}
		}
		if slot == 0 || open[repo.ID] || !r.Online(repo.Keeper) {
			continue
		}
		left, err := r.left(ctx, repo, repo.Keeper, due.Kind, slot, nil)
		if err == nil && len(left) > 0 {
			_, err = r.start(ctx, repo, due, store.MaintenanceRun{RequestedBy: store.Plane, Host: repo.Keeper, Place: left[0], Slot: slot})
		} else if err == nil { // what was left has no host any more
			due.Served, due.Attempt, due.NextAttemptAt = slot, 0, 0
			err = r.Store.PutServed(ctx, due)
		}
		if err != nil {
			r.note(ctx, "beginning maintenance failed", fmt.Errorf("%s of %s: %w", due.Kind, repo.ID, err)) // go on with the others
		}
	}
	if len(began) == 0 {
		return nil
	}
	return r.Store.BeginHours(ctx, began)
}

// Ask starts maintenance for a person and returns its main job. A forget's job is
// held until the repository was listed and the plan is made; if nothing is to be
// removed, it succeeds. If the repository has no keeper, the host must be given, and
// gets the right to delete. approve is the hash of a held plan to carry out, or "". give
// says that the host is to get the repository for this, though it does not have it; see
// [jobs.GivingError].
func (r *Runner) Ask(
	ctx context.Context, a jobs.Actor, repository topics.RepositoryID, kind topics.JobKind, host topics.HostID, approve string, give bool,
) (topics.JobID, error) {
	if !slices.Contains(Kinds, kind) || approve != "" && kind != topics.ForgetJob {
		return "", ErrKind
	}
	if err := a.Lacks(rights.Right(kind)); err != nil {
		return "", err
	}
	if approve != "" {
		if err := a.Lacks(rights.Approve); err != nil {
			return "", err
		}
	}
	repo, err := repositories.Find(ctx, r.Store, repository)
	if err != nil {
		return "", err
	}
	switch {
	case host == "" && repo.Keeper == "":
		return "", ErrNoKeeper
	case host == "":
		host = repo.Keeper
	case repo.Keeper != "" && host != repo.Keeper:
		return "", ErrNotKeeper
	}
	if err := retention.CheckRepository(repo); err != nil && kind == topics.ForgetJob {
		return "", err
	}
	hours, err := r.Hours(ctx, repository)
	if err != nil {
		return "", err
	}
	var review store.Review
	var all []topics.HostID
	if approve == "" {
		if all, err = Places(ctx, r.Store, repo, host); err != nil {
			return "", err
		}
		if len(all) == 0 {
			return "", ErrNoPlace
		}
	} else if review, err = r.Store.ReviewNamed(ctx, repository, approve); errors.Is(err, store.ErrNotFound) {
		return "", ErrNoPlan
	} else if err != nil {
		return "", err
	} else {
		all = []topics.HostID{review.Place}
	}
	givenBy, err := r.gives(ctx, a, jobs.Order{Host: host, Kind: kind, Repository: repository, Operation: permitted(kind)}, all, give)
	if err != nil {
		return "", err
	}
	if approve != "" {
		if err := r.Store.Approve(ctx, a.Name, repository, approve); errors.Is(err, store.ErrNotFound) {
			return "", ErrNoPlan
		} else if err != nil {
			return "", err
		}
	}
	var first topics.JobID
	for _, place := range all {
		id, err := r.start(ctx, repo, hours[kind], store.MaintenanceRun{RequestedBy: a.Name, Host: host, Place: place, Approved: approve,
			GivenBy: givenBy})
		if err != nil {
			return first, err
		}
		first = cmp.Or(first, id)
	}
	return first, nil
}

// permitted is an operation of a kind of maintenance for which it is asked whether it may
// be; of a forget the snapshots are not known yet.
func permitted(kind topics.JobKind) (o topics.Operation) {
	if kind == topics.ForgetJob {
		o.Snapshots = []string{strings.Repeat("0", 64)}
	}
	return o
}

// gives returns who gives a host a repository that it does not have, at some of the places
// of a run; "" if it has it at all of them. It returns a *jobs.GivingError unless they said so.
func (r *Runner) gives(ctx context.Context, a jobs.Actor, o jobs.Order, all []topics.HostID, give bool) (by string, err error) {
	for _, o.Place = range all {
		err := r.Jobs.Permit(ctx, o)
		if !errors.As(err, new(*jobs.GivingError)) {
			continue // start answers with any other
		}
		if lacks := a.Lacks(rights.Give); lacks != nil {
			return "", lacks
		}
		if !give {
			return "", err
		}
		by = a.Name
	}
	return by, nil
}

// start begins a run that says who asks for it, where, and for which slot or plan.
func (r *Runner) start(ctx context.Context, repo store.Repository, d store.MaintenanceHours, run store.MaintenanceRun) (
	topics.JobID, error) {
	now, host := r.Now(), run.Host
	o := topics.Operation{}
	if d.Kind == topics.CheckJob {
		o.Subset = Subset(d)
	}
	permit := o
	if d.Kind == topics.ForgetJob {
		permit = permitted(d.Kind)
	}
	if err := r.Jobs.Permit(ctx, jobs.Order{Host: host, Kind: d.Kind, Repository: repo.ID, Place: run.Place, Operation: permit,
		GivenBy: run.GivenBy}); err != nil {
		return "", err
	}
	run.ID, run.Repository, run.Kind = topics.JobID(topics.NewID(now)), repo.ID, d.Kind
	run, fresh, err := r.Store.StartRun(ctx, run, store.Job{
		ID:         run.ID,
		Host:       host,
		Kind:       d.Kind,
		Repository: repo.ID,
		Place:      run.Place,
		Held:       d.Kind == topics.ForgetJob,
		Operation:  store.JSON[topics.Operation]{V: &o},
		NotAfter:   now.Add(r.Timing.NotAfter).UnixMilli(),
	})
	if err != nil {
		return "", err
	}
	failpoint.Here("plane-run-started")
	if fresh {
		r.Log.Info("maintenance begins", "repository", repo.ID, "kind", d.Kind, "host", host, "job", run.ID)
	}
	r.mu.Lock()
	r.busy[host] = true
	r.mu.Unlock()
	r.Changed(host)
	r.Jobs.Stir()
	r.stir()
	return run.ID, nil
}

// steps advances every open run as far as possible, and returns the hosts of those
// still open.
func (r *Runner) steps(ctx context.Context) (map[topics.RepositoryID]bool, error) {
	runs, err := r.Store.OpenRuns(ctx)
	if err != nil {
		return nil, err
	}
	open, busy, errs := map[topics.RepositoryID]bool{}, map[topics.HostID]bool{}, []error(nil)
	for _, run := range runs {
		ended, err := r.step(ctx, run)
		if err != nil {
			errs = append(errs, fmt.Errorf("run %s: %w", run.ID, err))
		}
		if !ended {
			open[run.Repository], busy[run.Host] = true, true
		}
	}
	r.mu.Lock()
	r.busy = busy
	r.mu.Unlock()
	return open, errors.Join(errs...)
}

func (r *Runner) step(ctx context.Context, run store.MaintenanceRun) (ended bool, err error) {
	j, err := r.Store.Job(ctx, run.ID)
	if err != nil {
		return false, err
	}
	switch {
	case run.Kind == topics.ForgetJob && j.Held && !j.State.Ended():
		return false, r.plan(ctx, run)
	case run.Job != "" && run.Job != run.ID: // a later batch of a long plan
		if j, err = r.Store.Job(ctx, run.Job); err != nil {
			return false, err
		}
	}
	if !j.State.Ended() {
		return false, nil
	}
	if run.Kind == topics.ForgetJob && j.State == topics.Succeeded && run.Plan.V != nil {
		batch := r.batch(run)
		run.Removed += len(batch)
		if run.Batch++; len(r.batch(run)) > 0 {
			repo, err := r.Store.Repository(ctx, run.Repository)
			if err != nil {
				return false, err
			}
			if rules := run.Plan.V.Rules; rules != "" && rules != repo.Rules() {
				j.State, j.Cause = topics.Cancelled, topics.CauseCancelled
				j.Message = fmt.Sprintf("%d of %d snapshots were removed, then the retention rules were changed. The next one goes by the new rules.",
					run.Removed, len(run.Plan.V.Remove))
				return true, r.end(ctx, run, j)
			}
			next, _, err := r.Jobs.AskAt(ctx, run.RequestedBy, order(run, topics.ForgetJob, topics.Operation{Snapshots: r.batch(run)}))
			if refused(err) {
				j.State, j.Cause = topics.Failed, topics.CauseRefused
				j.Message = fmt.Sprintf("%d of %d snapshots were removed, then its host was not to go on: %v.",
					run.Removed, len(run.Plan.V.Remove), err)
				return true, r.end(ctx, run, j)
			}
			if err != nil {
				return false, err
			}
			failpoint.Here("plane-batch-asked")
			run.Job = next.ID
			return false, r.Store.PutRun(ctx, run)
		}
	}
	return true, r.end(ctx, run, j)
}

// refused reports whether a job cannot be asked for, now or later.
func refused(err error) bool {
	var keeper *jobs.NotKeeperError
	var giving *jobs.GivingError
	return errors.As(err, &giving) || errors.Is(err, jobs.ErrForbidden) || errors.Is(err, jobs.ErrNoHost) ||
		errors.Is(err, jobs.ErrNoRepository) || errors.As(err, new(*replacing.HeldError)) ||
		errors.Is(err, topics.ErrOperation) || errors.As(err, &keeper)
}

// order is a job that a run needs.
func order(run store.MaintenanceRun, kind topics.JobKind, o topics.Operation) jobs.Order {
	return jobs.Order{Host: run.Host, Kind: kind, Repository: run.Repository, Place: run.Place, Operation: o, GivenBy: run.GivenBy}
}

// batch returns the snapshots of a plan that one job removes.
func (r *Runner) batch(run store.MaintenanceRun) []string {
	ids := run.Plan.V.Remove
	from := min(run.Batch*topics.MaxPaths, len(ids))
	return ids[from:min(from+topics.MaxPaths, len(ids))]
}

// plan advances a forget until its job can be sent or it has ended: it lists the
// repository and its keys, and makes the plan from that.
func (r *Runner) plan(ctx context.Context, run store.MaintenanceRun) error {
	settle := func(end topics.Finished) error {
		end.Job = run.ID
		r.stir()
		return r.Jobs.Settle(ctx, end)
	}
	if run.Listing == "" {
		for _, rest := range []struct {
			kind topics.JobKind
			id   *topics.JobID
		}{{topics.SnapshotsJob, &run.Listing}, {topics.KeyJob, &run.Keys}} {
			j, _, err := r.Jobs.AskAt(ctx, run.RequestedBy, order(run, rest.kind, topics.Operation{}))
			switch {
			case refused(err) && rest.kind == topics.KeyJob:
			case refused(err): // a retry would be refused too, and the job would be held forever
				return settle(topics.Finished{State: topics.Failed, Cause: topics.CausePolicy,
					Message: "The repository could not be listed first, so nothing was removed. " + err.Error() + "."})
			case err != nil:
				return err
			}
			*rest.id = j.ID
		}
		failpoint.Here("plane-listing-asked")
		return r.Store.PutRun(ctx, run)
	}
	listing, err := r.Store.Job(ctx, run.Listing)
	if err != nil || !listing.State.Ended() {
		return err
	}
	if listing.State != topics.Succeeded {
		end := topics.Finished{State: topics.Failed, Cause: listing.Cause,
			Message: "The repository could not be listed first, so nothing was removed. " + listing.Message}
		if listing.State == topics.Cancelled || listing.State == topics.Abandoned {
			end.State = listing.State
		}
		return settle(end)
	}
	// A failed listing of keys does not stop the forget; the age of the last listing
	// is shown.
	if run.Keys != "" {
		if keys, err := r.Store.Job(ctx, run.Keys); err != nil || !keys.State.Ended() {
			return err
		}
	}
	repo, err := r.Store.Repository(ctx, run.Repository)
	if err != nil {
		return err
	}
	if repo.Keeper != run.Host && (repo.Keeper != "" || run.Slot > 0) {
		return settle(topics.Finished{State: topics.Failed, Cause: topics.CauseRefused,
			Message: "Its host is not the repository's keeper any more, so nothing was removed. Ask for it again."})
	}
	if repo.ListedAt < listing.FinishedAt {
		return settle(topics.Finished{State: topics.Failed, Cause: topics.CauseUnknown,
			Message: "The listing before it was not whole, so nothing was removed."})
	}
	plan, err := retention.Decide(ctx, r.Store, repo, run.Where(), run.Approved, r.Now())
	if errors.Is(err, store.ErrImporting) {
		return nil // the next look finds that it is done
	} else if err != nil {
		return err
	}
	run.Plan.V = &plan
	if len(plan.Remove) == 0 || plan.Hash == "" {
		if err := r.Store.PutRun(ctx, run); err != nil {
			return err
		}
		end := topics.Finished{State: topics.Succeeded, Message: "There was nothing to remove.", Result: &topics.Result{}}
		switch fresh, err := r.fresh(ctx, run); {
		case err != nil:
			return err
		case fresh || plan.Hash == "":
			end = topics.Finished{State: topics.Failed, Cause: topics.CauseReview, Message: strings.Join(plan.Unusual, " ")}
		case len(plan.Held) > 0:
			end.Message = "There was nothing else to remove: " + retention.HeldSince(r.zoned(ctx), plan.Held)
		}
		failpoint.Here("plane-plan-held")
		return settle(end)
	}
	run.Job = run.ID
	if err := r.Store.Release(ctx, run, topics.Operation{Snapshots: r.batch(run)}); errors.Is(err, store.ErrNotFound) {
		return nil // cancelled meanwhile
	} else if err != nil {
		return err
	}
	failpoint.Here("plane-plan-released")
	r.Changed(run.Host)
	r.Jobs.Stir()
	return nil
}

// zoned returns a context in which moments are told by the runner's clock.
func (r *Runner) zoned(ctx context.Context) context.Context {
	return words.WithZone(ctx, r.Now().Location())
}

// fresh reports whether a run's plan holds a source group that was not held before, so
// that people have to be told.
func (r *Runner) fresh(ctx context.Context, run store.MaintenanceRun) (bool, error) {
	if run.Plan.V == nil || len(run.Plan.V.Held) == 0 {
		return false, nil
	}
	list, err := r.Store.Reviews(ctx, run.Repository)
	var known []reviews.Hold
	for _, was := range list {
		if was.Place == run.Place && was.Plan.V != nil {
			known = append(known, was.Plan.V.Held...)
		}
	}
	return err == nil && slices.ContainsFunc(run.Plan.V.Held, func(h reviews.Hold) bool {
		return !slices.ContainsFunc(known, func(o reviews.Hold) bool { return o.Group == h.Group })
	}), err
}

// end ends a run with the result of its last job. A plan that holds source groups waits
// for a person from then on, whatever became of the others; the run counts as held only
// the first time.
func (r *Runner) end(ctx context.Context, run store.MaintenanceRun, j store.Job) error {
	run.Message = j.Message
	fresh, err := r.fresh(ctx, run)
	if err != nil {
		return err
	}
	var review *store.Review
	if run.Plan.V != nil && len(run.Plan.V.Held) > 0 {
		held := retention.HeldPlan(*run.Plan.V)
		review = &store.Review{
			Repository: run.Repository,
			Place:      run.Place,
			Hash:       held.Hash,
			Plan:       store.JSON[store.Plan]{V: &held},
			HeldAt:     j.FinishedAt,
			ExpiresAt:  j.FinishedAt + r.Timing.Review.Milliseconds(),
		}
	}
	switch done := j.State == topics.Succeeded || j.State == topics.Warnings; {
	case (done || j.Cause == topics.CauseReview) && fresh:
		run.Outcome = store.RunHeld
	case done:
		run.Outcome = store.RunSucceeded
	case j.State == topics.Cancelled:
		run.Outcome = store.RunCancelled
	default:
		run.Outcome = store.RunFailed
	}
	if review != nil && run.Removed > 0 {
		said := []string{run.Message}
		if fresh {
			said = append(said, run.Plan.V.Unusual...)
		}
		said = append(said, retention.HeldSince(r.zoned(ctx), run.Plan.V.Held))
		run.Message = strings.TrimSpace(strings.Join(said, " "))
	}
	rows, err := r.Store.Hours(ctx, run.Repository)
	if err != nil {
		return err
	}
	var hours *store.MaintenanceHours
	for _, d := range rows {
		if d.Kind == run.Kind {
			if err := r.served(ctx, &d, &run, j); err != nil {
				return err
			}
			hours = &d
		}
	}
	r.Log.Info("maintenance ended", "repository", run.Repository, "kind", run.Kind, "job",
		run.ID, "outcome", run.Outcome, "removed", run.Removed)
	return r.Store.EndRun(ctx, run, hours, review)
}

// served stores how a run ended with the hours. Runs that a person asked for do not
// affect slots, but the slice of a successful check counts as read. A slot is served when
// it is at every place, and so is a slice.
func (r *Runner) served(ctx context.Context, d *store.MaintenanceHours, run *store.MaintenanceRun, j store.Job) error {
	run.Again = run.Slot > 0 && schedule.Retry(j.State, j.Cause) && d.Attempt < schedule.Retries(j.Cause, r.Timing.RetryMax)
	repo, err := r.Store.Repository(ctx, run.Repository)
	if err != nil {
		return err
	}
	if location.PerHost(repo.Location) {
		if run.Slot == 0 {
			return nil
		}
		left, err := r.left(ctx, repo, run.Host, run.Kind, run.Slot, run)
		if err != nil {
			return err
		}
		if !run.Again && len(left) > 0 {
			d.Attempt, d.NextAttemptAt = 0, 0
			return nil
		}
	}
	if run.Outcome == store.RunSucceeded && run.Kind == topics.CheckJob && j.Operation.V != nil && d.Slices > 0 &&
		j.Operation.V.Subset == Subset(*d) {
		d.Slice = (d.Slice + 1) % d.Slices
	}
	switch {
	case run.Slot == 0:
	case run.Again:
		d.Attempt++
		d.NextAttemptAt = r.Now().Add(schedule.Backoff(d.Attempt)).UnixMilli()
	default:
		d.Served, d.Attempt, d.NextAttemptAt = max(d.Served, run.Slot), 0, 0
	}
	return nil
}
