// Package snapshots keeps the rows of snapshots: which ones jobs of ours made, which
// a listing found in a repository, and which are gone.
//
// A row holds what is needed of the job that made the snapshot, so that neither
// retention nor protection reads rows of jobs, which are removed in time. A snapshot
// that is gone keeps its row.
package snapshots

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// A Snapshot is a current or former snapshot of a repository. It has neither host nor
// job if no job of ours made it. Times are Unix milliseconds; Time is by the clock of
// the host that made it, all others are by ours.
type Snapshot struct {
	Repository topics.RepositoryID `db:"repository"`
	ID         string              `db:"id"`
	Time       int64               `db:"time"`
	Hostname   string              `db:"hostname"`
	Paths      column.List         `db:"paths"`
	Tags       column.List         `db:"tags"`
	Username   string              `db:"username"`
	Tree       string              `db:"tree"`
	Original   string              `db:"original"`

	// What is kept of the job that made it, see Made.
	Host        topics.HostID        `db:"host"`
	Job         topics.JobID         `db:"job"`
	SourceGroup topics.SourceGroupID `db:"source_group"`
	RequestedBy string               `db:"requested_by"`
	QueuedAt    int64                `db:"queued_at"` // when it was queued, or heard of if its host began it by itself
	BegunAt     int64                `db:"begun_at"`
	EndedAt     int64                `db:"ended_at"`
	State       topics.JobState      `db:"state"`
	Schedule    topics.ScheduleID    `db:"schedule"`
	Slot        int64                `db:"slot"` // the moment its schedule planned it for
	Files       uint64               `db:"files"`
	Bytes       uint64               `db:"bytes"` // what restoring it writes
	Told        int                  `db:"told"`  // 1 if its backup said how much it holds; 0 files and bytes are not known otherwise
	// Imported is the import that a person took it in with, "" for none. No job of ours made
	// it then: Job is that import's ID, and the moments are by the clock of whoever made it.
	Imported string `db:"imported"`

	Place  topics.HostID `db:"place"`   // see Where; "" if all hosts share one, or no listing saw it
	SeenAt int64         `db:"seen_at"` // when a listing last had it; 0 if only the backup reported it
	// FirstSeenAt is when a listing first had it, and UnseenAt when the last one before that had
	// ended, which had it not: 0 if none is known.
	FirstSeenAt int64 `db:"first_seen_at"`
	UnseenAt    int64 `db:"unseen_at"`
	NotedAt     int64 `db:"noted_at"` // when its job was heard to have made it
	KnownAt     int64 `db:"known_at"` // of a foreign one: when it was acknowledged; 0 is not
	GoneAt      int64 `db:"gone_at"`  // when it was found missing or was removed; 0 while it exists

	NamedBy        topics.JobID `db:"named_by"`        // a job that was to remove or replace it, however that ended
	AcknowledgedAt int64        `db:"acknowledged_at"` // when an administrator took note that it is lost
	ReplacedBy     string       `db:"replaced_by"`     // the snapshot that was made of it and took its place
	// CopiedFrom is the repository that it was copied from, if one of ours; it has the job,
	// host and source group of that snapshot. "" is that it was made here.
	CopiedFrom topics.RepositoryID `db:"copied_from"`
	Collapsed  int                 `db:"collapsed"` // 1 if it holds next to nothing of what those before it held, -1 not judged yet
	Lacks      int64               `db:"lacks"`     // files and folders that a repair took out of it, since their data is lost
}

// Made is what is kept of the job that made a snapshot, with the fields of a Snapshot;
// the zero value is none.
type Made struct {
	Host        topics.HostID        `db:"host"`
	Job         topics.JobID         `db:"job"`
	SourceGroup topics.SourceGroupID `db:"source_group"`
	RequestedBy string               `db:"requested_by"`
	QueuedAt    int64                `db:"queued_at"`
	BegunAt     int64                `db:"begun_at"`
	EndedAt     int64                `db:"ended_at"`
	State       topics.JobState      `db:"state"`
	Schedule    topics.ScheduleID    `db:"schedule"`
	Slot        int64                `db:"slot"`
	Files       uint64               `db:"files"`
	Bytes       uint64               `db:"bytes"`
	Told        int                  `db:"told"`
	Imported    string               `db:"imported"`
}

// by says which job made a snapshot, and when that was noted.
func (n *Snapshot) by(m Made, at int64) {
	n.Host, n.Job, n.SourceGroup, n.RequestedBy = m.Host, m.Job, m.SourceGroup, m.RequestedBy
	n.QueuedAt, n.BegunAt, n.EndedAt, n.State = m.QueuedAt, m.BegunAt, m.EndedAt, m.State
	n.Schedule, n.Slot, n.Files, n.Bytes, n.Told, n.NotedAt = m.Schedule, m.Slot, m.Files, m.Bytes, m.Told, at
	n.Imported = m.Imported
}

// made is what by said.
func (n Snapshot) made() Made {
	return Made{n.Host, n.Job, n.SourceGroup, n.RequestedBy, n.QueuedAt, n.BegunAt, n.EndedAt, n.State, n.Schedule, n.Slot,
		n.Files, n.Bytes, n.Told, n.Imported}
}

// Sized sets the size to what a backup said of its snapshot, within what a column
// holds.
func (m *Made) Sized(sum *topics.Summary) {
	m.Files, m.Bytes, m.Told = 0, 0, 0
	if sum != nil {
		m.Files, m.Bytes, m.Told = min(sum.TotalFiles, math.MaxInt64), min(sum.TotalBytes, math.MaxInt64), 1
	}
}

// Where returns the host at whose place the snapshot is, where hosts have places of their
// own: the one at which a listing last saw it, else that of the host that made it. It is
// "" if nobody knows.
func (n Snapshot) Where() topics.HostID {
	if n.Place != "" {
		return n.Place
	}
	return n.Host
}

// Foreign reports whether no job of ours made it, and nobody took it in.
func (n Snapshot) Foreign() bool { return n.Job == "" }

// Lost reports whether it was one of ours, is gone, and no job of ours removed it.
func (n Snapshot) Lost() bool {
	return n.Job != "" && n.GoneAt > 0 && n.NamedBy == "" && n.ReplacedBy == ""
}

// lost is the condition of Snapshot.Lost, as the index snapshots_lost has it.
const lost = `gone_at > 0 AND named_by = '' AND replaced_by = '' AND job <> ''`

var wholeID = regexp.MustCompile(`^[0-9a-f]{64}$`)

const insert = `INSERT INTO snapshots (repository, id, time, hostname, paths, tags, username, tree, original, host, job, source_group,
	requested_by, queued_at, begun_at, ended_at, state, schedule, slot, files, bytes, told, seen_at, noted_at, gone_at, named_by,
	place, imported, first_seen_at, unseen_at)
	VALUES (:repository, :id, :time, :hostname, :paths, :tags, :username, :tree, :original, :host, :job, :source_group,
	:requested_by, :queued_at, :begun_at, :ended_at, :state, :schedule, :slot, :files, :bytes, :told,
	:seen_at, :noted_at, :gone_at, :named_by, :place, :imported, :first_seen_at, :unseen_at)`

const setMade = `UPDATE snapshots SET host = :host, job = :job, source_group = :source_group, requested_by = :requested_by,
	queued_at = :queued_at, begun_at = :begun_at, ended_at = :ended_at, state = :state, schedule = :schedule, slot = :slot,
	files = :files, bytes = :bytes, told = :told, noted_at = :noted_at, imported = :imported, collapsed = -1
	WHERE repository = :repository AND id = :id`

func rowOf(repository topics.RepositoryID, t topics.Snapshot) Snapshot {
	return Snapshot{Repository: repository, ID: t.ID, Time: t.Time, Hostname: t.Host, Paths: slices.Clone(t.Paths), Tags: slices.Clone(t.Tags),
		Username: t.Username, Tree: t.Tree, Original: t.Original}
}

// Add notes at a moment the snapshot that a job made. A listing may have seen it
// first: then nobody's becomes that job's, if it is marked as of its source group, and so
// does one that a person took in meanwhile; one that has a job keeps it.
func Add(ctx context.Context, tx *sqlx.Tx, repository topics.RepositoryID, m Made, t topics.Snapshot, at int64) error {
	row := rowOf(repository, t)
	row.by(m, at)
	there, err := find(ctx, tx, repository, t.ID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = tx.NamedExecContext(ctx, insert, row)
	case err == nil && (there.Foreign() || there.Imported != "") && marked(there.Tags, m.SourceGroup):
		_, err = tx.NamedExecContext(ctx, setMade, row)
	}
	return err
}

func find(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, id string) (n Snapshot, err error) {
	return n, sqlx.GetContext(ctx, q, &n, `SELECT * FROM snapshots WHERE repository = $1 AND id = $2`, repository, id)
}

// marked reports whether a snapshot carries its source group's tag. Whoever made
// it wrote that into it; another host cannot call it its own afterwards.
func marked(tags column.List, group topics.SourceGroupID) bool {
	return slices.Contains(tags, "plan="+string(group))
}

// claims reads the jobs that said they made a snapshot, the first one first.
func claims(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, id string) (list []Made, err error) {
	var rows []struct {
		Made
		Summary column.JSON[topics.Summary] `db:"summary"`
	}
	err = sqlx.SelectContext(ctx, q, &rows, `SELECT host, id AS job, source_group, requested_by,
			CASE WHEN fired <> 0 THEN heard_at ELSE queued_at END AS queued_at, started_at AS begun_at, finished_at AS ended_at, state,
			schedule, slot, summary FROM jobs WHERE repository = $1 AND snapshot_id = $2 ORDER BY id`, repository, id)
	for _, r := range rows {
		r.Made.Sized(r.Summary.V)
		list = append(list, r.Made)
	}
	return list, err
}

// Naming reports whether a job of this kind removes or replaces the snapshots that
// its operation names, unless it is a dry run.
func Naming(kind topics.JobKind) bool {
	switch kind {
	case topics.ForgetJob, topics.TagJob, topics.RewriteJob, topics.RepairJob:
		return true
	}
	return false
}

// Name notes which snapshots a job is about to remove or replace. However it ends,
// they do not count as lost from then on, until a listing after its end still has them: it
// may have come that far before it was cut off.
func Name(ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, job topics.JobID, ids []string) error {
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, `UPDATE snapshots SET named_by = $1 WHERE repository = $2 AND id = $3 AND gone_at = 0`, job,
			repository, id); err != nil {
			return fmt.Errorf("note that job %s names snapshot %.8s: %w", job, id, err)
		}
	}
	return nil
}

// Removed records that a job removed snapshots, limited to those it was asked to
// remove.
func Removed(
	ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, job topics.JobID, asked, gone []string, at int64,
) error {
	for _, id := range gone {
		if !slices.Contains(asked, id) {
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE snapshots SET gone_at = $1, named_by = $2 WHERE repository = $3 AND id = $4 AND gone_at = 0`,
			at, job, repository, id); err != nil {
			return err
		}
	}
	return nil
}
