package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/atonce"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
)

// Plane is the RequestedBy of jobs that the control plane asks for itself: listing
// locks, and what follows from them.
const Plane = "plane"

// A Job is one run of one operation on one host.
type Job struct {
	ID            topics.JobID         `db:"id"`
	Host          topics.HostID        `db:"host"`
	Kind          topics.JobKind       `db:"kind"`
	SourceGroup   topics.SourceGroupID `db:"source_group"` // of a backup, else ""
	Repository    topics.RepositoryID  `db:"repository"`
	Place         topics.HostID        `db:"place"` // the host at whose place it works, if that is another; see Where
	State         topics.JobState      `db:"state"`
	RequestedBy   string               `db:"requested_by"`
	GivenBy       string               `db:"given_by"` // who gave its host the repository for this job; "" if the host has it
	Reason        string               `db:"-"`        // why somebody asks for it, for the entry in the audit log alone
	QueuedAt      int64                `db:"queued_at"`
	StartedAt     int64                `db:"started_at"`
	FinishedAt    int64                `db:"finished_at"`
	NotAfter      int64                `db:"not_after"`
	Held          bool                 `db:"held"` // not to be sent yet, see Release
	Accepted      bool                 `db:"accepted"`
	CancelAsked   bool                 `db:"cancel_asked"`
	CancelledBy   string               `db:"cancelled_by"`
	Attempts      int                  `db:"attempts"`
	NextSend      int64                `db:"next_send"`
	SentAt        int64                `db:"sent_at"`        // when it was sent first; 0 is not yet, or not known
	Lines         int                  `db:"lines"`          // 1..Lines are stored, or recorded as gaps
	LogBytes      int64                `db:"log_bytes"`      // of the lines and parts of its report that are stored
	Cut           bool                 `db:"cut"`            // parts of its report were dropped, since it had reached its limit
	LogDroppedAt  int64                `db:"log_dropped_at"` // when log and report were removed by retention; 0 is never
	ResticVersion string               `db:"restic_version"`
	PIDs          JSON[[]int]          `db:"pids"`      // of its restics on its host, as far as its agent tells
	LastTook      int64                `db:"last_took"` // ms that the last one like it took which succeeded; 0 is not known
	Cause         topics.Cause         `db:"cause"`
	Message       string               `db:"message"`
	ExitCode      sql.NullInt64        `db:"exit_code"`
	SnapshotID    string               `db:"snapshot_id"`

	Operation JSON[topics.Operation] `db:"operation"` // what was asked for; a backup has none
	Summary   JSON[topics.Summary]   `db:"summary"`   // of a backup
	Result    JSON[topics.Result]    `db:"result"`    // of any other kind
	HostKeys  JSON[[]topics.HostKey] `db:"host_keys"` // that an SSH server showed which its host does not trust

	// Set for jobs of a schedule only.
	Schedule ScheduleID `db:"schedule"`
	Slot     int64      `db:"slot"`     // the moment it was planned for
	Attempt  int        `db:"attempt"`  // 0 for the first, one more each time the pending run became a job
	Fired    bool       `db:"fired"`    // the host began it on its own schedule; its times are by the host's clock
	HeardAt  int64      `db:"heard_at"` // when a fired job was first reported

	Recalled bool `db:"recalled"` // its host is asked how it ended, as the control plane was restored from a copy

	Behalf topics.SourceGroupID `db:"behalf"` // of an init job: whose backup waits for it, "" if a person asked
	// Other is the second repository: of a copy the one it goes to, of an init job the one
	// whose chunker parameters the new one takes; "" is none.
	Other topics.RepositoryID `db:"other"`
}

// Where returns the host at whose place in the repository the job works: its own, mostly.
// It means nothing where all hosts share one place.
func (j Job) Where() topics.HostID {
	if j.Place != "" {
		return j.Place
	}
	return j.Host
}

// A JSON is a value kept as JSON text; no value is the empty text.
type JSON[T any] = column.JSON[T]

// ErrQueueFull is the error that as many jobs wait on a host as may.
var ErrQueueFull = errors.New("as many jobs wait on the host as may")

// Ask queues a job, with its audit entry. If the same job (a backup of the same
// source group, or the same operation on the same host and repository) is queued or
// running and is not being cancelled, it returns that one and adds nothing. The job
// joins the end of the queue, or the place that its QueuedAt says. It returns ErrQueueFull if
// protocol.MostQueued jobs of the host wait.
func (s *Store) Ask(ctx context.Context, actor string, j Job) (job Job, added bool, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		open, err := same(ctx, tx, j)
		if err == nil {
			job = open
			return nil
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if waiting, err := intake.Queued(ctx, tx, j.Host); err != nil {
			return err
		} else if waiting >= protocol.MostQueued && actor != Plane { // what follows from jobs is bounded by them
			return ErrQueueFull
		}
		if j.Kind == topics.BackupJob {
			if err := replacing.Refuses(ctx, tx, []topics.SourceGroupID{j.SourceGroup}); err != nil {
				return err
			}
		}
		if o := j.Operation.V; o != nil && j.Kind == topics.ForgetJob {
			if err := replacing.Keeps(ctx, tx, j.Repository, o.Snapshots); err != nil {
				return err
			}
		}
		j.State, j.RequestedBy = topics.Queued, actor
		if j.QueuedAt == 0 {
			// Jobs run in the order in which they were asked for, also those of one millisecond.
			last, err := get[int64](ctx, tx, `SELECT coalesce(max(queued_at), 0) FROM jobs WHERE host = $1`, j.Host)
			if err != nil {
				return err
			}
			j.QueuedAt = s.Now()
			if ahead := last - j.QueuedAt; ahead >= 0 && ahead < 1000 {
				j.QueuedAt = last + 1
			}
		}
		job, added = j, true
		return s.queue(ctx, tx, j)
	})
	return job, added, err
}

// OfRestic reports whether a job has its host's agent use another restic, and not another
// release of itself.
func (j Job) OfRestic() bool {
	o := j.Operation.V
	return j.Kind == topics.UpdateJob && o != nil && o.Update != nil && o.Update.Restic != nil
}

// same returns a queued or running job that does the same as j, or ErrNotFound.
func same(ctx context.Context, tx *sqlx.Tx, j Job) (Job, error) {
	switch j.Kind {
	case topics.BackupJob:
		return openBackup(ctx, tx, j.SourceGroup)
	case topics.UpdateJob: // to whichever release, or to whichever restic
		list, err := all[Job](ctx, tx, `SELECT * FROM jobs WHERE finished_at = 0 AND cancel_asked = 0 AND host = $1 AND kind = $2
			ORDER BY queued_at`, j.Host, j.Kind)
		for _, open := range list {
			if open.OfRestic() == j.OfRestic() {
				return open, nil
			}
		}
		return Job{}, orNotFound(err)
	}
	return get[Job](ctx, tx, `SELECT * FROM jobs WHERE finished_at = 0 AND cancel_asked = 0 AND host = $1 AND kind = $2
		AND repository = $3 AND operation = $4 AND place = $5
		ORDER BY queued_at LIMIT 1`, j.Host, j.Kind, j.Repository, j.Operation, j.Place)
}

// openBackup returns a group's queued or running backup, or ErrNotFound.
func openBackup(ctx context.Context, tx *sqlx.Tx, group topics.SourceGroupID) (Job, error) {
	return get[Job](ctx, tx, `SELECT * FROM jobs WHERE source_group = $1 AND finished_at = 0 AND cancel_asked = 0 ORDER BY queued_at
		LIMIT 1`, group)
}

// queue adds a job, with its audit entry.
func (s *Store) queue(ctx context.Context, tx *sqlx.Tx, j Job) error {
	if o := j.Operation.V; o != nil { // nobody else says it
		switch j.Kind {
		case topics.CopyJob:
			j.Other = topics.RepositoryID(o.To)
		case topics.InitJob:
			j.Other = topics.RepositoryID(o.From)
		}
	}
	if _, err := tx.NamedExecContext(ctx, `INSERT INTO jobs (id, host, kind, source_group, repository, operation, state, requested_by,
		queued_at, not_after, held, schedule, slot, attempt, place, behalf, given_by, other)
		VALUES (:id, :host, :kind, :source_group, :repository, :operation, :state, :requested_by, :queued_at, :not_after, :held,
		:schedule, :slot, :attempt, :place, :behalf, :given_by, :other)`, j); err != nil {
		return fmt.Errorf("queue job: %w", err)
	}
	if err := names(ctx, tx, j); err != nil {
		return err
	}
	what := string(j.Kind)
	if j.OfRestic() {
		what += " of restic " + strings.TrimSpace(j.Operation.V.Update.Restic.Name+" "+j.Operation.V.Update.Restic.SHA256)
	}
	if j.Operation.V != nil && j.Operation.V.DryRun {
		what += ", dry run,"
	}
	if j.GivenBy != "" {
		host, at := nameIn(ctx, tx, "hosts", string(j.Host)), ""
		if j.Place != "" && j.Place != j.Host {
			at = ", at the place of " + nameIn(ctx, tx, "hosts", string(j.Place))
		}
		if err := s.audit(ctx, tx, j.GivenBy, "repository.given", string(j.Repository), "its address and password to "+host+at+
			", for the "+string(j.Kind)+" job "+string(j.ID)+" alone"); err != nil {
			return err
		}
	}
	what += " on " + string(j.Host)
	if j.Reason != "" {
		what += "; reason: " + j.Reason
	}
	return s.audit(ctx, tx, j.RequestedBy, "job.queued", string(j.ID), what)
}

// Reports returns the parts of a job's report, in order.
func (s *Store) Reports(ctx context.Context, id topics.JobID) ([]topics.Report, error) {
	return reports(ctx, s.r, id)
}

func reports(ctx context.Context, q sqlx.QueryerContext, id topics.JobID) ([]topics.Report, error) {
	rows, err := all[string](ctx, q, `SELECT body FROM job_reports WHERE job = $1 ORDER BY part`, id)
	parts := make([]topics.Report, len(rows))
	for i := range rows {
		if err == nil {
			err = json.Unmarshal([]byte(rows[i]), &parts[i])
		}
	}
	return parts, err
}

// Job returns one job, or ErrNotFound.
func (s *Store) Job(ctx context.Context, id topics.JobID) (Job, error) {
	return get[Job](ctx, s.r, `SELECT * FROM jobs WHERE id = $1`, id)
}

// JobsNamed lists the IDs of jobs that begin and end so, the oldest first, at most so
// many.
func (s *Store) JobsNamed(ctx context.Context, begin, end string, most int) ([]topics.JobID, error) {
	return all[topics.JobID](ctx, s.r, `SELECT id FROM jobs WHERE id >= $1 AND id < $1 || '~' AND ($2 = '' OR substr(id, -length($2)) = $2)
		ORDER BY id LIMIT $3`, begin, end, most)
}

// OpenJobs lists queued and running jobs, oldest first, of one host or of all if the
// ID is empty.
func (s *Store) OpenJobs(ctx context.Context, host topics.HostID) ([]Job, error) {
	return all[Job](ctx, s.r, `SELECT * FROM jobs WHERE finished_at = 0 AND `+one("host", host)+` ORDER BY queued_at, id`, host)
}

// AtOnce returns how many jobs hosts run at once, of all that have more than one open job.
func (s *Store) AtOnce(ctx context.Context) (map[topics.HostID]int, error) {
	return atonce.Of(ctx, s.r)
}

// JobsOf lists a host's jobs, the newest first.
func (s *Store) JobsOf(ctx context.Context, host topics.HostID, limit int) ([]Job, error) {
	return all[Job](ctx, s.r, `SELECT * FROM jobs WHERE host = $1 ORDER BY queued_at DESC, id DESC LIMIT $2`, host, limit)
}

// JobsOn lists a repository's jobs, the newest first.
func (s *Store) JobsOn(ctx context.Context, id topics.RepositoryID, limit int) ([]Job, error) {
	return all[Job](ctx, s.r, `SELECT * FROM jobs WHERE repository = $1 ORDER BY queued_at DESC, id DESC LIMIT $2`, id, limit)
}

// LastJobs lists the newest backup of each of a host's source groups.
func (s *Store) LastJobs(ctx context.Context, host topics.HostID) ([]Job, error) {
	// IDs sort by creation time.
	return all[Job](ctx, s.r, `SELECT * FROM jobs WHERE id IN (SELECT (SELECT j.id FROM jobs j WHERE j.source_group = g.id
		AND j.source_group <> ''
		AND j.host = g.host AND j.kind = 'backup' ORDER BY j.id DESC LIMIT 1) FROM source_groups g WHERE g.host = $1) ORDER BY id`, host)
}

// JobsByID returns the existing jobs among these IDs, in no order.
func (s *Store) JobsByID(ctx context.Context, ids []topics.JobID) ([]Job, error) {
	return among[Job](ctx, s.r, `SELECT * FROM jobs WHERE id IN (?)`, ids)
}

// An Outcome holds what charts and counts need of an ended job.
type Outcome struct {
	Host       topics.HostID        `db:"host"`
	State      topics.JobState      `db:"state"`
	FinishedAt int64                `db:"finished_at"`
	Summary    JSON[topics.Summary] `db:"summary"`
}

// Outcomes lists what ended since a time, oldest first, of one host or of all if the
// ID is empty.
func (s *Store) Outcomes(ctx context.Context, host topics.HostID, since int64) ([]Outcome, error) {
	return all[Outcome](ctx, s.r, `SELECT host, state, finished_at, summary FROM jobs
		WHERE `+one("host", host)+` AND finished_at >= $2 AND finished_at > 0 ORDER BY finished_at`, host, since)
}
