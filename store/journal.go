package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/atonce"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/store/joblog"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/store/outbox"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/prepared"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/store/standard"
	"github.com/restic-manager/restic-manager/store/twins"
	"github.com/restic-manager/restic-manager/topics"
)

// A Step runs one or more protocol steps in a transaction. Use its effects only after
// Steps has returned without an error.
type Step func(protocol.PlaneTx) error

// Steps runs steps in one transaction and commits it.
func (s *Store) Steps(ctx context.Context, step Step) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return step(newJournal(ctx, s, tx)) })
}

// A journal implements the protocol's view of the database.
type journal struct {
	site
	ctx context.Context
	s   *Store
	tx  *sqlx.Tx
	q   prepared.Tx // the same transaction with prepared statements, for what every event repeats

	plans intake.Plans
}

func newJournal(ctx context.Context, s *Store, tx *sqlx.Tx) journal {
	q := prepared.In(tx)
	return journal{site{ctx, q}, ctx, s, tx, q, intake.Plans{}}
}

const planeColumns = `id, host, kind, repository, source_group, schedule, slot, state, not_after, accepted, cancel_asked, attempts,
	next_send, lines, fired, queued_at, sent_at, behalf, log_bytes, cut, recalled, other,
	kind = 'unlock' AND operation LIKE '%"all":true%' AS all_locks, ` + places.ReadyAt + `, ` + places.OtherReadyAt

func (j journal) Key(id topics.HostID) ([]byte, error) {
	key, err := get[[]byte](j.ctx, j.q, `SELECT seal_key FROM hosts WHERE id = $1 AND removed_at = 0`, id)
	return key, ignoreMissing(err)
}

func (j journal) Received(id topics.HostID) (topics.Received, error) {
	type row struct {
		Epoch int64  `db:"received_epoch"`
		Seq   uint64 `db:"received_seq"`
		Mark  string `db:"received_mark"`
	}
	r, err := get[row](j.ctx, j.q, `SELECT received_epoch, received_seq, received_mark FROM hosts WHERE id = $1 AND removed_at = 0`, id)
	return topics.Received{Epoch: r.Epoch, Seq: r.Seq, Mark: r.Mark}, err
}

func (j journal) SetReceived(id topics.HostID, r topics.Received) error {
	if r.Seq > math.MaxInt64 {
		return fmt.Errorf("event number %d of %s is out of range", r.Seq, id)
	}
	return change(j.ctx, j.q, `UPDATE hosts SET received_epoch = $1, received_seq = $2, received_mark = $3 WHERE id = $4`,
		r.Epoch, r.Seq, r.Mark, id)
}

func (j journal) Job(id topics.JobID) (protocol.PlaneJob, bool, error) {
	job, err := get[protocol.PlaneJob](j.ctx, j.q, `SELECT `+planeColumns+` FROM jobs WHERE id = $1`, id)
	if errors.Is(err, ErrNotFound) {
		return job, false, nil
	}
	return job, err == nil, err
}

// PutJob is the one place where a job's state changes.
func (j journal) PutJob(job protocol.PlaneJob) error {
	was, err := get[topics.JobState](j.ctx, j.q, `SELECT state FROM jobs WHERE id = $1`, job.ID)
	if err != nil {
		return fmt.Errorf("job %s: %w", job.ID, err)
	}
	if was != job.State && !was.CanBecome(job.State) {
		return fmt.Errorf("job %s is %s and cannot become %s", job.ID, was, job.State)
	}
	_, err = j.q.ExecContext(j.ctx, `UPDATE jobs SET state = $1, accepted = $2, cancel_asked = $3,
		attempts = $4, next_send = $5, lines = $6, sent_at = $7, cut = $8, recalled = $9 WHERE id = $10`,
		job.State, job.Accepted, job.CancelAsked, job.Attempts, job.NextSend, job.Lines, job.SentAt, job.Cut, job.Recalled, job.ID)
	return err
}

func (j journal) Open(host topics.HostID) ([]protocol.PlaneJob, error) {
	return all[protocol.PlaneJob](j.ctx, j.tx, `SELECT `+planeColumns+` FROM jobs
		WHERE finished_at = 0 AND held = 0 AND `+one("host", host)+` ORDER BY queued_at, id`, host)
}

func (j journal) Begun(host topics.HostID) ([]protocol.PlaneJob, error) {
	return all[protocol.PlaneJob](j.ctx, j.q, `SELECT `+planeColumns+` FROM jobs INDEXED BY jobs_open_of_host
		WHERE host = $1 AND fired = 1 AND finished_at = 0 ORDER BY queued_at, id`, host)
}

func (j journal) Waiting(host topics.HostID, group topics.SourceGroupID) ([]protocol.PlaneJob, error) {
	return all[protocol.PlaneJob](j.ctx, j.q, `SELECT `+planeColumns+` FROM jobs INDEXED BY jobs_open_of_host
		WHERE host = $1 AND fired = 0 AND source_group = $2 AND finished_at = 0 AND state = 'queued' AND held = 0
		ORDER BY queued_at, id`, host, group)
}

func (j journal) Fits(host topics.HostID, slot topics.Slot, group topics.SourceGroupID, at int64) (protocol.Fit, error) {
	return j.plans.Fits(j.ctx, j.q, host, slot, group, at)
}

func (j journal) SameSlot(slot topics.Slot, group topics.SourceGroupID) (int, error) {
	return intake.SameSlot(j.ctx, j.q, slot, group)
}

func (j journal) Hour(host topics.HostID) (protocol.Hour, error) {
	return intake.HourOf(j.ctx, j.q, host)
}

func (j journal) PutHour(host topics.HostID, h protocol.Hour) error {
	return intake.PutHour(j.ctx, j.q, host, h)
}

func (j journal) SetAside(host topics.HostID, why protocol.Aside, n int, at int64) error {
	return intake.SetAside(j.ctx, j.q, host, string(why), uint64(n), at)
}

func (j journal) AtOnce() (map[topics.HostID]int, error) { return atonce.Of(j.ctx, j.q) }

func (j journal) AddLines(id topics.JobID, first int, lines []topics.Line) error {
	bytes, err := joblog.Add(j.ctx, j.q, id, first, lines)
	if err != nil {
		return err
	}
	last, keep := first+len(lines)-1, j.s.LogLines
	if limit := protocol.DefaultBounds().Job; bytes > limit/4*3 {
		keep = min(keep, joblog.Few) // so that the last ones, which say what went wrong, find room
	} else if last/joblog.Slack == (first-1)/joblog.Slack || last <= keep {
		return nil // trimmed from time to time, and at the end
	}
	return joblog.Trim(j.ctx, j.tx, id, last, keep)
}

func (j journal) AddGap(id topics.JobID, from int, g topics.Gap) error {
	return joblog.AddGap(j.ctx, j.q, id, from, g)
}

func (j journal) AddReport(r topics.Report) error {
	body := string(topics.Encode(r))
	done, err := j.q.ExecContext(j.ctx, `INSERT INTO job_reports (job, part, body) VALUES ($1, $2, $3)
		ON CONFLICT (job, part) DO NOTHING`, r.Job, r.Part, body)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	_, err = j.q.ExecContext(j.ctx, `UPDATE jobs SET log_bytes = log_bytes + $1 WHERE id = $2`, len(body), r.Job)
	return err
}

func (j journal) Standard(job protocol.PlaneJob) (protocol.Standard, error) {
	return standard.Of(j.ctx, j.q, job.Group)
}

func (j journal) Greeted(id topics.HostID, h topics.Hello, at int64) error {
	if one, err := twins.Greeted(j.ctx, j.tx, id, h, at); err != nil || one {
		return err // the host's row is of no machine until it is decided which one stays
	}
	c := topics.Configured{Revision: -1}
	if h.Configured != nil {
		c = *h.Configured
	}
	if err := j.Configured(id, c, at); err != nil {
		return err
	}
	err := change(j.ctx, j.tx, `UPDATE hosts SET hello_epoch = $1, hello_n = $2 WHERE id = $3`, h.Session.Epoch, h.Session.N, id)
	if err != nil {
		return err
	}
	return j.Told(id, h.Facts)
}

func (j journal) Told(id topics.HostID, f topics.Facts) error {
	return change(j.ctx, j.q, `UPDATE hosts SET hostname = $1, os = $2, arch = $3, platform = $4, agent_version = $5, restic_version = $6,
		policy = $7, permits = $8, agent_jobs = $9, makes = $10, can = $11, updates = $12 WHERE id = $13`,
		f.Hostname, f.OS, f.Arch, f.Platform, f.Agent, f.Restic, f.Policy, JSON[topics.Permits]{V: f.Permits}, max(f.Jobs, 0), f.Makes,
		JSON[[]topics.Ability]{V: &f.Can}, JSON[topics.Updates]{V: f.Updates}, id)
}

// maxPIDs is how many processes of a job are known by their numbers.
const maxPIDs = 100

// Ran notes the number of a process of a job, by which locks of it are known.
func (j journal) Ran(job protocol.PlaneJob, pid int) error {
	return change(j.ctx, j.tx, `UPDATE jobs SET pids = CASE WHEN json_array_length(pids) < $1 THEN json_insert(pids, '$[#]', $2) ELSE pids END
		WHERE id = $3`, maxPIDs, pid, job.ID)
}

func (j journal) Started(job protocol.PlaneJob, st topics.Started, at int64) error {
	if err := change(j.ctx, j.tx, `UPDATE jobs SET started_at = $1, restic_version = $2 WHERE id = $3`, at, st.Restic, job.ID); err != nil {
		return err
	}
	if err := j.lastTook(job.ID); err != nil {
		return err
	}
	return j.ping(Job{ID: job.ID, Host: job.Host, SourceGroup: job.Group, Kind: job.Kind, State: topics.Running})
}

// alikes is how many jobs are looked at for one that was asked for like another.
const alikes = 50

// lastTook notes how long the last job took that did the same as this one and succeeded:
// of the same kind, in the same repository at the same place, with the same options.
func (j journal) lastTook(id topics.JobID) error {
	job, err := get[Job](j.ctx, j.tx, `SELECT * FROM jobs WHERE id = $1`, id)
	if err != nil {
		return err
	}
	address, err := get[string](j.ctx, j.tx, `SELECT location FROM repositories WHERE id = $1`, job.Repository)
	if errors.Is(err, ErrNotFound) { // an update is in none
		return nil
	}
	if err != nil {
		return err
	}
	var before []Job
	if err := j.tx.SelectContext(j.ctx, &before, `SELECT * FROM jobs WHERE repository = $1 AND kind = $2 AND state = $3 AND started_at > 0
		AND id != $4 ORDER BY finished_at DESC LIMIT $5`, job.Repository, job.Kind, topics.Succeeded, id, alikes); err != nil {
		return err
	}
	for _, b := range before {
		if b.SourceGroup == job.SourceGroup && places.Key(address, b.Where()) == places.Key(address, job.Where()) &&
			sameWork(b.Operation.V, job.Operation.V) {
			return change(j.ctx, j.tx, `UPDATE jobs SET last_took = $1 WHERE id = $2`, max(0, b.FinishedAt-b.StartedAt), id)
		}
	}
	return nil
}

// sameWork reports whether two jobs of a kind have the same to do. Each slice of the data
// of a repository is as large as the others.
func sameWork(a, b *topics.Operation) bool {
	plain := func(o *topics.Operation) (p topics.Operation) {
		if o != nil {
			p = *o
			if _, of, sliced := strings.Cut(p.Subset, "/"); sliced {
				p.Subset = "/" + of
			}
		}
		return p
	}
	return reflect.DeepEqual(plain(a), plain(b))
}

// Saved notes the snapshot of a backup that went on after its host was removed, or while
// another machine with the host's identity said that it did not: how the job ended
// stays as it is.
func (j journal) Saved(p protocol.PlaneJob, f topics.Finished, at int64) error {
	job, err := get[Job](j.ctx, j.tx, `SELECT * FROM jobs WHERE id = $1`, p.ID)
	if err != nil || job.SnapshotID != "" {
		return err
	}
	job.SnapshotID, job.Summary.V = f.Snapshot.ID, f.Summary
	m := made(job)
	m.State, m.EndedAt = f.State, at
	if err := snapshots.Add(j.ctx, j.tx, job.Repository, m, *f.Snapshot, j.s.Now()); err != nil {
		return fmt.Errorf("snapshot of job %s: %w", job.ID, err)
	}
	job.Message += " It made a snapshot all the same."
	_, err = j.tx.NamedExecContext(j.ctx, `UPDATE jobs SET snapshot_id = :snapshot_id, summary = :summary, message = :message
		WHERE id = :id`, job)
	return err
}

// Finished stores the end of a job and everything that follows from it for the host,
// the repository and the snapshots.
func (j journal) Finished(p protocol.PlaneJob, f topics.Finished, at int64) error {
	job, err := get[Job](j.ctx, j.tx, `SELECT * FROM jobs WHERE id = $1`, p.ID)
	if err != nil {
		return err
	}
	job.FinishedAt, job.Cause, job.Message = at, f.Cause, f.Message
	job.Summary, job.Result = JSON[topics.Summary]{V: f.Summary}, JSON[topics.Result]{V: f.Result}
	if len(f.HostKeys) > 0 {
		job.HostKeys.V = &f.HostKeys
	}
	if f.ExitCode != nil {
		job.ExitCode.Int64, job.ExitCode.Valid = int64(*f.ExitCode), true
	}
	if f.Snapshot != nil {
		job.SnapshotID = f.Snapshot.ID
		noted := at
		if job.Fired { // its end is by the host's clock
			noted = j.s.Now()
		}
		if err := snapshots.Add(j.ctx, j.tx, job.Repository, made(job), *f.Snapshot, noted); err != nil {
			return fmt.Errorf("snapshot of job %s: %w", job.ID, err)
		}
	}
	if _, err := j.tx.NamedExecContext(j.ctx, `UPDATE jobs SET finished_at = :finished_at, cause = :cause, message = :message,
		exit_code = :exit_code, snapshot_id = :snapshot_id, summary = :summary, result = :result, host_keys = :host_keys
		WHERE id = :id`, job); err != nil {
		return err
	}
	if err := joblog.Trim(j.ctx, j.tx, job.ID, job.Lines, j.s.LogLines); err != nil {
		return err
	}
	opened := f.Cause == topics.CauseLocked && job.Kind != topics.InitJob // an older agent's init says so of a key without a repository
	if job.Repository != "" && (f.RepositoryReady || job.State == topics.Succeeded || opened) {
		made := topics.JobID("")
		if f.Result != nil && f.Result.Made {
			made = job.ID
		}
		if err := places.Found(j.ctx, j.tx, job.Repository, job.Where(), made, at); err != nil {
			return fmt.Errorf("place of job %s: %w", job.ID, err)
		}
	}
	looked, err := j.looked(job.ID, at)
	if err != nil {
		return err
	}
	whole, err := j.found(job, f, looked)
	if err == nil && job.Kind == topics.SnapshotsJob {
		err = snapshots.Forget(j.ctx, j.tx, job.ID)
	}
	if err != nil {
		return fmt.Errorf("what job %s found out: %w", job.ID, err)
	}
	if job.Kind == topics.CopyJob {
		err = j.copied(job, looked)
	} else if job.Repository != "" {
		err = looks.Note(j.ctx, j.tx, endOf(job, whole), looked, j.s.Now())
	}
	if err != nil {
		return err
	}
	if job.RequestedBy != Plane && job.Kind != topics.UpdateJob {
		if err := change(j.ctx, j.tx, `UPDATE hosts SET last_job = $1, last_state = $2, last_ended_at = $3 WHERE id = $4`, job.ID, job.State,
			at, job.Host); err != nil {
			return err
		}
	}
	switch job.State {
	case topics.Abandoned, topics.Interrupted:
		if err := j.s.audit(j.ctx, j.tx, "plane", "job."+string(job.State), string(job.ID), f.Message); err != nil {
			return err
		}
	}
	if f.Cause == topics.CausePolicy {
		if err := j.s.audit(j.ctx, j.tx, "plane", "job.refused", string(job.ID), f.Message); err != nil {
			return err
		}
	}
	if err := outbox.Ended(j.ctx, j.q, job.ID, j.s.Now()); err != nil {
		return err
	}
	if j.s.ended != nil {
		if err := j.s.ended(Slots{j.ctx, j.s, j.tx}, job); err != nil {
			return err
		}
	}
	if j.s.judge != nil {
		if err := j.s.judge(Slots{j.ctx, j.s, j.tx}, job); err != nil {
			return err
		}
	}
	return j.ping(job)
}

// Cancel asks for the end of a job, with its audit entry, and runs the protocol's
// step. It returns ErrEnded if the job has ended.
func (s *Store) Cancel(ctx context.Context, actor string, id topics.JobID, step Step) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		job, err := get[Job](ctx, tx, `SELECT * FROM jobs WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if job.State.Ended() {
			return ErrEnded
		}
		if !job.CancelAsked {
			if err := change(ctx, tx, `UPDATE jobs SET cancelled_by = $1 WHERE id = $2`, actor, id); err != nil {
				return err
			}
			if err := s.audit(ctx, tx, actor, "job.cancel_asked", string(id), ""); err != nil {
				return err
			}
		}
		return step(newJournal(ctx, s, tx))
	})
}

// ErrEnded is the error that a job has already ended.
var ErrEnded = errors.New("the job has ended")
