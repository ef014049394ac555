// Package moments lists snapshots as the moments that a person may want to go back to:
// of a repository, a host or a source group, with what the one before held.
package moments

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// A Filter selects snapshots that exist. What is empty does not narrow it.
type Filter struct {
	Repository topics.RepositoryID
	Host       topics.HostID
	Group      topics.SourceGroupID
	Since      int64 // taken at this moment or later; Unix milliseconds
	Before     int64 // taken before this moment
}

// where returns the filter as a condition, with "?".
func (f Filter) where() (cond string, args []any) {
	cond = `n.gone_at = 0`
	for _, c := range []struct {
		cond string
		v    any
		is   bool
	}{
		{` AND n.repository = ?`, f.Repository, f.Repository != ""},
		{` AND n.host = ?`, f.Host, f.Host != ""},
		{` AND n.source_group = ?`, f.Group, f.Group != ""},
		{` AND n.time >= ?`, f.Since, f.Since > 0},
		{` AND n.time < ?`, f.Before, f.Before > 0},
	} {
		if c.is {
			cond, args = cond+c.cond, append(args, c.v)
		}
	}
	// What is out of care is not asked for.
	return cond + ` AND EXISTS (SELECT 1 FROM repositories r WHERE r.id = n.repository AND r.removed_at = 0)`, args
}

// A Place is a place in a list, after which a page begins: the time and ID of a
// snapshot. The zero value is the beginning.
type Place struct {
	Time int64
	ID   string
}

// String is how a URL has a place: "1767225600000.0a1b…", "" for the beginning.
func (p Place) String() string {
	if p == (Place{}) {
		return ""
	}
	return strconv.FormatInt(p.Time, 10) + "." + p.ID
}

// PlaceOf reads what String wrote; anything else is the beginning.
func PlaceOf(text string) Place {
	at, id, _ := strings.Cut(text, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || id == "" {
		return Place{}
	}
	return Place{Time: ms, ID: id}
}

// A Row is a snapshot, with what is known of its backup and of the one before.
type Row struct {
	snapshots.Snapshot
	Summary column.JSON[topics.Summary] `db:"summary"` // of the job that made it, while that is kept
	// What the snapshot before held, of the same source group in the same repository, also if
	// it is gone meanwhile; below zero if there was none, or it is not known.
	BeforeFiles int64 `db:"before_files"`
	BeforeBytes int64 `db:"before_bytes"`
}

// the one before a snapshot n: that its source group's backup made last, into the same
// repository. The index snapshots_made leads to it.
func before(column string) string {
	return `coalesce((SELECT p.` + column + ` FROM snapshots p WHERE p.source_group = n.source_group AND p.replaced_by = '' AND p.job <> ''
		AND p.ended_at < n.ended_at AND p.repository = n.repository AND p.told = 1 AND n.job <> ''
		ORDER BY p.ended_at DESC, p.id DESC LIMIT 1), -1)`
}

// List lists snapshots after a place, the newest first, at most so many.
func List(ctx context.Context, q sqlx.QueryerContext, f Filter, after Place, limit int) (rows []Row, err error) {
	if after == (Place{}) {
		after.Time = math.MaxInt64
	}
	cond, args := f.where()
	err = sqlx.SelectContext(ctx, q, &rows, sqlx.Rebind(sqlx.DOLLAR, `SELECT n.*, coalesce(j.summary, '') AS summary, `+
		before("files")+` AS before_files, `+before("bytes")+` AS before_bytes
		FROM (SELECT * FROM snapshots n WHERE `+cond+` AND n.time <= ? AND (n.time < ? OR n.id > ?) ORDER BY n.time DESC, n.id LIMIT ?) n
		LEFT JOIN jobs j ON j.id = n.job AND n.job <> '' ORDER BY n.time DESC, n.id`),
		append(args, after.Time, after.Time, after.ID, limit)...)
	return rows, err
}

// A Size is what a snapshot held that was taken at a moment, and what the one before did.
type Size struct {
	Time        int64  `db:"time"`
	Told        int    `db:"told"`
	Files       uint64 `db:"files"`
	Bytes       uint64 `db:"bytes"`
	Collapsed   int    `db:"collapsed"`
	BeforeFiles int64  `db:"before_files"` // below zero: not known
	BeforeBytes int64  `db:"before_bytes"`
}

// Sizes lists what the snapshots of a filter held, the oldest first. The filter has to
// have both ends of its time.
func Sizes(ctx context.Context, q sqlx.QueryerContext, f Filter) (rows []Size, err error) {
	cond, args := f.where()
	err = sqlx.SelectContext(ctx, q, &rows, sqlx.Rebind(sqlx.DOLLAR, `SELECT n.time, n.told, n.files, n.bytes, n.collapsed, `+
		before("files")+` AS before_files, `+before("bytes")+` AS before_bytes FROM snapshots n WHERE `+cond+` ORDER BY n.time`), args...)
	return rows, err
}

// Groups lists the source groups of a host that have snapshots in a repository, removed ones
// too.
func Groups(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, host topics.HostID) (
	ids []topics.SourceGroupID, err error) {
	err = sqlx.SelectContext(ctx, q, &ids, `SELECT DISTINCT source_group FROM snapshots WHERE repository = $1 AND gone_at = 0
		AND host = $2 AND source_group <> '' ORDER BY source_group`, repository, host)
	return ids, err
}

// Repositories lists the repositories in which a host has snapshots, without those that are
// out of care.
func Repositories(ctx context.Context, q sqlx.QueryerContext, host topics.HostID) (ids []topics.RepositoryID, err error) {
	err = sqlx.SelectContext(ctx, q, &ids, `SELECT DISTINCT n.repository FROM snapshots n JOIN repositories r ON r.id = n.repository
		AND r.removed_at = 0 WHERE n.host = $1 AND n.gone_at = 0 ORDER BY n.repository`, host)
	return ids, err
}

// Times says when snapshots of a repository were taken, gone ones too.
func Times(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, ids []string) (map[string]int64, error) {
	at := make(map[string]int64, len(ids))
	for some := range slices.Chunk(ids, 400) {
		query, args, err := sqlx.In(`SELECT id, time FROM snapshots WHERE repository = ? AND id IN (?)`, repository, some)
		if err != nil {
			return nil, err
		}
		var rows []struct {
			ID   string `db:"id"`
			Time int64  `db:"time"`
		}
		if err := sqlx.SelectContext(ctx, q, &rows, sqlx.Rebind(sqlx.DOLLAR, query), args...); err != nil {
			return nil, err
		}
		for _, r := range rows {
			at[r.ID] = r.Time
		}
	}
	return at, nil
}

// Previous is the snapshot of the same source group in the same repository that exists and
// was taken before one, "" if there is none.
func Previous(ctx context.Context, q sqlx.QueryerContext, n snapshots.Snapshot) (id string, err error) {
	var ids []string
	err = sqlx.SelectContext(ctx, q, &ids, `SELECT id FROM snapshots WHERE repository = $1 AND gone_at = 0 AND host = $2 AND time < $3
		AND source_group = $4 AND job <> '' ORDER BY time DESC LIMIT 1`, n.Repository, n.Host, n.Time, n.SourceGroup)
	if len(ids) > 0 {
		id = ids[0]
	}
	return id, err
}
