package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/changes"
	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/store/reviews"
	"github.com/restic-manager/restic-manager/topics"
)

// A Planned snapshot is a snapshot with what the control plane knows about its source
// group and the last listing.
type Planned struct {
	Snapshot
	Group      string `db:"group_name"` // "" if its source group is gone
	HostName   string `db:"host_name"`  // as people call it; the machine's name if it is no host of ours
	GroupThere bool   `db:"group_there"`
	GroupKept  bool   `db:"group_kept"`   // its source group was removed, and its snapshots are to stay
	MayBeEmpty bool   `db:"may_be_empty"` // its source group is one whose backups may hold no file
	Seen       bool   `db:"seen"`         // the last listing has it
	Missing    bool   `db:"missing"`      // older than the last listing, and not in it
	Replaced   bool   `db:"replaced"`     // its host's machine was replaced, and nobody has decided yet of its source group
	PinUntil   int64  `db:"pin_until"`    // the newest before such a replacement: until when it stays; 0 for no longer than rules say
}

// ErrImporting refuses to plan while an import of the repository is not done yet.
var ErrImporting = imports.ErrBusy

// PlannedSnapshots lists the snapshots of a repository, newest first. A group that was
// removed is there as long as the rules are to go on for it. Where hosts have places of
// their own, what was seen or is missing is by the last listing of a snapshot's own place.
func (s *Store) PlannedSnapshots(ctx context.Context, repository topics.RepositoryID) ([]Planned, error) {
	return plannedAt(ctx, s.r, repository, "")
}

// PlannedAt lists those of the planned snapshots that are at the place of a host, and all
// where all hosts share one. It is ErrImporting while some snapshots of an import, or copies
// of them, count and others do not yet.
func (s *Store) PlannedAt(ctx context.Context, repository topics.RepositoryID, at topics.HostID) (list []Planned, err error) {
	tx, err := s.r.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("begin to read what is planned for: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	if err := imports.Idle(ctx, tx, ""); err != nil {
		return nil, err
	}
	return plannedAt(ctx, tx, repository, at)
}

func plannedAt(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, at topics.HostID) ([]Planned, error) {
	r, err := get[Repository](ctx, q, `SELECT `+repositoryColumns+` FROM repositories WHERE id = $1`, repository)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	const where = `coalesce(nullif(s.place, ''), s.host)`
	listed, narrowed := `r.listed_at`, `$2 = $2`
	if !places.Shared(r.Location) {
		listed = `coalesce((SELECT l.good_at FROM repository_looks l WHERE l.repository = r.id AND l.kind = 'list'
			AND l.host = ` + where + `), 0)`
		narrowed = `($2 = '' OR ` + where + ` = $2)`
	}
	return all[Planned](ctx, q, `SELECT s.*, coalesce(g.name, x.name, '') AS group_name,
			coalesce((SELECT name FROM host_names WHERE id = s.host AND s.job <> ''), s.hostname) AS host_name,
			g.id IS NOT NULL OR coalesce(x.snapshots = 'retention', FALSE) AS group_there,
			g.id IS NULL AND coalesce(x.snapshots = 'keep', FALSE) AS group_kept, coalesce(g.allow_empty, 0) <> 0 AS may_be_empty,
			s.seen_at > 0 AND s.seen_at >= `+listed+` AS seen, s.seen_at < `+listed+` AND s.ended_at < `+listed+` AS missing,
			s.source_group <> '' AND `+replacing.Holds+`s.source_group) AS replaced, `+replacing.PinnedUntil+` AS pin_until
		FROM snapshots s JOIN repositories r ON r.id = s.repository LEFT JOIN source_groups g ON g.id = s.source_group
			LEFT JOIN removed x ON x.kind = 'group' AND x.id = s.source_group
		WHERE s.repository = $1 AND s.gone_at = 0 AND `+narrowed+` ORDER BY s.time DESC, s.id`, repository, at)
}

// MaintenanceHours is when one kind of maintenance of a repository is due, and the
// progress of its latest slot.
type MaintenanceHours struct {
	Repository    topics.RepositoryID `db:"repository"`
	Kind          topics.JobKind      `db:"kind"`
	Paused        bool                `db:"paused"`
	Weekday       int                 `db:"weekday"`         // 0 is Sunday; -1 is every day
	Minute        int                 `db:"minute"`          // of the day
	Slices        int                 `db:"slices"`          // check: reads one of this many slices of the data; 0 reads none
	Slice         int                 `db:"slice"`           // check: the number of slices read so far
	Served        int64               `db:"served"`          // slots up to this one are finished
	Attempt       int                 `db:"attempt"`         // number of attempts at the slot that is due
	NextAttemptAt int64               `db:"next_attempt_at"` // no attempt before this time
}

// due is when it is due, for the audit log; "" if that is not set.
func (m MaintenanceHours) due(set bool) string {
	day := "daily"
	if m.Weekday >= 0 {
		day = strings.ToLower(time.Weekday(m.Weekday).String())
	}
	if !set {
		return ""
	}
	return fmt.Sprintf("%s %02d:%02d", day, m.Minute/60, m.Minute%60)
}

// Hours lists when maintenance is due, of all repositories if the ID is empty.
func (s *Store) Hours(ctx context.Context, repository topics.RepositoryID) ([]MaintenanceHours, error) {
	return all[MaintenanceHours](ctx, s.r, `SELECT * FROM maintenance_duties WHERE `+one("repository", repository)+
		` ORDER BY repository, kind`, repository)
}

const putHours = `INSERT INTO maintenance_duties (repository, kind, paused, weekday, minute, slices, slice, served, attempt,
	next_attempt_at)
	VALUES (:repository, :kind, :paused, :weekday, :minute, :slices, :slice, :served, :attempt, :next_attempt_at)
	ON CONFLICT (repository, kind) DO UPDATE SET `

// PutHours sets when maintenance of a repository is due: edit gets the current rows
// and returns those to write. The progress of the latest slot stays.
func (s *Store) PutHours(
	ctx context.Context, actor string, repository topics.RepositoryID, edit func([]MaintenanceHours) ([]MaintenanceHours, error),
) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := inCare(ctx, tx, repository); err != nil {
			return err
		}
		rows, err := all[MaintenanceHours](ctx, tx, `SELECT * FROM maintenance_duties WHERE repository = $1`, repository)
		if err != nil {
			return err
		}
		was := map[topics.JobKind]MaintenanceHours{}
		for _, m := range rows {
			was[m.Kind] = m
		}
		if rows, err = edit(rows); err != nil {
			return err
		}
		var said []string
		for _, m := range rows {
			if _, err := tx.NamedExecContext(ctx,
				putHours+`paused = excluded.paused, weekday = excluded.weekday, minute = excluded.minute, slices = excluded.slices`, m); err != nil {
				return fmt.Errorf("put hours: %w", err)
			}
			var l changes.List
			w, known := was[m.Kind]
			l.Columns(w, m, "repository", "kind", "weekday", "minute", "slice", "served", "attempt", "next_attempt_at")
			l.Text("due", w.due(known), m.due(true))
			if l.Any() {
				said = append(said, l.Of(string(m.Kind)))
			}
		}
		return s.audit(ctx, tx, actor, "maintenance.saved", string(repository), strings.Join(said, "; "))
	})
}

// BeginHours adds missing rows.
func (s *Store) BeginHours(ctx context.Context, rows []MaintenanceHours) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		for _, m := range rows {
			if _, err := tx.NamedExecContext(ctx, putHours+`repository = excluded.repository`, m); err != nil {
				return fmt.Errorf("begin hours: %w", err)
			}
		}
		return nil
	})
}

// A MaintenanceRun is one execution of a kind of maintenance. It has the ID of its
// main job; the jobs which that one needs run before.
type MaintenanceRun struct {
	ID          topics.JobID        `db:"id"`
	Repository  topics.RepositoryID `db:"repository"`
	Kind        topics.JobKind      `db:"kind"`
	Host        topics.HostID       `db:"host"`
	Place       topics.HostID       `db:"place"` // the host at whose place it works, if that is another; see Where
	Again       bool                `db:"again"` // it ended of something that passes: the place is to be looked after again
	RequestedBy string              `db:"requested_by"`
	GivenBy     string              `db:"given_by"` // who gave its host the repository for this run; "" if the host has it
	Slot        int64               `db:"slot"`     // 0 if a person asked for it
	CreatedAt   int64               `db:"created_at"`
	EndedAt     int64               `db:"ended_at"`

	// Of a forget: the listings it is based on, the plan, and its progress.
	Listing  topics.JobID `db:"listing"`
	Keys     topics.JobID `db:"keys"`
	Approved string       `db:"approved"` // hash of the plan that a person approved
	Plan     JSON[Plan]   `db:"plan"`
	Job      topics.JobID `db:"job"`   // the job that removes snapshots now
	Batch    int          `db:"batch"` // of the plan, from 0
	Removed  int          `db:"removed"`

	Outcome RunOutcome `db:"outcome"`
	Message string     `db:"message"`
}

// Where returns the host at whose place in the repository the run works: its own, mostly.
// It means nothing where all hosts share one place.
func (r MaintenanceRun) Where() topics.HostID {
	if r.Place != "" {
		return r.Place
	}
	return r.Host
}

// RunOutcome is how a maintenance run ended.
type RunOutcome string

// The outcomes of runs.
const (
	RunSucceeded RunOutcome = "succeeded"
	RunHeld      RunOutcome = "held" // waits for a person to review its plan
	RunFailed    RunOutcome = "failed"
	RunCancelled RunOutcome = "cancelled"
)

// A Plan is the list of snapshots that a forget will remove.
type Plan = reviews.Plan

// OpenRuns lists the runs that have not ended, the oldest first.
func (s *Store) OpenRuns(ctx context.Context) ([]MaintenanceRun, error) {
	return all[MaintenanceRun](ctx, s.r, `SELECT * FROM maintenance_runs WHERE ended_at = 0 ORDER BY created_at, id`)
}

// Runs lists a repository's runs, the newest first.
func (s *Store) Runs(ctx context.Context, repository topics.RepositoryID, limit int) ([]MaintenanceRun, error) {
	return all[MaintenanceRun](ctx, s.r, `SELECT * FROM maintenance_runs WHERE repository = $1 ORDER BY created_at DESC, id DESC
		LIMIT $2`, repository, limit)
}

// LastRun is the newest run of a kind with an outcome, or ErrNotFound.
func (s *Store) LastRun(
	ctx context.Context, repository topics.RepositoryID, kind topics.JobKind, outcome RunOutcome,
) (MaintenanceRun, error) {
	return s.LastRunAt(ctx, repository, kind, outcome, "")
}

// LastRunAt is LastRun at the place of a host, or at any for "".
func (s *Store) LastRunAt(
	ctx context.Context, repository topics.RepositoryID, kind topics.JobKind, outcome RunOutcome, at topics.HostID,
) (MaintenanceRun, error) {
	return get[MaintenanceRun](ctx, s.r, `SELECT * FROM maintenance_runs WHERE repository = $1 AND kind = $2 AND outcome = $3
		AND ($4 = '' OR coalesce(nullif(place, ''), host) = $4)
		ORDER BY created_at DESC, id DESC LIMIT 1`,
		repository, kind, outcome, at)
}

// RunsOfSlot lists the runs for one slot of a kind of maintenance, the newest first.
func (s *Store) RunsOfSlot(ctx context.Context, repository topics.RepositoryID, kind topics.JobKind, slot int64) ([]MaintenanceRun, error) {
	return all[MaintenanceRun](ctx, s.r, `SELECT * FROM maintenance_runs WHERE repository = $1 AND kind = $2 AND slot = $3
		ORDER BY created_at DESC, id DESC`, repository, kind, slot)
}

// StartRun records a run and its main job. If a run of that kind is open on the
// repository, it returns that one.
func (s *Store) StartRun(ctx context.Context, r MaintenanceRun, j Job) (run MaintenanceRun, fresh bool, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		run, err = get[MaintenanceRun](ctx, tx, `SELECT * FROM maintenance_runs WHERE ended_at = 0 AND repository = $1 AND kind = $2
			AND place = $3 ORDER BY created_at LIMIT 1`, r.Repository, r.Kind, r.Place)
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		run, fresh = r, true
		run.CreatedAt = s.Now()
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO maintenance_runs (id, repository, kind, host, place, requested_by, given_by, slot,
			created_at, approved)
			VALUES (:id, :repository, :kind, :host, :place, :requested_by, :given_by, :slot, :created_at, :approved)`, run); err != nil {
			return fmt.Errorf("start a run: %w", err)
		}
		j.State, j.RequestedBy, j.GivenBy, j.QueuedAt = topics.Queued, r.RequestedBy, r.GivenBy, run.CreatedAt
		return s.queue(ctx, tx, j)
	})
	return run, fresh, err
}

// PutRun stores the progress of a run.
func (s *Store) PutRun(ctx context.Context, r MaintenanceRun) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return putRun(ctx, tx, r) })
}

func putRun(ctx context.Context, tx *sqlx.Tx, r MaintenanceRun) error {
	_, err := tx.NamedExecContext(ctx, `UPDATE maintenance_runs SET ended_at = :ended_at, listing = :listing, keys = :keys,
		plan = :plan, job = :job,
		batch = :batch, removed = :removed, outcome = :outcome, message = :message, again = :again WHERE id = :id AND ended_at = 0`, r)
	if err != nil {
		return fmt.Errorf("run %s: %w", r.ID, err)
	}
	return nil
}

// Release lets a held job be sent, with its operation, and stores the run's plan; its
// snapshots are in the job's own row from then on. It returns ErrNotFound if the job has
// ended, or the plan is one by other rules than the repository has.
func (s *Store) Release(ctx context.Context, r MaintenanceRun, o topics.Operation) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if row, err := repository(ctx, tx, r.Repository); err != nil || r.Plan.V != nil && r.Plan.V.Rules != row.Rules() {
			return errors.Join(err, ErrNotFound)
		}
		if err := replacing.Keeps(ctx, tx, r.Repository, o.Snapshots); errors.As(err, new(*replacing.HeldError)) {
			return ErrNotFound // a machine was replaced since the plan was made
		} else if err != nil {
			return err
		}
		if err := change(ctx, tx, `UPDATE jobs SET held = 0, operation = $1 WHERE id = $2 AND held <> 0 AND finished_at = 0`,
			JSON[topics.Operation]{V: &o}, r.ID); err != nil {
			return fmt.Errorf("release job %s: %w", r.ID, err)
		}
		if err := names(ctx, tx, Job{ID: r.ID, Kind: r.Kind, Repository: r.Repository, Operation: JSON[topics.Operation]{V: &o}}); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, r.RequestedBy, "retention.released", string(r.ID),
			fmt.Sprintf("%d snapshots of %s", len(o.Snapshots), r.Repository)); err != nil {
			return err
		}
		if err := reviews.Removing(ctx, tx, r.Repository, r.Plan.V); err != nil {
			return err
		}
		return putRun(ctx, tx, r)
	})
}

// EndRun stores the end of a run. m, if not nil, is the new progress of the run's
// slot; review, if not nil, is what is held for review from now on. The audit log is told
// of it once.
func (s *Store) EndRun(ctx context.Context, r MaintenanceRun, m *MaintenanceHours, review *Review) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		r.EndedAt = s.Now()
		if err := putRun(ctx, tx, r); err != nil {
			return err
		}
		if m != nil {
			if err := putServed(ctx, tx, *m); err != nil {
				return err
			}
		}
		if review != nil {
			told, err := reviews.Put(ctx, tx, *review, r.EndedAt)
			if err != nil || !told {
				return err
			}
			return s.audit(ctx, tx, r.RequestedBy, "retention.held", string(r.Repository), review.Hash)
		}
		if r.Kind == topics.ForgetJob && r.Outcome == RunSucceeded { // a plan held before is outdated
			return reviews.Drop(ctx, tx, r.Repository, r.Place)
		}
		return nil
	})
}

// PutServed stores the progress of a slot that needs no run.
func (s *Store) PutServed(ctx context.Context, m MaintenanceHours) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return putServed(ctx, tx, m) })
}

func putServed(ctx context.Context, tx *sqlx.Tx, m MaintenanceHours) error {
	_, err := tx.NamedExecContext(ctx, `UPDATE maintenance_duties SET slice = :slice, served = :served, attempt = :attempt,
		next_attempt_at = :next_attempt_at WHERE repository = :repository AND kind = :kind`, m)
	return err
}

// A Review is a plan that a person must approve before it is carried out.
type Review = reviews.Review

// ReviewOf returns the held plan of a repository, the first held if there are several, or
// ErrNotFound. Where {host} leads to several places, each may have one.
func (s *Store) ReviewOf(ctx context.Context, repository topics.RepositoryID) (Review, error) {
	r, err := reviews.Of(ctx, s.r, repository, s.Now())
	return r, ours(err)
}

// ReviewNamed returns the held plan of a repository with this hash, or ErrNotFound.
func (s *Store) ReviewNamed(ctx context.Context, repository topics.RepositoryID, hash string) (Review, error) {
	r, err := reviews.Named(ctx, s.r, repository, hash, s.Now())
	return r, ours(err)
}

// Reviews lists the held plans of a repository, the first held first.
func (s *Store) Reviews(ctx context.Context, repository topics.RepositoryID) ([]Review, error) {
	return reviews.All(ctx, s.r, repository, s.Now())
}

// PlansWaiting lists the repositories in which a held plan waits for a person.
func (s *Store) PlansWaiting(ctx context.Context) ([]reviews.Waiting, error) {
	return reviews.WaitingFor(ctx, s.r, s.Now())
}

// Measures reads what plans of a repository are compared with, by source group.
func (s *Store) Measures(ctx context.Context, repository topics.RepositoryID) (map[topics.SourceGroupID]reviews.Measure, error) {
	return reviews.Measures(ctx, s.r, repository)
}

// Approve releases the plan with exactly this hash; ErrNotFound if there is none.
func (s *Store) Approve(ctx context.Context, actor string, repository topics.RepositoryID, hash string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if there, err := reviews.Approve(ctx, tx, actor, repository, hash, s.Now()); err != nil {
			return err
		} else if !there {
			return ErrNotFound
		}
		return s.audit(ctx, tx, actor, "retention.approved", string(repository), hash)
	})
}

// ExpireReviews removes plans that were not approved in time.
func (s *Store) ExpireReviews(ctx context.Context) error {
	if there, err := reviews.Expired(ctx, s.r, s.Now()); err != nil || !there {
		return err
	}
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		gone, err := reviews.Expire(ctx, tx, s.Now())
		for _, r := range gone {
			if err == nil {
				err = s.audit(ctx, tx, "plane", "retention.expired", string(r.Repository), r.Hash)
			}
		}
		return err
	})
}
