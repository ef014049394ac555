package store

import (
	"fmt"

	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/found"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// found stores what a job found in the rows of its repository, in the transaction of
// the job's end. It ignores incomplete reports, because what is missing from one may
// still exist; whole reports whether the job listed something completely.
func (j journal) found(job Job, f topics.Finished, at int64) (whole bool, err error) {
	r := f.Result
	well := job.State == topics.Succeeded
	if r == nil {
		r = &topics.Result{}
	}
	did := func(column string) error {
		return change(j.ctx, j.tx, `UPDATE repositories SET `+column+` = $1 WHERE id = $2`, at, job.Repository)
	}
	switch o := job.Operation.V; job.Kind {
	case topics.SnapshotsJob:
		f.State = job.State
		return j.listed(job, f, at)
	case topics.KeyJob, topics.LocksJob:
		if !well || f.Result == nil { // without a result nothing was listed
			return false, nil
		}
		whole, report, err := j.report(job, *r)
		if err != nil || !whole {
			return false, err
		}
		address, err := get[string](j.ctx, j.tx, `SELECT location FROM repositories WHERE id = $1`, job.Repository)
		if err != nil {
			return false, err
		}
		if job.Kind == topics.KeyJob {
			if err := found.Keys(j.ctx, j.tx, job.Repository, places.Key(address, job.Where()), report.Keys, at); err != nil {
				return true, err
			}
			if o == nil || o.Key == nil || o.Key.Action != topics.AddKey {
				return true, nil
			}
			return true, found.Trust(j.ctx, j.tx, job.Repository, r.Key)
		}
		return true, found.Locks(j.ctx, j.tx, job.Repository, places.Key(address, job.Where()), job.Host, report.Locks, at)
	case topics.StatsJob:
		if well && r.Stats != nil {
			return false, found.Measured(j.ctx, j.tx, job.Repository, *r.Stats, at)
		}
	case topics.CheckJob:
		// A check that finds damage fails, and was still a check.
		if r.Check != nil && (well || job.State == topics.Failed && r.Check.Errors > 0) {
			return false, change(j.ctx, j.tx, `UPDATE repositories SET checked_at = $1, check_job = $2, check_errors = $3 WHERE id = $4`,
				at, job.ID, most(r.Check.Errors), job.Repository)
		}
	case topics.ForgetJob:
		if o != nil {
			if err := snapshots.Removed(j.ctx, j.tx, job.Repository, job.ID, o.Snapshots, r.Removed, at); err != nil {
				return false, err
			}
		}
		if !well {
			return false, nil
		}
		return false, did("forgot_at")
	case topics.DrillJob:
		return false, drills.Note(j.ctx, j.tx, job.Host, job.Repository, job.ID, job.State, f.Message, r.Drill, at)
	case topics.PruneJob:
		if well && (o == nil || !o.DryRun) {
			return false, did("pruned_at")
		}
	}
	return false, nil
}

// report joins the parts of a job's report. It is complete if it says so and every
// part and every entry is there.
func (j journal) report(job Job, r topics.Result) (whole bool, _ topics.Report, err error) {
	var report topics.Report
	parts, err := reports(j.ctx, j.tx, job.ID)
	if err != nil {
		return false, report, fmt.Errorf("report of job %s: %w", job.ID, err)
	}
	whole = !r.Truncated && len(parts) == r.Parts
	for i, p := range parts {
		whole = whole && p.Part == i+1
		report.Keys = append(report.Keys, p.Keys...)
		report.Locks = append(report.Locks, p.Locks...)
	}
	return whole && r.Count == len(report.Keys)+len(report.Locks), report, nil
}

// endOf returns what the end of a job says to package looks.
func endOf(j Job, whole bool) looks.Ended {
	return looks.Ended{Job: j.ID, Host: j.Where(), Repository: j.Repository, Kind: j.Kind, Operation: j.Operation.V, State: j.State,
		Cause: j.Cause, Message: j.Message, Result: j.Result.V, Whole: whole}
}
