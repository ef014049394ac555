// Package reviews keeps what a person must look at before a forget removes it: the plans
// that are held, what their approval made the measure of a source group, and the most
// that forgets have removed of it since.
package reviews

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// A Size is what a snapshot holds, or the most that several hold of each.
type Size struct {
	Files uint64 `json:"files" db:"files"`
	Bytes uint64 `json:"bytes" db:"bytes"` // what restoring it writes
}

// Max returns the larger of both, of files and of bytes.
func (s Size) Max(t Size) Size {
	return Size{Files: max(s.Files, t.Files), Bytes: max(s.Bytes, t.Bytes)}
}

// A Plan is the list of snapshots that a forget will remove, and of what it leaves alone
// until a person has looked.
type Plan struct {
	Hash    string                        `json:"hash"`
	Rules   string                        `json:"rules,omitempty"` // by which it was made, see store.Repository.Rules
	Remove  []string                      `json:"remove"`
	Groups  map[topics.SourceGroupID]int  `json:"groups"`            // how many of each source group
	Unusual []string                      `json:"unusual,omitempty"` // why a person must review it
	Largest map[topics.SourceGroupID]Size `json:"largest,omitempty"` // the most that one of those removed holds
	Held    []Hold                        `json:"held,omitempty"`    // the source groups of which it removes nothing
}

// A Hold is a source group whose snapshots stay until a person approves that they go.
type Hold struct {
	Group    topics.SourceGroupID `json:"group"`
	Name     string               `json:"name"`   // as people call it, with its host
	Remove   []string             `json:"remove"` // what the rules would remove
	Reasons  []string             `json:"reasons"`
	Since    int64                `json:"since"`     // Unix milliseconds
	Held     Size                 `json:"held"`      // what its snapshots held before there was far less; zero if that is not why
	Newest   Size                 `json:"newest"`    // what its newest one holds: the measure once this is approved
	NewestAt int64                `json:"newest_at"` // when that one was taken, by its own time
}

// Less reports whether it is held because there is far less than before.
func (h Hold) Less() bool { return h.Held != Size{} }

// A Review is a plan that a person must approve before it is carried out. Plans of
// earlier versions held all groups alike and have no Held.
type Review struct {
	Repository topics.RepositoryID `db:"repository"`
	Place      topics.HostID       `db:"place"` // as its run has it
	Hash       string              `db:"hash"`
	Plan       column.JSON[Plan]   `db:"plan"`
	HeldAt     int64               `db:"held_at"`
	ExpiresAt  int64               `db:"expires_at"`
	ApprovedBy string              `db:"approved_by"`
	ApprovedAt int64               `db:"approved_at"`
}

// A Measure is what later plans of a source group are compared with. A group without a
// row has no snapshot that was removed by a rule, and no approval.
type Measure struct {
	Group      topics.SourceGroupID `db:"source_group"`
	Since      int64                `db:"since"` // snapshots taken before say nothing any more, by their own time; 0 before any approval
	Size                            // what the newest held when a person approved it
	GoneFiles  uint64               `db:"gone_files"` // the most that a snapshot held that rules have removed since
	GoneBytes  uint64               `db:"gone_bytes"`
	ApprovedBy string               `db:"approved_by"`
	ApprovedAt int64                `db:"approved_at"`
}

// Gone is the most that a snapshot held that rules have removed since the approval.
func (m Measure) Gone() Size { return Size{Files: m.GoneFiles, Bytes: m.GoneBytes} }

// Of returns the held plan of a repository at a moment, the first held if there are
// several, or sql.ErrNoRows. Where {host} leads to several places, each may have one.
func Of(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, now int64) (r Review, err error) {
	return r, sqlx.GetContext(ctx, q, &r, `SELECT * FROM maintenance_reviews WHERE repository = $1 AND expires_at > $2
		ORDER BY held_at, place LIMIT 1`, repository, now)
}

// All lists the held plans of a repository at a moment, the first held first.
func All(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, now int64) (list []Review, err error) {
	return list, sqlx.SelectContext(ctx, q, &list, `SELECT * FROM maintenance_reviews WHERE repository = $1 AND expires_at > $2
		ORDER BY held_at, place`, repository, now)
}

// A Waiting is a repository in care of which a held plan waits for a person.
type Waiting struct {
	Repository topics.RepositoryID `db:"repository"`
	Name       string              `db:"name"`
	Since      int64               `db:"since"` // when the first of its plans was held
}

// WaitingFor lists them at a moment, the first held first.
func WaitingFor(ctx context.Context, q sqlx.QueryerContext, now int64) (list []Waiting, err error) {
	return list, sqlx.SelectContext(ctx, q, &list, `SELECT m.repository, r.name, min(m.held_at) AS since FROM maintenance_reviews m
		JOIN repositories r ON r.id = m.repository AND r.removed_at = 0
		WHERE m.expires_at > $1 AND m.approved_at = 0 GROUP BY m.repository ORDER BY since, m.repository`, now)
}

// Named returns the held plan of a repository with this hash, or sql.ErrNoRows.
func Named(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, hash string, now int64) (r Review, err error) {
	return r, sqlx.GetContext(ctx, q, &r, `SELECT * FROM maintenance_reviews WHERE repository = $1 AND hash = $2 AND expires_at > $3`,
		repository, hash, now)
}

// Put stores a plan that is held, in the place of one that was held before. It is told
// if a source group is held that was not: of the others people know already.
func Put(ctx context.Context, tx *sqlx.Tx, r Review, now int64) (told bool, err error) {
	var was Review
	if err := sqlx.GetContext(ctx, tx, &was, `SELECT * FROM maintenance_reviews WHERE repository = $1 AND place = $2 AND expires_at > $3`,
		r.Repository, r.Place, now); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	known := was.Plan.V != nil
	for _, h := range r.Plan.V.Held {
		r.HeldAt = min(r.HeldAt, h.Since)
		known = known && slices.ContainsFunc(was.Plan.V.Held, func(o Hold) bool { return o.Group == h.Group })
	}
	if known && was.Hash == r.Hash { // an approval of it stays
		_, err := tx.ExecContext(ctx, `UPDATE maintenance_reviews SET expires_at = $1 WHERE repository = $2 AND place = $3`, r.ExpiresAt,
			r.Repository, r.Place)
		return false, err
	}
	_, err = tx.NamedExecContext(ctx, `INSERT INTO maintenance_reviews (repository, place, hash, plan, held_at, expires_at)
		VALUES (:repository, :place, :hash, :plan, :held_at, :expires_at)
		ON CONFLICT (repository, place) DO UPDATE SET hash = excluded.hash, plan = excluded.plan, held_at = excluded.held_at,
			expires_at = excluded.expires_at, approved_by = '', approved_at = 0`, r)
	return !known, err
}

// Drop removes the held plan of a place.
func Drop(ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, place topics.HostID) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM maintenance_reviews WHERE repository = $1 AND place = $2`, repository, place)
	return err
}

// Approve notes that a person approved the plan with exactly this hash. What a source
// group holds now becomes its measure if the plan was held because that is far less than
// before: who approves that many go has not approved that there is less. It is false if
// there is no such plan.
func Approve(ctx context.Context, tx *sqlx.Tx, by string, repository topics.RepositoryID, hash string, now int64) (bool, error) {
	r, err := Named(ctx, tx, repository, hash, now)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE maintenance_reviews SET approved_by = $1, approved_at = $2 WHERE repository = $3 AND hash = $4`,
		by, now, repository, hash); err != nil || r.Plan.V == nil {
		return true, err
	}
	for _, h := range r.Plan.V.Held {
		if !h.Less() {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO retention_measures (repository, source_group, since, files, bytes, gone_files,
				gone_bytes, approved_by, approved_at) VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7)
			ON CONFLICT (repository, source_group) DO UPDATE SET since = excluded.since, files = excluded.files, bytes = excluded.bytes,
				gone_files = 0, gone_bytes = 0, approved_by = excluded.approved_by, approved_at = excluded.approved_at`,
			repository, h.Group, h.NewestAt, stored(h.Newest.Files), stored(h.Newest.Bytes), by, now); err != nil {
			return false, fmt.Errorf("measure of source group %s: %w", h.Group, err)
		}
	}
	return true, nil
}

// stored is a size within what a column holds.
func stored(n uint64) int64 { return int64(min(n, 1<<63-1)) }

// Expire removes the plans that were not approved in time, and answers with them.
func Expire(ctx context.Context, tx sqlx.ExtContext, now int64) (gone []Review, err error) {
	if err := sqlx.SelectContext(ctx, tx, &gone, `SELECT * FROM maintenance_reviews WHERE expires_at <= $1`, now); err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM maintenance_reviews WHERE expires_at <= $1`, now)
	return gone, err
}

// Expired reports whether any plan was not approved in time.
func Expired(ctx context.Context, q sqlx.QueryerContext, now int64) (is bool, err error) {
	return is, sqlx.GetContext(ctx, q, &is, `SELECT EXISTS (SELECT 1 FROM maintenance_reviews WHERE expires_at <= $1)`, now)
}

// Measures reads what the source groups of a repository are compared with.
func Measures(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) (map[topics.SourceGroupID]Measure, error) {
	var rows []Measure
	err := sqlx.SelectContext(ctx, q, &rows, `SELECT source_group, since, files, bytes, gone_files, gone_bytes, approved_by, approved_at
		FROM retention_measures WHERE repository = $1`, repository)
	of := make(map[topics.SourceGroupID]Measure, len(rows))
	for _, m := range rows {
		of[m.Group] = m
	}
	return of, err
}

// Removing notes, before a plan is carried out, the most that it removes of each group.
func Removing(ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, p *Plan) error {
	if p == nil {
		return nil
	}
	for group, s := range p.Largest {
		if _, err := tx.ExecContext(ctx, `INSERT INTO retention_measures (repository, source_group, gone_files, gone_bytes)
			VALUES ($1, $2, $3, $4) ON CONFLICT (repository, source_group) DO UPDATE SET
				gone_files = max(gone_files, excluded.gone_files), gone_bytes = max(gone_bytes, excluded.gone_bytes)`,
			repository, group, stored(s.Files), stored(s.Bytes)); err != nil {
			return fmt.Errorf("note what is removed of source group %s: %w", group, err)
		}
	}
	return nil
}
