package agent

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/agent/restoring"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// work is a running job.
type work struct {
	*runner
	protocol.Start
	binary     restic.Binary
	place      restic.Place
	repository restic.Repository
	out        *sink
}

// operate runs a job to its end. Of a backup it also returns the sources it read.
func (r *runner) operate(ctx context.Context, s protocol.Start, out *sink) (topics.Finished, []source) {
	binary, err := r.program.find(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return r.finished(ctx, restic.Ending{State: topics.Cancelled}, false), nil
		}
		cause := topics.CauseNoRestic
		if restic.Passing(err) {
			cause = topics.CauseUnknown
		}
		return topics.Finished{State: topics.Failed, Cause: cause, Message: err.Error()}, nil
	}
	out.version = binary.Version.String()
	limits, err := s.Run.Group.Limits.At(time.Now())
	if err != nil {
		out.Line(topics.Warn, err.Error()+"; they hold all day")
	}
	binary.Limits = restic.Limits{UploadKiB: limits.UploadKiB, DownloadKiB: limits.DownloadKiB, LowPriority: limits.LowPriority}
	binary.Silence = restic.Silence{Bear: s.Run.Kind.Enduring(), Tell: func(q restic.Quiet) { r.silent.tell(s.Job, q) }}
	binary.Ours = r.restics.of
	defer r.silent.forget(s.Job)
	for _, left := range restic.Foregone(binary.Version, opened(s.Run.Repository), s.Run.Group.Tuning) {
		out.Line(topics.Warn, left)
	}
	w := work{runner: r, Start: s, binary: binary, place: r.place, repository: repository(s.Run), out: out}
	w.place.Job = s.Job

	var found []source
	var e restic.Ending
	ready, hooked := false, false
	switch {
	case s.Run.Kind == topics.BackupJob:
		e, found, hooked = w.backup(ctx)
	case s.Run.Kind == topics.InitJob:
		e, hooked = w.initialise(ctx)
		ready = e.State == topics.Succeeded
	default:
		if e = binary.Reach(ctx, w.repository, out); e.State == topics.Succeeded {
			e = w.operation(ctx)
			ready = e.State == topics.Succeeded
			r.unlock(ctx, e, binary, w.place, w.repository)
			if s.Run.Other != nil {
				r.unlock(ctx, e, binary, w.place, opened(*s.Run.Other))
			}
		}
	}
	whole := w.report(e.Report)
	f := r.finished(ctx, e, ready)
	if f.Result != nil && !whole {
		f.Result.Truncated = true
	}
	if s.Run.Kind == topics.BackupJob {
		w.judge(&f, found)
	}
	w.afterwards(ctx, hooked, &f)
	fitting(&f)
	return f, found
}

// backup makes a snapshot of the sources that it found. The hooks before it run before
// anything else is done, as one of them may mount the repository or reach its server;
// hooked reports whether any was started. It never makes a repository.
func (w work) backup(ctx context.Context) (e restic.Ending, found []source, hooked bool) {
	if e = w.before(ctx); e.State != topics.Succeeded {
		return e, nil, true
	}
	if e = w.binary.Reach(ctx, w.repository, w.out); e.State != topics.Succeeded {
		return e, nil, true
	}
	if found, e = w.look(ctx); e.State != topics.Succeeded {
		return e, nil, true
	}
	group := w.Run.Group
	paths, excludes, out := w.given(found)
	for _, o := range out {
		w.out.Line(topics.Info, ownWords(o))
	}
	marker, err := mark(w.state)
	if err != nil { // the paths are left out all the same
		w.log.Warn("the agent's own files are not marked", "job", w.Job, "err", err)
	}
	e = w.binary.Backup(ctx, w.place, w.repository, restic.Backup{
		Host:          w.identity.Hostname,
		Tags:          groupTags([]topics.SourceGroupID{group.ID}),
		Paths:         paths,
		Excludes:      excludes,
		Never:         append(never(out), processes()...),
		Marker:        marker,
		OneFileSystem: group.OneFileSystem,
		LiveFiles:     group.LiveFiles,
		ShadowOnly:    group.ShadowCopyOnly,
		Tuning:        group.Tuning,
		RetryLock:     retryLock,
	}, w.out)
	w.unlock(ctx, e, w.binary, w.place, w.repository)
	return e, found, true
}

// groupTags are the tags that snapshots of source groups have.
func groupTags(groups []topics.SourceGroupID) (tags []string) {
	for _, g := range groups {
		tags = append(tags, "plan="+string(g))
	}
	return tags
}

// initialise makes the repository if there is none and the job may, with the hooks of
// its source group around it.
func (w work) initialise(ctx context.Context) (e restic.Ending, hooked bool) {
	if e = w.before(ctx); e.State != topics.Succeeded {
		return e, true
	}
	if e = w.binary.Reach(ctx, w.repository, w.out); e.State != topics.Succeeded {
		return e, true
	}
	var like *restic.Repository
	if w.Run.Other != nil {
		other := opened(*w.Run.Other)
		like = &other
	}
	e = w.binary.EnsureLike(ctx, w.place, w.repository, like, func() restic.Ending { return w.mayMake() }, w.out)
	if e.State == topics.Succeeded && e.Result == nil {
		e.Result = &topics.Result{} // it was there already
	}
	return e, true
}

// mayMake says why no repository is made here, Succeeded if it may be.
func (w work) mayMake() restic.Ending {
	if !w.Run.Repository.Initialise {
		return restic.Ending{State: topics.Failed, Cause: topics.CauseNoRepository,
			Message: "there was a repository at this address before, and none is made in its place"}
	}
	if why := notMounted(w.repository.URL); why != "" && !w.Run.Anyway {
		return restic.Ending{State: topics.Failed, Cause: topics.CauseNotMounted, Message: why}
	}
	return restic.Ending{State: topics.Succeeded}
}

// operation runs a job of any kind but backup and init.
func (w work) operation(ctx context.Context) restic.Ending {
	b, place, repository, out, o := w.binary, w.place, w.repository, w.out, w.Run.Operation
	switch w.Run.Kind {
	case topics.ForgetJob:
		return b.Forget(ctx, place, repository, restic.Forget{IDs: o.Snapshots, RetryLock: retryLock}, out)
	case topics.PruneJob:
		return b.Prune(ctx, place, repository, restic.Prune{DryRun: o.DryRun, RetryLock: retryLock}, out)
	case topics.CheckJob:
		return b.Check(ctx, place, repository, restic.Check{
			ReadData:  o.ReadData,
			Subset:    o.Subset,
			WithCache: o.WithCache,
			RetryLock: retryLock,
		}, out)
	case topics.UnlockJob:
		return b.RemoveLocks(ctx, place, repository, o.All, out)
	case topics.SnapshotsJob:
		return b.List(ctx, place, repository, out)
	case topics.StatsJob:
		return b.Stats(ctx, place, repository, out)
	case topics.DiffJob:
		return b.Diff(ctx, place, repository, restic.Diff{From: o.From, To: o.To}, out)
	case topics.RestoreJob:
		return w.restore(ctx)
	case topics.DrillJob:
		return w.drill(ctx)
	case topics.TagJob:
		return b.Tag(ctx, place, repository, restic.Tag{IDs: o.Snapshots, Words: taggingWords(o), Add: o.Add, Remove: o.Remove,
			Set: o.NoTags || len(o.Set) > 0, To: o.Tagged, RetryLock: retryLock}, out)
	case topics.RewriteJob:
		return b.Rewrite(ctx, place, repository, restic.Rewrite{IDs: o.Snapshots, Exclude: o.Exclude, IgnoreCase: o.IgnoreCase,
			DryRun: o.DryRun, Digest: seen(o), RetryLock: retryLock}, out)
	case topics.RepairJob:
		return w.repair(ctx)
	case topics.FindJob:
		return b.Find(ctx, place, repository, restic.Find{Pattern: o.Pattern, Snapshots: o.Snapshots, Tags: groupTags(o.Groups),
			IgnoreCase: o.IgnoreCase || runtime.GOOS == "windows", Found: func(m []topics.Match) { w.report(topics.Report{Matches: m}) }}, out)
	case topics.KeyJob:
		if k := o.Key; k != nil && k.Action == topics.AddKey {
			return b.AddKey(ctx, place, repository,
				restic.NewKey{Password: w.Run.KeyPassword, User: k.User, Host: k.Host, RetryLock: retryLock}, out)
		} else if k != nil {
			return b.RemoveKey(ctx, place, repository, restic.OldKey{ID: k.ID, Password: w.Run.KeyPassword, RetryLock: retryLock}, out)
		}
		return b.Keys(ctx, place, repository, out)
	case topics.LocksJob:
		return b.Locks(ctx, place, repository, out)
	case topics.CopyJob:
		to := opened(*w.Run.Other)
		if e := b.Reach(ctx, to, out); e.State != topics.Succeeded {
			return e
		}
		return b.Copy(ctx, place, to, restic.Copy{From: repository, IDs: o.Snapshots, RetryLock: retryLock}, out)
	}
	return restic.Ending{State: topics.Failed, Cause: topics.CauseRefused,
		Message: "This agent does not know " + string(w.Run.Kind) + ", update it."}
}

// repair puts in order what the operation names.
func (w work) repair(ctx context.Context) restic.Ending {
	b, place, repository, out, o := w.binary, w.place, w.repository, w.out, w.Run.Operation
	switch o.What {
	case topics.RepairIndex:
		return b.RepairIndex(ctx, place, repository, restic.RepairIndex{ReadData: o.ReadData, RetryLock: retryLock}, out)
	case topics.RepairPacks:
		return b.RepairPacks(ctx, place, repository, restic.RepairPacks{IDs: o.Packs, RetryLock: retryLock}, out)
	}
	return b.RepairSnapshots(ctx, place, repository, restic.RepairSnapshots{IDs: o.Snapshots, DryRun: o.DryRun, Digest: seen(o),
		RetryLock: retryLock}, out)
}

// seen is what the dry run saw that a job goes by, "" if it goes by none.
func seen(o topics.Operation) string {
	if o.Preview == nil {
		return ""
	}
	return o.Preview.Digest
}

// taggingWords is what a tag job is asked for, for its log.
func taggingWords(o topics.Operation) string {
	var parts []string
	for _, p := range []struct {
		verb string
		tags []string
	}{{"set", o.Set}, {"add", o.Add}, {"remove", o.Remove}} {
		if len(p.tags) > 0 {
			parts = append(parts, p.verb+" "+strings.Join(p.tags, " "))
		}
	}
	if o.NoTags {
		parts = append(parts, "remove all")
	}
	return strings.Join(parts, ", ")
}

// restore brings files back.
func (w work) restore(ctx context.Context) restic.Ending {
	o := w.Run.Operation
	e := restoring.Job{
		Binary: w.binary, Place: w.place, Repository: w.repository, Of: w.Run.Repository.ID, Operation: o, State: w.state,
		Allowed: filepath.Join(w.state, quarantine), RetryLock: retryLock, Sink: w.out,
	}.Do(ctx)
	if !o.DryRun && e.Result != nil && e.Result.Restore != nil && e.Result.Restore.Target != "" {
		w.out.Line(topics.Info, "restored to "+e.Result.Restore.Target)
	}
	return e
}

// report writes what a job found to the journal, in parts of one event each. It
// returns whether everything fitted.
func (w work) report(found topics.Report) (whole bool) {
	parts, whole := split(found)
	for _, part := range parts {
		w.do(protocol.Reported{Job: w.Job, Report: part, At: now()})
	}
	return whole
}

// split cuts a report into parts. It drops items that are too large for a part, and
// everything after topics.MaxParts parts.
func split(found topics.Report) (parts []topics.Report, whole bool) {
	s := splitter{whole: true}
	spread(&s, found.Snapshots, func(r *topics.Report) *[]topics.Snapshot { return &r.Snapshots })
	spread(&s, found.Keys, func(r *topics.Report) *[]topics.Key { return &r.Keys })
	spread(&s, found.Locks, func(r *topics.Report) *[]topics.Lock { return &r.Locks })
	spread(&s, found.Matches, func(r *topics.Report) *[]topics.Match { return &r.Matches })
	spread(&s, found.Proofs, func(r *topics.Report) *[]topics.Proof { return &r.Proofs })
	spread(&s, found.Changes, func(r *topics.Report) *[]topics.Change { return &r.Changes })
	spread(&s, found.Replacements, func(r *topics.Report) *[]topics.Replacement { return &r.Replacements })
	spread(&s, found.Taken, func(r *topics.Report) *[]topics.Taken { return &r.Taken })
	spread(&s, found.Planned, func(r *topics.Report) *[]topics.Planned { return &r.Planned })
	spread(&s, found.Failures, func(r *topics.Report) *[]topics.Failure { return &r.Failures })
	return s.parts, s.whole
}

type splitter struct {
	parts []topics.Report
	size  int // of the last part
	whole bool
}

func spread[T any](s *splitter, items []T, list func(*topics.Report) *[]T) {
	const limit = maxEvent - 400 // for the event around it
	for _, item := range items {
		n := len(topics.Encode(item)) + 1
		if n > limit {
			s.whole = false
			continue
		}
		if len(s.parts) == 0 || s.size+n > limit {
			if len(s.parts) == topics.MaxParts {
				s.whole = false
				return
			}
			s.parts, s.size = append(s.parts, topics.Report{}), 0
		}
		into := list(&s.parts[len(s.parts)-1])
		*into = append(*into, item)
		s.size += n
	}
}

// finished turns an ending into the message for the control plane. A job that ended
// because the agent was stopped is interrupted, not cancelled.
func (r *runner) finished(ctx context.Context, e restic.Ending, ready bool) topics.Finished {
	f := topics.Finished{
		State: e.State, Cause: e.Cause, Message: e.Message, ExitCode: e.ExitCode,
		Summary: e.Summary, Snapshot: e.Snapshot, Result: e.Result, RepositoryReady: ready || e.SnapshotID != "",
		HostKeys: e.HostKeys,
	}
	if f.State == topics.Cancelled && !errors.Is(context.Cause(ctx), errCancelled) {
		f.State, f.Cause, f.Message = topics.Interrupted, topics.CauseAgentStopped, "The agent was stopped on its host while the job ran."
		if errors.Is(context.Cause(ctx), ErrShutdown) {
			f.Message = "The machine was shut down while the job ran."
		}
	}
	fitting(&f)
	return f
}

// fitting drops what makes an end too large for a message: one that no message can
// carry would stop the stream.
func fitting(f *topics.Finished) {
	if len(topics.Encode(*f)) > maxEvent && f.Snapshot != nil {
		f.Snapshot.Paths = nil
	}
	if f.Summary != nil && len(topics.Encode(*f)) > maxEvent {
		f.Summary.Items = nil
	}
	if f.Result != nil && f.Result.Copy != nil && len(topics.Encode(*f)) > maxEvent {
		f.Result.Copy.Missing = nil // the message names the first
	}
	if f.Result != nil && f.Result.Restore != nil && len(topics.Encode(*f)) > maxEvent {
		f.Result.Restore.Unmatched, f.Result.Truncated = nil, true // the message names the first
	}
	for f.Summary != nil && len(f.Summary.Own) > 0 && len(topics.Encode(*f)) > maxEvent {
		f.Summary.Own = f.Summary.Own[:len(f.Summary.Own)-1]
	}
	for f.Summary != nil && len(f.Summary.Sources) > 0 && len(topics.Encode(*f)) > maxEvent {
		f.Summary.Sources = f.Summary.Sources[:len(f.Summary.Sources)-1]
	}
}
