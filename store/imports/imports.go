// Package imports keeps what people took in: snapshots that no job of ours made, and of
// which a person said which source group they are of.
//
// All functions that write are steps of a transaction that the caller ends.
package imports

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/places"
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
	ErrGoing   = errors.New("a job is about to remove or replace some of its snapshots")
)

// Slack is how far ahead of now a snapshot's time may be, in milliseconds, for it to be
// taken in: what lies further says nothing about when it was made.
const Slack = 2 * 60 * 60 * 1000

// An Import is what a person took in at once. Moments are Unix milliseconds.
type Import struct {
	ID         string              `db:"id"`
	Repository topics.RepositoryID `db:"repository"`
	At         int64               `db:"made_at"`
	By         string              `db:"made_by"`
	UndoneAt   int64               `db:"undone_at"` // 0 is that it was not
	UndoneBy   string              `db:"undone_by"`
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

// A Foreign is one snapshot that no job of ours made.
type Foreign struct {
	ID   string
	Time int64 // by the clock of whoever made it
}

// A Kin are the snapshots of a repository that no job of ours made and that have the same
// host name, paths and tags, in any order; where hosts have places of their own, at the same
// place.
type Kin struct {
	Key      string        // names these, whatever else is there
	Hostname string        // as the snapshots have it
	Paths    []string      // sorted
	Tags     []string      // sorted
	Place    topics.HostID // at whose place they are, "" where all share one
	List     []Foreign     // the newest first
	Ahead    int           // of others that are alike, which say that they were made in the future
}

// Since returns how many of them were made at or after a moment; all of none.
func (k Kin) Since(at int64) int {
	if at == 0 {
		return 0
	}
	i := slices.IndexFunc(k.List, func(f Foreign) bool { return f.Time < at })
	if i < 0 {
		return len(k.List)
	}
	return i
}

// KeyOf is the key of snapshots that are alike.
func KeyOf(hostname string, paths, tags []string, place topics.HostID) string {
	body, err := json.Marshal([]any{hostname, sorted(paths), sorted(tags), place})
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

// sorted are the words in order, each once.
func sorted(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return slices.Compact(out)
}

// Kins lists what is in a repository that nobody has taken in and no job of ours made, by
// host name and paths.
func Kins(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, now int64) ([]Kin, error) {
	var address string
	if err := sqlx.GetContext(ctx, q, &address, `SELECT location FROM repositories WHERE id = $1`, repository); err != nil {
		return nil, err
	}
	apart := !places.Shared(address)
	var rows []struct {
		ID       string        `db:"id"`
		Time     int64         `db:"time"`
		Hostname string        `db:"hostname"`
		Paths    column.List   `db:"paths"`
		Tags     column.List   `db:"tags"`
		Place    topics.HostID `db:"place"`
	}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT id, time, hostname, paths, tags, place FROM snapshots
		WHERE repository = $1 AND gone_at = 0 AND job = '' ORDER BY time DESC, id`, repository); err != nil {
		return nil, fmt.Errorf("snapshots that no job made: %w", err)
	}
	of := map[string]int{}
	kins := []Kin{}
	for _, r := range rows {
		if !apart {
			r.Place = ""
		}
		key := KeyOf(r.Hostname, r.Paths, r.Tags, r.Place)
		i, known := of[key]
		if !known {
			i = len(kins)
			of[key], kins = i, append(kins, Kin{Key: key, Hostname: r.Hostname, Paths: sorted(r.Paths), Tags: sorted(r.Tags), Place: r.Place})
		}
		if r.Time > now+Slack {
			kins[i].Ahead++
			continue
		}
		kins[i].List = append(kins[i].List, Foreign{r.ID, r.Time})
	}
	slices.SortFunc(kins, func(a, b Kin) int {
		return cmp.Or(cmp.Compare(a.Hostname, b.Hostname), slices.Compare(a.Paths, b.Paths), slices.Compare(a.Tags, b.Tags),
			cmp.Compare(a.Place, b.Place))
	})
	return kins, nil
}

// Firsts says when the first backup of each source group into a repository was made that a
// job of ours made, also if that snapshot is gone.
func Firsts(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) (map[topics.SourceGroupID]int64, error) {
	var rows []struct {
		Group topics.SourceGroupID `db:"source_group"`
		At    int64                `db:"at"`
	}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT source_group, min(time) AS at FROM snapshots WHERE repository = $1 AND job <> ''
		AND imported = '' AND copied_from = '' AND source_group <> '' GROUP BY source_group`, repository); err != nil {
		return nil, fmt.Errorf("first backups: %w", err)
	}
	at := make(map[topics.SourceGroupID]int64, len(rows))
	for _, r := range rows {
		at[r.Group] = r.At
	}
	return at, nil
}

// A Choice gives the snapshots of one kin to a source group.
type Choice struct {
	Kin   string
	Group topics.SourceGroupID
	Newer bool // those too that are newer than the group's first backup of ours
	Shown *int // how many were shown to whoever chose; nil is any
}

// Given returns those of a kin that a choice takes, when the first backup of ours was made
// at a moment; 0 is that there was none.
func (c Choice) Given(k Kin, first int64) []Foreign {
	if c.Newer {
		return k.List
	}
	return k.List[k.Since(first):]
}

// MadeOf is what a snapshot of a source group's host has of an import. Nobody saw it being made, so
// what counts is its own time, and none later than now.
func MadeOf(id string, host topics.HostID, group topics.SourceGroupID, f Foreign, now int64) snapshots.Made {
	at := max(min(f.Time, now), 1)
	return snapshots.Made{Host: host, Job: topics.JobID(id), SourceGroup: group, QueuedAt: at, BegunAt: at, EndedAt: at,
		State: topics.Succeeded, Imported: id}
}

// Add takes snapshots in, and returns how many were given to whom. It is ErrChanged if there
// are not as many as were shown, or none.
func Add(ctx context.Context, tx *sqlx.Tx, i Import, choices []Choice) ([]Row, error) {
	kins, err := Kins(ctx, tx, i.Repository, i.At)
	if err != nil {
		return nil, err
	}
	firsts, err := Firsts(ctx, tx, i.Repository)
	if err != nil {
		return nil, err
	}
	if _, err := tx.NamedExecContext(ctx, `INSERT INTO imports (id, repository, made_at, made_by) VALUES (:id, :repository, :made_at,
		:made_by)`, i); err != nil {
		return nil, err
	}
	rows := []Row{}
	many := prepared.In(tx)
	for _, c := range choices {
		var host topics.HostID
		if err := sqlx.GetContext(ctx, tx, &host, `SELECT host FROM source_groups WHERE id = $1`, c.Group); err != nil {
			if errors.Is(err, sql.ErrNoRows) {
				err = ErrNoGroup
			}
			return nil, err
		}
		at := slices.IndexFunc(kins, func(k Kin) bool { return k.Key == c.Kin })
		if at < 0 {
			return nil, ErrChanged
		}
		k := kins[at]
		list := c.Given(k, firsts[c.Group])
		if len(list) == 0 || c.Shown != nil && *c.Shown != len(list) {
			return nil, ErrChanged
		}
		for _, f := range list {
			if err := give(ctx, many, i.Repository, f.ID, MadeOf(i.ID, host, c.Group, f, i.At), i.At); err != nil {
				return nil, err
			}
		}
		r := Row{Import: i.ID, Kin: k.Key, Repository: i.Repository, Hostname: k.Hostname, Paths: k.Paths, Tags: k.Tags, Host: host,
			Group: c.Group, Snapshots: len(list)}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO import_rows (import_id, kin, repository, hostname, paths, tags, host, source_group,
			snapshots) VALUES (:import_id, :kin, :repository, :hostname, :paths, :tags, :host, :source_group, :snapshots)`, r); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// give makes a snapshot that is nobody's one of a source group. It is known from then on,
// also if the import is undone.
func give(ctx context.Context, tx sqlx.ExecerContext, repository topics.RepositoryID, id string, m snapshots.Made, now int64) error {
	done, err := tx.ExecContext(ctx, `UPDATE snapshots SET host = $1, job = $2, imported = $2, source_group = $3, queued_at = $4,
		begun_at = $4, ended_at = $4, noted_at = $4, state = $5, collapsed = 0, known_at = CASE WHEN known_at = 0 THEN $6 ELSE known_at END
		WHERE repository = $7 AND id = $8 AND job = '' AND gone_at = 0`, m.Host, m.Job, m.SourceGroup, m.EndedAt, m.State, now, repository, id)
	if err != nil {
		return fmt.Errorf("take in snapshot %.8s: %w", id, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrChanged
}

// Undo gives the snapshots of an import back to nobody, with what took their places and
// what was copied of them, and returns how many. It is ErrGoing while a job that has not
// ended would remove or replace some of them, since it names them.
func Undo(ctx context.Context, tx *sqlx.Tx, repository topics.RepositoryID, id, by string, now int64) (int, error) {
	i, err := find(ctx, tx, repository, id)
	if err != nil {
		return 0, err
	}
	if i.UndoneAt > 0 {
		return 0, ErrUndone
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
	}
	if err := sqlx.SelectContext(ctx, tx, &groups, `SELECT DISTINCT source_group, repository FROM snapshots INDEXED BY snapshots_imported
		WHERE imported = $1 AND imported <> ''`, id); err != nil {
		return 0, err
	}
	done, err := tx.ExecContext(ctx, `UPDATE snapshots INDEXED BY snapshots_imported SET host = '', job = '', imported = '', source_group = '',
		queued_at = 0, begun_at = 0, ended_at = 0, noted_at = 0, state = '', collapsed = -1, copied_from = ''
		WHERE imported = $1 AND imported <> ''`, id)
	if err != nil {
		return 0, fmt.Errorf("undo import %s: %w", id, err)
	}
	n, err := done.RowsAffected()
	if err != nil {
		return 0, err
	}
	for _, g := range groups { // what a drill restored of them proves nothing of the group any more
		if err := drills.Lost(ctx, tx, g.Group, g.Repository); err != nil {
			return 0, err
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE imports SET undone_at = $1, undone_by = $2 WHERE id = $3`, now, by, id)
	return int(n), err
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
