package store

import (
	"context"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Snapshot is a current or former snapshot of a repository. It has neither host nor
// job if no job of ours made it.
type Snapshot struct {
	Repository topics.RepositoryID `db:"repository"`
	ID         string              `db:"id"`
	Host       topics.HostID       `db:"host"`
	Job        topics.JobID        `db:"job"`
	Time       int64               `db:"time"`
	Hostname   string              `db:"hostname"`
	Paths      List                `db:"paths"`
	Tags       List                `db:"tags"`
	Files      uint64              `db:"files"`
	Bytes      uint64              `db:"bytes"`

	SourceGroup topics.SourceGroupID `db:"source_group"`
	Username    string               `db:"username"`
	Tree        string               `db:"tree"`
	Original    string               `db:"original"`
	SeenAt      int64                `db:"seen_at"`  // when a listing last had it; 0 if only the backup reported it
	KnownAt     int64                `db:"known_at"` // of a foreign one: when it was acknowledged; 0 is not
	GoneAt      int64                `db:"gone_at"`  // when it was found missing or was removed; 0 while it exists

	// Of the job that made it, by our clock; see facts.Snapshot.
	RequestedBy string          `db:"requested_by"`
	QueuedAt    int64           `db:"queued_at"` // when it was queued, or heard of if its host began it by itself
	BegunAt     int64           `db:"begun_at"`
	EndedAt     int64           `db:"ended_at"`
	State       topics.JobState `db:"state"`
	Schedule    ScheduleID      `db:"schedule"`
	Slot        int64           `db:"slot"`

	NamedBy        topics.JobID `db:"named_by"`        // a job that was to remove or replace it, however that ended
	AcknowledgedAt int64        `db:"acknowledged_at"` // when an administrator took note that it is lost
	ReplacedBy     string       `db:"replaced_by"`     // the snapshot that was made of it and took its place
	Collapsed      bool         `db:"collapsed"`       // it holds next to nothing of what those before it held
}

// Foreign reports whether no job of ours made it.
func (n Snapshot) Foreign() bool { return n.Job == "" }

// Snapshots lists a host's snapshots, the newest first.
func (s *Store) Snapshots(ctx context.Context, host topics.HostID, limit int) ([]Snapshot, error) {
	return all[Snapshot](ctx, s.r, `SELECT * FROM snapshots WHERE host = $1 AND gone_at = 0 ORDER BY time DESC, id LIMIT $2`, host, limit)
}

// SnapshotCount counts a host's snapshots.
func (s *Store) SnapshotCount(ctx context.Context, host topics.HostID) (int, error) {
	return get[int](ctx, s.r, `SELECT count(*) FROM snapshots WHERE host = $1 AND gone_at = 0`, host)
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
		path, paths := holds(`paths`, within)
		tag, tags := holds(`REPLACE(tags, 'plan=' || source_group, '')`, within) // leaves out our own tag, which is not shown
		cond, args = cond+` AND (id LIKE ? ESCAPE '!' OR `+path+` OR `+tag+`)`, append(args, likely(strings.ToLower(f.Text))+"%")
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

var (
	hexDigits = regexp.MustCompile(`^[0-9a-f]{4,64}$`)
	wholeID   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// most is a number of ours, whatever an agent said.
func most(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

const insertSnapshot = `INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, files, bytes, source_group,
	username, tree, original, seen_at, requested_by, queued_at, begun_at, ended_at, state, schedule, slot)
	VALUES (:repository, :id, :host, :job, :time, :hostname, :paths, :tags, :files, :bytes, :source_group, :username, :tree,
	:original, :seen_at, :requested_by, :queued_at, :begun_at, :ended_at, :state, :schedule, :slot)`

func rowOf(repository topics.RepositoryID, t topics.Snapshot) Snapshot {
	return Snapshot{Repository: repository, ID: t.ID, Time: t.Time, Hostname: t.Host, Paths: slices.Clone(t.Paths), Tags: slices.Clone(t.Tags),
		Username: t.Username, Tree: t.Tree, Original: t.Original}
}

// ofTheJob sets the columns that made fills.
const ofTheJob = `host = :host, job = :job, source_group = :source_group, files = :files, bytes = :bytes, requested_by = :requested_by,
	queued_at = :queued_at, begun_at = :begun_at, ended_at = :ended_at, state = :state, schedule = :schedule, slot = :slot`

// made copies what is kept of the job that made a snapshot; the zero job is none.
func (n *Snapshot) made(j Job) {
	n.Host, n.Job, n.SourceGroup = j.Host, j.ID, j.SourceGroup
	n.RequestedBy, n.QueuedAt, n.BegunAt, n.EndedAt = j.RequestedBy, j.QueuedAt, j.StartedAt, j.FinishedAt
	if j.Fired {
		n.QueuedAt = j.HeardAt
	}
	n.State, n.Schedule, n.Slot = j.State, j.Schedule, j.Slot
	n.Files, n.Bytes = 0, 0
	if sum := j.Summary.V; sum != nil {
		n.Files, n.Bytes = uint64(most(sum.TotalFiles)), uint64(most(sum.TotalBytes))
	}
}

// addSnapshot notes the snapshot a job made. A listing may have seen it first,
// then nobody's becomes that job's, if it is marked as of its source group; one
// that has a job keeps it.
func addSnapshot(ctx context.Context, tx *sqlx.Tx, j Job, t topics.Snapshot) error {
	row := rowOf(j.Repository, t)
	row.made(j)
	there, err := get[Snapshot](ctx, tx, `SELECT * FROM snapshots WHERE repository = $1 AND id = $2`, j.Repository, t.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		_, err = tx.NamedExecContext(ctx, insertSnapshot, row)
	case err == nil && there.Foreign() && marked(there.Tags, j.SourceGroup):
		_, err = tx.NamedExecContext(ctx, `UPDATE snapshots SET `+ofTheJob+` WHERE repository = :repository AND id = :id`, row)
	}
	return err
}

// marked reports whether a snapshot carries its source group's tag. Whoever made
// it wrote that into it; another host cannot call it its own afterwards.
func marked(tags List, group topics.SourceGroupID) bool {
	return slices.Contains(tags, "plan="+string(group))
}

// A known snapshot is what reconcile needs of a row.
type known struct {
	ID     string               `db:"id"`
	SeenAt int64                `db:"seen_at"`
	GoneAt int64                `db:"gone_at"`
	Time   int64                `db:"time"`
	Tags   List                 `db:"tags"`
	Job    topics.JobID         `db:"job"`
	Group  topics.SourceGroupID `db:"source_group"`
	Made   int64                `db:"made"` // when the job that made it ended, 0 for a foreign one
}

// reconcile applies a complete listing of a repository, made by job j. What happened
// while the listing ran takes precedence: a snapshot made or seen after the listing
// was queued is not missing, and one removed after that does not come back.
func reconcile(ctx context.Context, tx *sqlx.Tx, j Job, listed []topics.Snapshot, at int64) error {
	rows, err := all[known](ctx, tx, `SELECT s.id, s.seen_at, s.gone_at, s.time, s.tags, s.job, s.source_group,
		coalesce(j.finished_at, 0) AS made
		FROM snapshots s LEFT JOIN jobs j ON j.id = s.job WHERE s.repository = $1`, j.Repository)
	if err != nil {
		return err
	}
	had := make(map[string]known, len(rows))
	for _, k := range rows {
		had[k.ID] = k
	}
	if _, err := tx.ExecContext(ctx, `UPDATE snapshots SET seen_at = $1 WHERE repository = $2 AND gone_at = 0`, at, j.Repository); err != nil {
		return err
	}
	set, err := tx.PreparexContext(ctx, `UPDATE snapshots SET seen_at = $1, gone_at = $2 WHERE repository = $3 AND id = $4`)
	if err != nil {
		return err
	}
	insert, err := tx.PrepareNamedContext(ctx, insertSnapshot+` ON CONFLICT (repository, id) DO NOTHING`)
	if err != nil {
		return err
	}
	here := make(map[string]bool, len(listed))
	for _, t := range listed {
		if here[t.ID] || !wholeID.MatchString(t.ID) {
			continue
		}
		here[t.ID] = true
		k, old := had[t.ID]
		switch {
		case !old:
			row := rowOf(j.Repository, t)
			row.SeenAt = at
			_, err = insert.ExecContext(ctx, row)
		case k.GoneAt > 0 && k.GoneAt <= j.QueuedAt: // it was recorded as gone by mistake, or restored
			_, err = set.ExecContext(ctx, at, 0, j.Repository, t.ID)
		}
		if err == nil && old && (k.Time != t.Time || !slices.Equal(k.Tags, t.Tags)) {
			err = correct(ctx, tx, rowOf(j.Repository, t), k)
		}
		if err != nil {
			return err
		}
	}
	for _, k := range rows {
		switch {
		case here[k.ID] || k.GoneAt > 0:
		case max(k.SeenAt, k.Made) > j.QueuedAt:
			_, err = set.ExecContext(ctx, k.SeenAt, 0, j.Repository, k.ID)
		default:
			_, err = set.ExecContext(ctx, k.SeenAt, at, j.Repository, k.ID)
		}
		if err != nil {
			return err
		}
	}
	return change(ctx, tx, `UPDATE repositories SET listed_at = $1 WHERE id = $2`, at, j.Repository)
}

// correct replaces what was said about a snapshot by what the listing says. A job
// that claimed the snapshot but is not of the source group in its tag loses it, to a
// job that claimed it and is, or to none.
func correct(ctx context.Context, tx *sqlx.Tx, n Snapshot, was known) error {
	if _, err := tx.NamedExecContext(ctx, `UPDATE snapshots SET time = :time, hostname = :hostname, paths = :paths, tags = :tags,
		username = :username,
		tree = :tree, original = :original WHERE repository = :repository AND id = :id`, n); err != nil {
		return err
	}
	if was.Job != "" && marked(n.Tags, was.Group) {
		return nil
	}
	said, err := all[Job](ctx, tx, `SELECT * FROM jobs WHERE repository = $1 AND snapshot_id = $2 ORDER BY id`, n.Repository, n.ID)
	if err != nil {
		return err
	}
	var maker Job
	for _, j := range said {
		if maker.ID == "" && marked(n.Tags, j.SourceGroup) {
			maker = j
		}
	}
	n.made(maker)
	_, err = tx.NamedExecContext(ctx, `UPDATE snapshots SET `+ofTheJob+` WHERE repository = :repository AND id = :id`, n)
	return err
}

// removed records that a job removed snapshots, limited to those it was asked to
// remove.
func removed(ctx context.Context, tx *sqlx.Tx, j Job, ids []string, at int64) error {
	if j.Operation.V == nil {
		return nil
	}
	for _, id := range ids {
		if !slices.Contains(j.Operation.V.Snapshots, id) {
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE snapshots SET gone_at = $1 WHERE repository = $2 AND id = $3 AND gone_at = 0`, at,
			j.Repository, id); err != nil {
			return err
		}
	}
	return nil
}
