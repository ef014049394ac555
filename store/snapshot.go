package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// A Snapshot is a current or former snapshot of a repository.
type Snapshot = snapshots.Snapshot

// A Neighbourhood is what exists around a snapshot that is gone.
type Neighbourhood = snapshots.Neighbourhood

// hostsOwn is the condition on a host's snapshots in repositories that are in care. A copy is
// left out for the sake of what it is a copy of, unless that one's repository is out of care.
const hostsOwn = `host = $1 AND gone_at = 0 AND repository IN (SELECT id FROM repositories WHERE removed_at = 0)
	AND (copied_from = '' OR copied_from NOT IN (SELECT id FROM repositories WHERE removed_at = 0))`

// Snapshots lists a host's snapshots, the newest first, without their copies.
func (s *Store) Snapshots(ctx context.Context, host topics.HostID, limit int) ([]Snapshot, error) {
	return all[Snapshot](ctx, s.r, `SELECT * FROM snapshots WHERE `+hostsOwn+` ORDER BY time DESC, id LIMIT $2`, host, limit)
}

// SnapshotCount counts a host's snapshots, without their copies.
func (s *Store) SnapshotCount(ctx context.Context, host topics.HostID) (int, error) {
	return get[int](ctx, s.r, `SELECT count(*) FROM snapshots WHERE `+hostsOwn, host)
}

// A SnapshotPlace is a place in a list of snapshots, after which a page begins: the
// time and ID of a snapshot.
type SnapshotPlace struct {
	Time int64
	ID   string
}

// A SnapshotFilter selects snapshots of a repository. Empty fields match everything.
type SnapshotFilter struct {
	Text    string // the beginning of an ID, or part of a path or a tag
	Host    topics.HostID
	Foreign bool // only those that no job of ours made
}

// where returns the filter as a condition on a repository's snapshots, with "?".
func (f SnapshotFilter) where(id topics.RepositoryID) (cond string, args []any) {
	cond, args = `repository = ? AND gone_at = 0`, []any{id}
	if f.Host != "" {
		cond, args = cond+` AND host = ?`, append(args, f.Host)
	}
	if f.Foreign {
		cond += ` AND host = ''`
	}
	if f.Text != "" {
		// Paths and tags are stored as JSON, where a backslash is doubled.
		v, err := List{f.Text}.Value()
		if err != nil {
			panic(err) // strings always encode
		}
		within := strings.TrimSuffix(strings.TrimPrefix(v.(string), `["`), `"]`)
		path, paths := column.Holds(`paths`, within)
		tag, tags := column.Holds(`REPLACE(tags, 'plan=' || source_group, '')`, within) // leaves out our own tag, which is not shown
		cond, args = cond+` AND (id LIKE ? ESCAPE '!' OR `+path+` OR `+tag+`)`, append(args, column.Likely(strings.ToLower(f.Text))+"%")
		args = append(append(args, paths...), tags...)
	}
	return cond, args
}

// SnapshotsOf lists a repository's snapshots after a place, newest first; the zero
// place is the beginning.
func (s *Store) SnapshotsOf(
	ctx context.Context, id topics.RepositoryID, f SnapshotFilter, after SnapshotPlace, limit int,
) ([]Snapshot, error) {
	if after == (SnapshotPlace{}) {
		after.Time = math.MaxInt64
	}
	cond, args := f.where(id)
	query, args, err := s.filtered(`SELECT * FROM snapshots WHERE `+cond+
		` AND (time < ? OR time = ? AND id > ?) ORDER BY time DESC, id LIMIT ?`,
		append(args, after.Time, after.Time, after.ID, limit)...)
	if err != nil {
		return nil, err
	}
	return all[Snapshot](ctx, s.r, query, args...)
}

// CountSnapshots counts the snapshots that match a filter, on all pages.
func (s *Store) CountSnapshots(ctx context.Context, id topics.RepositoryID, f SnapshotFilter) (int, error) {
	cond, args := f.where(id)
	query, args, err := s.filtered(`SELECT count(*) FROM snapshots WHERE `+cond, args...)
	if err != nil {
		return 0, err
	}
	return get[int](ctx, s.r, query, args...)
}

// SnapshotHosts lists the hosts whose jobs made a repository's snapshots.
func (s *Store) SnapshotHosts(ctx context.Context, id topics.RepositoryID) ([]topics.HostID, error) {
	return all[topics.HostID](ctx, s.r, `SELECT DISTINCT host FROM snapshots WHERE repository = $1 AND gone_at = 0 AND host <> ''
		ORDER BY host`, id)
}

// A Quarter is a count per quarter of an hour. Callers add quarters up to days in
// their time zone; every zone's offset is a multiple of a quarter.
type Quarter struct {
	Quarter int64 `db:"quarter"` // since 1 January 1970, in UTC
	N       int   `db:"n"`
}

// At returns the time the quarter begins.
func (q Quarter) At() time.Time { return time.Unix(q.Quarter*15*60, 0) }

// SnapshotQuarters counts a repository's snapshots made by our jobs, by the time they
// were taken, between two times; quarters without any are left out.
func (s *Store) SnapshotQuarters(ctx context.Context, id topics.RepositoryID, since, until int64) ([]Quarter, error) {
	return all[Quarter](ctx, s.r, `SELECT time / 900000 AS quarter, count(*) AS n FROM snapshots
		WHERE repository = $1 AND gone_at = 0 AND time >= $2 AND time <= $3 AND host <> '' GROUP BY time / 900000 ORDER BY 1`, id, since, until)
}

// FailedQuarters counts the failed backups into a repository since a time, by when
// they ended.
func (s *Store) FailedQuarters(ctx context.Context, id topics.RepositoryID, since int64) ([]Quarter, error) {
	return all[Quarter](ctx, s.r, `SELECT finished_at / 900000 AS quarter, count(*) AS n FROM jobs WHERE repository = $1 AND kind = $2
		AND state IN ($3, $4, $5) AND finished_at >= $6 GROUP BY finished_at / 900000 ORDER BY 1`, id, topics.BackupJob, topics.Failed,
		topics.Interrupted, topics.Abandoned, since)
}

// Prunes lists the successful prunes of a repository since a time, dry runs included,
// oldest first.
func (s *Store) Prunes(ctx context.Context, id topics.RepositoryID, since int64) ([]Job, error) {
	return all[Job](ctx, s.r, `SELECT * FROM jobs WHERE repository = $1 AND kind = $2 AND state = $3 AND finished_at >= $4
		ORDER BY finished_at, id`,
		id, topics.PruneJob, topics.Succeeded, since)
}

// SnapshotByID finds a snapshot by the beginning of its ID, also one that is
// gone. None, or more than one, is ErrNotFound.
func (s *Store) SnapshotByID(ctx context.Context, repository topics.RepositoryID, id string) (Snapshot, error) {
	if !hexDigits.MatchString(id) {
		return Snapshot{}, ErrNotFound
	}
	rows, err := all[Snapshot](ctx, s.r, `SELECT * FROM snapshots WHERE repository = $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT 2`,
		repository, id, id+"g")
	if err == nil && len(rows) != 1 {
		err = ErrNotFound
	}
	if err != nil {
		return Snapshot{}, err
	}
	return rows[0], nil
}

// Around returns what exists around a snapshot that is gone.
func (s *Store) Around(ctx context.Context, n Snapshot) (Neighbourhood, error) {
	return snapshots.Near(ctx, s.r, n)
}

var hexDigits = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

// most is a number of ours, whatever an agent said.
func most(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// made is what a snapshot keeps of the job that made it.
func made(j Job) snapshots.Made {
	m := snapshots.Made{
		Host: j.Host, Job: j.ID, SourceGroup: j.SourceGroup, RequestedBy: j.RequestedBy, QueuedAt: j.QueuedAt, BegunAt: j.StartedAt,
		EndedAt: j.FinishedAt, State: j.State, Schedule: j.Schedule, Slot: j.Slot,
	}
	if j.Fired {
		m.QueuedAt = j.HeardAt
	}
	m.Sized(j.Summary.V)
	return m
}

// names notes which snapshots a job is about to remove or replace.
func names(ctx context.Context, tx *sqlx.Tx, j Job) error {
	if !snapshots.Naming(j.Kind) || j.Operation.V == nil || j.Operation.V.DryRun {
		return nil
	}
	return snapshots.Name(ctx, tx, j.Repository, j.ID, j.Operation.V.Snapshots)
}

// listing is what a job listed, if it did.
func (j journal) listing(job Job, f topics.Finished, at int64) (l snapshots.Listing, is bool, err error) {
	if job.Kind != topics.SnapshotsJob || f.State != topics.Succeeded || f.Result == nil { // without a result nothing was listed
		return l, false, nil
	}
	address, err := get[string](j.ctx, j.tx, `SELECT location FROM repositories WHERE id = $1`, job.Repository)
	return snapshots.Listing{Job: job.ID, Repository: job.Repository, Host: job.Where(), Apart: !places.Shared(address),
		QueuedAt: job.QueuedAt, At: at, Result: *f.Result}, true, err
}

// Ahead enters what a listing holds before its job ends.
func (j journal) Ahead(p protocol.PlaneJob, f topics.Finished, at int64, enough func() bool) (done bool, err error) {
	job, err := get[Job](j.ctx, j.tx, `SELECT * FROM jobs WHERE id = $1`, p.ID)
	if err != nil {
		return false, err
	}
	l, is, err := j.listing(job, f, at)
	if err != nil || !is {
		return true, err
	}
	done, _, err = snapshots.Apply(j.ctx, j.tx, &l, enough)
	return done, err
}

// looked is when a job that ended at a moment looked at its repository: of a listing that
// was entered in steps, all was seen when the first step was, and whatever is dated by it
// must say the same.
func (j journal) looked(id topics.JobID, ended int64) (int64, error) {
	first, err := get[int64](j.ctx, j.tx, `SELECT at FROM listing_progress WHERE job = $1`, id)
	if errors.Is(err, ErrNotFound) {
		return ended, nil
	}
	return first, err
}

// listed applies a listing of a repository, if it is whole, and notes in the audit log
// what was lost.
func (j journal) listed(job Job, f topics.Finished, at int64) (whole bool, err error) {
	l, is, err := j.listing(job, f, at)
	if err != nil || !is {
		return false, err
	}
	whole, lost, err := snapshots.List(j.ctx, j.tx, l)
	if err != nil || !whole {
		return false, err
	}
	var n int
	var said []string
	for _, l := range lost {
		n += l.Count
		said = append(said, fmt.Sprintf("%d of source group %s of host %s", l.Count, l.Group, l.Host))
		if err := drills.Lost(j.ctx, j.tx, l.Group, job.Repository); err != nil {
			return false, err
		}
	}
	if n > 0 {
		if err := j.s.audit(j.ctx, j.tx, "plane", "snapshots.lost", string(job.Repository), strings.Join(said, "; ")+
			", as job "+string(job.ID)+" found"); err != nil {
			return false, err
		}
	}
	first, err := get[bool](j.ctx, j.tx, `SELECT listed_at = 0 FROM repositories WHERE id = $1`, job.Repository)
	if err != nil {
		return false, err
	}
	if err := change(j.ctx, j.tx, `UPDATE repositories SET listed_at = $1 WHERE id = $2`, at, job.Repository); err != nil {
		return false, err
	}
	if first {
		err = looks.Know(j.ctx, j.tx, job.Repository, at)
	}
	return true, err
}

// MissingSnapshots lists the snapshots of ours that are gone from a repository although
// no job of ours removed them, the newest first; also those that were acknowledged.
func (s *Store) MissingSnapshots(ctx context.Context, id topics.RepositoryID) ([]Snapshot, error) {
	return snapshots.Missing(ctx, s.r, id)
}

// MissingCounts counts the lost snapshots of those of some repositories that have lost
// any.
func (s *Store) MissingCounts(ctx context.Context, ids []topics.RepositoryID) (map[topics.RepositoryID]snapshots.Count, error) {
	return snapshots.MissingOf(ctx, s.r, ids)
}

// AcknowledgeMissing notes that an administrator knows of lost snapshots, so that they
// do not count as news any more, and returns how many: others are not lost, or were
// acknowledged before.
func (s *Store) AcknowledgeMissing(ctx context.Context, actor string, id topics.RepositoryID, ids []string) (n int, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		done, err := snapshots.Acknowledge(ctx, tx, id, ids, s.Now())
		if n = len(done); err != nil || n == 0 {
			return err
		}
		said := make([]string, 0, len(done))
		for _, id := range done {
			said = append(said, id[:min(8, len(id))])
		}
		return s.audit(ctx, tx, actor, "snapshots.acknowledged", string(id), fmt.Sprintf("%d: %s", n, strings.Join(said, ", ")))
	})
	return n, err
}

// AcceptSize takes what the newest snapshot of a source group holds for the size its
// backups have from now on, and returns that snapshot; a zero one if there is none. If
// another is the newest than the one that is named, it changes nothing.
func (s *Store) AcceptSize(ctx context.Context, actor string, group topics.SourceGroupID, shown string) (n facts.Snapshot, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if n, err = facts.AcceptSize(ctx, tx, group, shown); err != nil || n.ID == "" || shown != "" && n.ID != shown {
			return err
		}
		return s.audit(ctx, tx, actor, "source_group.size_accepted", string(group), fmt.Sprintf("snapshot %.8s: %d files, %d bytes", n.ID,
			n.Files, n.Bytes))
	})
	return n, err
}

// Facts reads what is known of the source groups of some hosts, or of all if none is
// named.
func (s *Store) Facts(ctx context.Context, hosts ...topics.HostID) ([]facts.Group, error) {
	if len(hosts) == 0 {
		return facts.All(ctx, s.r)
	}
	return facts.Of(ctx, s.r, hosts...)
}
