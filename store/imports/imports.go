// Package imports keeps what people took in: snapshots that no job of ours made, and of
// which a person said which source group they are of.
//
// All functions that write are steps of a transaction that the caller ends.
package imports

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/prepared"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// Why an import was not done.
var (
	ErrChanged = errors.New("there are other snapshots by now than those that were shown")
	ErrNone    = errors.New("there is no such import")
	ErrUndone  = errors.New("this import was undone already")
	ErrNoGroup = errors.New("there is no such source group")
	ErrBusy    = errors.New("snapshots of this repository are just being taken in or given back")
	ErrGoing   = errors.New("a job is about to remove or replace some of its snapshots")
)

// An Import is what a person took in at once. Moments are Unix milliseconds.
type Import struct {
	ID         string              `db:"id"`
	Repository topics.RepositoryID `db:"repository"`
	At         int64               `db:"made_at"`
	By         string              `db:"made_by"`
	UndoneAt   int64               `db:"undone_at"` // 0 is that it was not
	UndoneBy   string              `db:"undone_by"`
	Doing      string              `db:"doing"`     // Taking or Giving while that goes on, "" otherwise
	Snapshots  int                 `db:"snapshots"` // how many it took in
	Left       int                 `db:"snapshots_left"`
}

// A Row is snapshots that were alike and were given to one source group.
type Row struct {
	Import     string               `db:"import_id"`
	Kin        string               `db:"kin"`
	Repository topics.RepositoryID  `db:"repository"`
	Hostname   string               `db:"hostname"`
	Paths      column.List          `db:"paths"`
	Tags       column.List          `db:"tags"`
	Host       topics.HostID        `db:"host"`
	Group      topics.SourceGroupID `db:"source_group"`
	Snapshots  int                  `db:"snapshots"`
}

// A Plan is what an import is to take in: rows, and the snapshots of each.
type Plan struct {
	Import Import
	Rows   []Row
	Lists  [][]string // the IDs of each row's
}

// PlanOf says which snapshots choices take in. It is ErrChanged if there are not as many as
// were shown, or none. Nothing is changed, and no transaction is needed: Begin looks again
// whether all of them are still nobody's.
func PlanOf(ctx context.Context, q sqlx.QueryerContext, i Import, choices []Choice) (p Plan, err error) {
	kins, err := Kins(ctx, q, i.Repository, i.At)
	if err != nil {
		return p, err
	}
	firsts, err := Firsts(ctx, q, i.Repository)
	if err != nil {
		return p, err
	}
	of := make(map[string]Kin, len(kins))
	for _, k := range kins {
		of[k.Key] = k
	}
	p.Import = i
	for _, c := range choices {
		k, there := of[c.Kin]
		delete(of, c.Kin) // it is given once
		if err := c.Compare(k); err != nil {
			return p, err
		}
		list := c.Given(k, firsts[c.Group])
		if !there || len(list) == 0 || c.Shown != nil && *c.Shown != len(list) {
			return p, ErrChanged
		}
		ids := make([]string, len(list))
		for n, f := range list {
			ids[n] = f.ID
		}
		p.Rows, p.Lists = append(p.Rows, Row{Import: i.ID, Kin: k.Key, Repository: i.Repository, Hostname: k.Hostname, Paths: k.Paths,
			Tags: k.Tags, Group: c.Group, Snapshots: len(list)}), append(p.Lists, ids)
	}
	return p, nil
}

// What an import has in hand, see Step.
const (
	Taking = "taking"
	Giving = "giving back"
)

// partRows is how many snapshots are given to somebody, or back, between two looks at the time.
const partRows = 250

// Begin writes down what is to be taken in, which Step does: from its commit on it is decided.
// It completes the hosts of the plan's rows. It is ErrChanged if one of the snapshots is not
// nobody's any more, and ErrBusy while another import of the repository has something in hand.
func Begin(ctx context.Context, tx *sqlx.Tx, p Plan) error {
	if err := Idle(ctx, tx, p.Import.Repository); err != nil {
		return err
	}
	p.Import.Doing = Taking
	if _, err := tx.NamedExecContext(ctx, `INSERT INTO imports (id, repository, made_at, made_by, doing) VALUES (:id, :repository, :made_at,
		:made_by, :doing)`, p.Import); err != nil {
		return err
	}
	many, part := prepared.In(tx), 0
	// The plus has SQLite look rows up by their IDs and not go through all that exist.
	for ids := range slices.Chunk(slices.Concat(p.Lists...), 4*partRows) {
		list, err := column.List(ids).Value()
		if err != nil {
			return err
		}
		var there int
		if err := sqlx.GetContext(ctx, many, &there, `SELECT count(*) FROM snapshots WHERE repository = $1 AND +gone_at = 0 AND +job = ''
			AND id IN (SELECT value FROM json_each($2))`, p.Import.Repository, list); err != nil {
			return fmt.Errorf("snapshots that are nobody's: %w", err)
		}
		if there != len(ids) {
			return ErrChanged
		}
	}
	for n := range p.Rows {
		r := &p.Rows[n]
		if err := sqlx.GetContext(ctx, many, &r.Host, `SELECT host FROM source_groups WHERE id = $1`, r.Group); err != nil {
			if errors.Is(err, sql.ErrNoRows) {
				err = ErrNoGroup
			}
			return err
		}
		if _, err := many.ExecContext(ctx, `INSERT INTO import_rows (import_id, kin, repository, hostname, paths, tags, host, source_group,
			snapshots) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, r.Import, r.Kin, r.Repository, r.Hostname, r.Paths, r.Tags, r.Host, r.Group,
			r.Snapshots); err != nil {
			return err
		}
		for ids := range slices.Chunk(p.Lists[n], partRows) {
			list, err := column.List(ids).Value()
			if err != nil {
				return err
			}
			part++
			if _, err := many.ExecContext(ctx, `INSERT INTO import_parts (import_id, part, kin, snapshots) VALUES ($1, $2, $3, $4)`, r.Import, part,
				r.Kin, list); err != nil {
				return err
			}
		}
	}
	return nil
}

// Idle returns ErrBusy while an import of a repository, or of any if none is named, has
// something in hand: until it is done, some of its snapshots, and of their copies elsewhere,
// count and others do not.
func Idle(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) error {
	var busy bool
	err := sqlx.GetContext(ctx, q, &busy, `SELECT EXISTS (SELECT 1 FROM imports WHERE doing <> '' AND ($1 = '' OR repository = $1))`,
		repository)
	if err == nil && busy {
		err = ErrBusy
	}
	return err
}

// InHand lists the imports of a repository that have something in hand, or of all if none is
// named.
func InHand(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) (ids []string, err error) {
	return ids, sqlx.SelectContext(ctx, q, &ids, `SELECT id FROM imports WHERE doing <> '' AND ($1 = '' OR repository = $1)
		ORDER BY made_at, id`, repository)
}

// Step goes on with what an import has in hand, as far as there is time: enough says so. It is
// to be called again until it is done.
func Step(ctx context.Context, tx *sqlx.Tx, id string, enough func() bool) (done bool, err error) {
	var i Import
	if err := sqlx.GetContext(ctx, tx, &i, `SELECT * FROM imports WHERE id = $1`, id); err != nil {
		return false, err
	}
	many := prepared.In(tx)
	to, err := snapshots.Targets(ctx, many, i.Repository)
	if err != nil {
		return false, err
	}
	for over := i.Doing == ""; !over; {
		if i.Doing == Taking {
			over, err = take(ctx, many, i, to)
		} else {
			over, err = giveBack(ctx, many, i)
		}
		if err != nil {
			return false, err
		}
		if !over && enough() {
			return false, nil
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE imports SET doing = '' WHERE id = $1`, id)
	return true, err
}

// take gives the next part of an import's snapshots to their source groups, with what MadeOf
// says of each. They are known from then on, also if the import is undone. What was removed or
// claimed meanwhile is left out. Their copies in other repositories go along, also where those
// were taken in by themselves before.
func take(ctx context.Context, tx prepared.Tx, i Import, to column.List) (over bool, err error) {
	var part struct {
		Part      int                  `db:"part"`
		Kin       string               `db:"kin"`
		Snapshots string               `db:"snapshots"`
		Host      topics.HostID        `db:"host"`
		Group     topics.SourceGroupID `db:"source_group"`
	}
	err = sqlx.GetContext(ctx, tx, &part, `SELECT p.part, p.kin, p.snapshots, r.host, r.source_group FROM import_parts p
		JOIN import_rows r ON r.import_id = p.import_id AND r.kin = p.kin WHERE p.import_id = $1 ORDER BY p.part LIMIT 1`, i.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	const give = `UPDATE snapshots SET host = $1, job = $2, imported = $2, source_group = $3,
		queued_at = max(min(time, $4), 1), begun_at = max(min(time, $4), 1), ended_at = max(min(time, $4), 1),
		noted_at = max(min(time, $4), 1), state = $5, collapsed = 0, known_at = CASE WHEN known_at = 0 THEN $4 ELSE known_at END`
	args := []any{part.Host, i.ID, part.Group, i.At, topics.Succeeded, i.Repository, part.Snapshots}
	done, err := tx.ExecContext(ctx, give+` WHERE repository = $6 AND +gone_at = 0 AND +job = '' AND id IN (SELECT value FROM json_each($7))`,
		args...)
	if err != nil {
		return false, fmt.Errorf("take in snapshots of import %s: %w", i.ID, err)
	}
	n, err := done.RowsAffected()
	if err != nil {
		return false, err
	}
	if len(to) > 0 {
		if _, err := tx.ExecContext(ctx, give+`, copied_from = $6 WHERE rowid IN (`+copies+`)`, append(args, to)...); err != nil {
			return false, fmt.Errorf("take in copies of import %s: %w", i.ID, err)
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE import_rows SET snapshots = snapshots - (json_array_length($1) - $2) WHERE import_id = $3
		AND kin = $4`, part.Snapshots, n, i.ID, part.Kin); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM import_parts WHERE import_id = $1 AND part = $2`, i.ID, part.Part)
	return false, err
}

// giveBack makes some of an import's snapshots nobody's again.
func giveBack(ctx context.Context, tx prepared.Tx, i Import) (over bool, err error) {
	done, err := tx.ExecContext(ctx, `UPDATE snapshots SET host = '', job = '', imported = '', source_group = '',
		queued_at = 0, begun_at = 0, ended_at = 0, noted_at = 0, state = '', collapsed = -1, copied_from = ''
		WHERE rowid IN (SELECT rowid FROM snapshots INDEXED BY snapshots_imported WHERE imported = $1 AND imported <> '' LIMIT $2)`, i.ID,
		partRows)
	if err != nil {
		return false, fmt.Errorf("undo import %s: %w", i.ID, err)
	}
	n, err := done.RowsAffected()
	return n == 0, err
}

// Undo decides that the snapshots of an import are given back to nobody, with what took their
// places and what was copied of them, and returns how many; Step does it. It is ErrGoing while
// a job that has not ended would remove or replace some of them, since it names them.
func Undo(ctx context.Context, tx *sqlx.Tx, repository topics.RepositoryID, id, by string, now int64) (int, error) {
	i, err := find(ctx, tx, repository, id)
	if err != nil {
		return 0, err
	}
	if i.UndoneAt > 0 {
		return 0, ErrUndone
	}
	if err := Idle(ctx, tx, repository); err != nil {
		return 0, err
	}
	var going int
	if err := sqlx.GetContext(ctx, tx, &going, `SELECT count(*) FROM snapshots n INDEXED BY snapshots_imported
		JOIN jobs j ON j.id = n.named_by WHERE n.imported = $1 AND n.imported <> '' AND n.gone_at = 0 AND j.finished_at = 0`, id); err != nil {
		return 0, err
	}
	if going > 0 {
		return 0, ErrGoing
	}
	var groups []struct {
		Group      topics.SourceGroupID `db:"source_group"`
		Repository topics.RepositoryID  `db:"repository"`
		Count      int                  `db:"n"`
	}
	if err := sqlx.SelectContext(ctx, tx, &groups, `SELECT source_group, repository, count(*) AS n FROM snapshots INDEXED BY snapshots_imported
		WHERE imported = $1 AND imported <> '' GROUP BY source_group, repository`, id); err != nil {
		return 0, err
	}
	n := 0
	for _, g := range groups { // what a drill restored of them proves nothing of the group any more
		if err := drills.Lost(ctx, tx, g.Group, g.Repository); err != nil {
			return 0, err
		}
		n += g.Count
	}
	_, err = tx.ExecContext(ctx, `UPDATE imports SET undone_at = $1, undone_by = $2, doing = $3 WHERE id = $4`, now, by, Giving, id)
	return n, err
}

// columns count what an import took in. The index is named, and its condition with it: without
// that a repository with many snapshots is gone through for each of its imports.
const columns = `i.*, (SELECT coalesce(sum(r.snapshots), 0) FROM import_rows r WHERE r.import_id = i.id) AS snapshots,
	(SELECT count(*) FROM snapshots n INDEXED BY snapshots_imported WHERE n.imported = i.id AND n.imported <> ''
		AND n.repository = i.repository AND n.gone_at = 0) AS snapshots_left`

func find(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, id string) (Import, error) {
	var list []Import
	if err := sqlx.SelectContext(ctx, q, &list, `SELECT `+columns+` FROM imports i WHERE i.repository = $1 AND i.id = $2`, repository,
		id); err != nil {
		return Import{}, err
	}
	if len(list) == 0 {
		return Import{}, ErrNone
	}
	return list[0], nil
}

// Of lists the imports of a repository with their rows, the last one first.
func Of(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) (list []Import, rows []Row, err error) {
	if err := sqlx.SelectContext(ctx, q, &list, `SELECT `+columns+` FROM imports i WHERE i.repository = $1 ORDER BY i.made_at DESC, i.id`,
		repository); err != nil {
		return nil, nil, fmt.Errorf("imports: %w", err)
	}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM import_rows WHERE repository = $1 ORDER BY import_id, hostname, paths, tags`,
		repository); err != nil {
		return nil, nil, fmt.Errorf("rows of imports: %w", err)
	}
	return list, rows, nil
}

// Said is what rows say of what was taken in, for the audit log.
func Said(rows []Row, name func(Row) string) string {
	const most = 10
	var said []string
	for i, r := range rows {
		if i == most {
			said = append(said, fmt.Sprintf("and %d more", len(rows)-most))
			break
		}
		said = append(said, fmt.Sprintf("%d of %.80s %.200s to %s", r.Snapshots, r.Hostname, strings.Join(r.Paths, ","), name(r)))
	}
	return strings.Join(said, "; ")
}
