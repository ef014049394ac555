package facts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// FarAhead is how far ahead of now a moment may lie, in milliseconds, and be believed: a
// clock may be set back by as much. What lies further was written by a clock that was
// wrong, and says nothing about when it was.
const FarAhead = 24 * 60 * 60 * 1000

// GroupColumns are the columns of a source group that its row depends on.
var GroupColumns = []string{"host", "repository", "paths", "excludes", "one_file_system", "allow_empty"}

// Update makes the rows anew that triggers noted as out of date, at a moment: all of
// them, or at most so many if limit is not 0. It answers with how many.
func Update(ctx context.Context, tx Tx, limit int, now int64) (int, error) {
	var due []topics.SourceGroupID
	query := `SELECT source_group FROM group_facts_due`
	if limit > 0 {
		query += fmt.Sprintf(` LIMIT %d`, limit)
	}
	if err := scan.Select(ctx, tx, &due, query); err != nil || len(due) == 0 {
		return 0, err
	}
	for _, group := range due {
		if err := update(ctx, tx, group, now); err != nil {
			return 0, fmt.Errorf("facts of source group %s: %w", group, err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM group_facts_due WHERE source_group = $1`, group); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}

// Tx is a transaction.
type Tx interface {
	sqlx.QueryerContext
	sqlx.ExecerContext
}

// A group is what a row depends on of its source group.
type group struct {
	Host       topics.HostID       `db:"host"`
	Repository topics.RepositoryID `db:"repository"`
	AllowEmpty bool                `db:"allow_empty"`
	Of         string              `db:"measured_of"` // what is backed up
}

// kept is a row with what only this package needs of it.
type kept struct {
	Group
	MeasuredOf   string `db:"measured_of"`
	MeasureSince int64  `db:"measure_since"`
}

func get[T any](ctx context.Context, q sqlx.QueryerContext, query string, args ...any) (row T, err error) {
	return row, sqlx.GetContext(ctx, q, &row, query, args...)
}

// update makes the row of one group anew, or removes it if the group is gone.
func update(ctx context.Context, tx Tx, id topics.SourceGroupID, now int64) error {
	g, err := get[group](ctx, tx, `SELECT host, repository, allow_empty, paths || excludes || one_file_system AS measured_of
		FROM source_groups WHERE id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = tx.ExecContext(ctx, `DELETE FROM group_facts WHERE source_group = $1`, id)
		return err
	} else if err != nil {
		return err
	}
	was, err := get[kept](ctx, tx, `SELECT `+columns+`, measured_of, measure_since FROM group_facts WHERE source_group = $1`, id)
	fresh := errors.Is(err, sql.ErrNoRows)
	if err != nil && !fresh {
		return err
	}
	is := kept{Group: Group{Group: id, Host: g.Host, Repository: g.Repository}, MeasuredOf: g.Of, MeasureSince: was.MeasureSince}
	if was.MeasuredOf != g.Of && was.MeasuredOf != "" {
		is.MeasureSince = now
	}
	if err := judge(ctx, tx, id, is.MeasureSince); err != nil {
		return fmt.Errorf("judge sizes: %w", err)
	}
	far := now + FarAhead
	if err := is.exists(ctx, tx, g.AllowEmpty, far); err != nil {
		return fmt.Errorf("what exists: %w", err)
	}
	if err := is.measure(ctx, tx); err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	if err := is.ended(ctx, tx, was.Group, far); err != nil {
		return fmt.Errorf("how backups ended: %w", err)
	}
	if err := is.lost(ctx, tx); err != nil {
		return fmt.Errorf("what is lost: %w", err)
	}
	if !fresh && is == was {
		return nil
	}
	return put(ctx, tx, is)
}

const snapshotColumns = `id, job, begun_at AS begun, ended_at AS ended, files, bytes, state, ` + unsized + ` AS unsized`

// unsized is the condition of a snapshot that a person took in: it exists, and nobody said
// how much it holds. It counts as one that holds something.
const unsized = `(told = 0 AND imported <> '')`

// that is the condition of the index snapshots_that_exist.
const that = ` FROM snapshots WHERE source_group = $1 AND repository = $2 AND gone_at = 0 AND replaced_by = '' AND job <> ''`

func (k *kept) exists(ctx context.Context, tx Tx, allowEmpty bool, far int64) (err error) {
	k.Snapshots, err = get[int](ctx, tx, `SELECT coalesce(max(snapshots), 0) FROM group_tallies WHERE source_group = $1 AND repository = $2`,
		k.Group.Group, k.Repository)
	if err != nil || k.Snapshots == 0 {
		return err
	}
	newest := func(into *Snapshot, condition string) error {
		for _, until := range []int64{far, math.MaxInt64} { // those of a clock that was far ahead come last
			*into, err = get[Snapshot](ctx, tx, `SELECT `+snapshotColumns+that+` AND ended_at <= $3`+condition+`
				ORDER BY ended_at DESC, id DESC LIMIT 1`, k.Group.Group, k.Repository, until)
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		return nil
	}
	if err := newest(&k.Newest, ``); err != nil {
		return err
	}
	if k.Whole = k.Newest; k.Whole.Files == 0 && !k.Whole.Unsized {
		if err := newest(&k.Whole, ` AND (files > 0 OR `+unsized+`)`); err != nil {
			return err
		}
	}
	if k.Good = k.Newest; k.Good.State != topics.Succeeded || k.Good.Files == 0 && !k.Good.Unsized && !allowEmpty {
		condition := ` AND state = 'succeeded'`
		if !allowEmpty {
			condition += ` AND (files > 0 OR ` + unsized + `)`
		}
		if err := newest(&k.Good, condition); err != nil {
			return err
		}
	}
	k.Collapsed, err = get[bool](ctx, tx, `SELECT collapsed > 0`+that+` AND id = $3`, k.Group.Group, k.Repository, k.Newest.ID)
	return err
}

// A size is what one of a group's snapshots holds.
type size struct {
	Repository topics.RepositoryID `db:"repository"`
	ID         string              `db:"id"`
	Begun      int64               `db:"begun_at"`
	Ended      int64               `db:"ended_at"`
	Files      uint64              `db:"files"`
	Bytes      uint64              `db:"bytes"`
	Collapsed  int                 `db:"collapsed"`
}

// window is how many snapshots a median is of.
const window = 10

// before reads the last snapshots before one that had not collapsed, the newest first.
func before(
	ctx context.Context, q sqlx.QueryerContext, group topics.SourceGroupID, since, ended int64, id string,
) (list []size, err error) {
	return list, scan.Select(ctx, q, &list, `SELECT repository, id, begun_at, ended_at, files, bytes, collapsed FROM snapshots
		WHERE source_group = $1 AND replaced_by = '' AND job <> '' AND (ended_at < $2 OR ended_at = $2 AND id < $3)
			AND begun_at >= $4 AND collapsed = 0 AND copied_from = '' AND imported = ''
		ORDER BY ended_at DESC, id DESC LIMIT 10`, group, ended, id, since)
}

func (k *kept) measure(ctx context.Context, tx Tx) error {
	if k.Newest.ID != "" {
		list, err := before(ctx, tx, k.Group.Group, k.MeasureSince, k.Newest.Ended, k.Newest.ID)
		if err != nil {
			return err
		}
		k.MeasureFiles, k.MeasureBytes = medians(list)
	}
	var took []int64
	if err := scan.Select(ctx, tx, &took, `SELECT (ended_at - begun_at) / 1000 FROM snapshots
		WHERE source_group = $1 AND replaced_by = '' AND job <> '' AND copied_from = '' AND imported = ''
			AND begun_at > 0 AND ended_at >= begun_at
		ORDER BY ended_at DESC, id DESC LIMIT 10`, k.Group.Group); err != nil {
		return err
	}
	k.UsualSeconds = median(took)
	return nil
}

func medians(list []size) (files, bytes uint64) {
	var f, b []uint64
	for _, s := range list {
		f, b = append(f, s.Files), append(b, s.Bytes)
	}
	return median(f), median(b)
}

// median is the lower one of the two in the middle of an even number, 0 of none.
func median[T int64 | uint64](list []T) T {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[(len(list)-1)/2]
}

// Collapsed reports whether a snapshot holds nothing, or under a fiftieth of the files
// or bytes that those before it held; a measure of 0 is not known.
func Collapsed(files, bytes, measureFiles, measureBytes uint64) bool {
	return files == 0 || files < (measureFiles+49)/50 || bytes < (measureBytes+49)/50
}

// Usual reads what the next snapshot of a group is measured by: the medians of its last
// ten that had not collapsed. 0 is not known.
func Usual(ctx context.Context, q sqlx.QueryerContext, group topics.SourceGroupID) (files, bytes uint64, err error) {
	var since int64
	if err := sqlx.GetContext(ctx, q, &since, `SELECT measure_since FROM group_facts WHERE source_group = $1`, group); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return 0, 0, err
	}
	list, err := before(ctx, q, group, since, math.MaxInt64, "")
	files, bytes = medians(list)
	return files, bytes, err
}

// judge marks those of a group's snapshots that have collapsed, of those that nobody
// has judged yet, in the order in which they ended.
func judge(ctx context.Context, tx Tx, group topics.SourceGroupID, since int64) error {
	var list []size
	if err := scan.Select(ctx, tx, &list, `SELECT repository, id, begun_at, ended_at, files, bytes, collapsed FROM snapshots
		WHERE source_group = $1 AND collapsed < 0 AND job <> '' AND copied_from = '' AND imported = ''
		ORDER BY ended_at, id`, group); err != nil || len(list) == 0 {
		return err
	}
	var last []size // the newest last
	if len(list) > window {
		// Many at once are those of an upgrade: nothing was judged before.
		if err := scan.Select(ctx, tx, &last, `SELECT repository, id, begun_at, ended_at, files, bytes, collapsed FROM snapshots
			WHERE source_group = $1 AND replaced_by = '' AND job <> '' AND copied_from = '' AND imported = ''
				AND collapsed = 0 AND begun_at >= $2
			ORDER BY ended_at, id`,
			group, since); err != nil {
			return err
		}
	}
	set := func(s size, to int) error {
		_, err := tx.ExecContext(ctx, `UPDATE snapshots SET collapsed = $1 WHERE repository = $2 AND id = $3`, to, s.Repository, s.ID)
		return err
	}
	var fell []size
	for _, s := range list {
		var those []size
		if len(list) > window {
			at, _ := slices.BinarySearchFunc(last, s, order)
			those = slices.Clone(last[max(0, at-window):at])
		} else {
			var err error
			if those, err = before(ctx, tx, group, since, s.Ended, s.ID); err != nil {
				return err
			}
		}
		files, bytes := medians(those)
		if Collapsed(s.Files, s.Bytes, files, bytes) {
			fell = append(fell, s)
			continue
		}
		if len(list) <= window {
			if err := set(s, 0); err != nil {
				return err
			}
		} else if s.Begun >= since {
			at, _ := slices.BinarySearchFunc(last, s, order)
			last = slices.Insert(last, at, s)
		}
	}
	for _, s := range fell {
		if err := set(s, 1); err != nil {
			return err
		}
	}
	if len(list) <= window {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE snapshots SET collapsed = 0 WHERE source_group = $1 AND collapsed < 0 AND job <> ''`, group)
	return err
}

func order(a, b size) int {
	if a.Ended != b.Ended {
		if a.Ended < b.Ended {
			return -1
		}
		return 1
	}
	return strings.Compare(a.ID, b.ID)
}

// ended reads how the group's backups ended. What rows of jobs no longer tell stays as
// it was.
func (k *kept) ended(ctx context.Context, tx Tx, was Group, far int64) error {
	var rows []Run
	for _, until := range []int64{far, math.MaxInt64} { // those of a clock that was far ahead come last
		for _, state := range []topics.JobState{topics.Succeeded, topics.Warnings, topics.Failed, topics.Interrupted, topics.Abandoned} {
			r, err := get[Run](ctx, tx, `SELECT id AS job, state, cause, finished_at AS ended_at FROM jobs
				WHERE source_group = $1 AND source_group <> '' AND state = $2 AND finished_at > 0 AND finished_at <= $3 AND cause <> $4
				ORDER BY finished_at DESC, id DESC LIMIT 1`, k.Group.Group, state, until, topics.CauseUnmade)
			if err == nil {
				rows = append(rows, r)
			} else if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		if len(rows) > 0 {
			break
		}
	}
	if len(rows) > 0 && was.Last.EndedAt > far {
		was.Last, was.FailedSince = Run{}, 0
	}
	k.Last, k.FailedSince = was.Last, was.FailedSince
	var well Run
	for _, r := range rows {
		if k.Last.Job == "" || later(r, k.Last) || r.Job == k.Last.Job {
			k.Last = r
		}
		if !failed(r.State) && (well.Job == "" || later(r, well)) {
			well = r
		}
	}
	if !failed(k.Last.State) {
		k.FailedSince = 0
		return nil
	}
	if k.FailedSince <= well.EndedAt { // no failure in a row is known yet, or that row came to an end
		k.FailedSince = 0
	}
	for _, state := range []topics.JobState{topics.Failed, topics.Interrupted, topics.Abandoned} {
		first, err := get[int64](ctx, tx, `SELECT coalesce(min(finished_at), 0) FROM jobs
			WHERE source_group = $1 AND source_group <> '' AND state = $2 AND finished_at > 0
				AND (finished_at > $3 OR finished_at = $3 AND id > $4) AND cause <> $5`, k.Group.Group, state, well.EndedAt, well.Job,
			topics.CauseUnmade)
		if err != nil {
			return err
		}
		if first > 0 && (k.FailedSince == 0 || first < k.FailedSince) {
			k.FailedSince = first
		}
	}
	return nil
}

func failed(s topics.JobState) bool {
	return s == topics.Failed || s == topics.Interrupted || s == topics.Abandoned
}

func later(a, b Run) bool { return a.EndedAt > b.EndedAt || a.EndedAt == b.EndedAt && a.Job > b.Job }

func (k *kept) lost(ctx context.Context, tx Tx) error {
	row, err := get[struct {
		Lost  int   `db:"lost"`
		Left  int   `db:"unacknowledged"`
		First int64 `db:"first"`
		Last  int64 `db:"last"`
	}](ctx, tx, `SELECT count(*) AS lost, coalesce(sum(acknowledged_at = 0), 0) AS unacknowledged,
			coalesce(min(CASE WHEN acknowledged_at = 0 THEN gone_at END), 0) AS first, coalesce(max(gone_at), 0) AS last
		FROM snapshots INDEXED BY snapshots_lost WHERE repository = $1 AND source_group = $2
			AND gone_at > 0 AND named_by = '' AND replaced_by = '' AND job <> ''`,
		k.Repository, k.Group.Group)
	if err != nil {
		return err
	}
	k.Lost, k.LostUnacknowledged, k.LostAt = row.Lost, row.Left, row.Last
	if row.Left > 0 {
		k.LostAt = row.First
	}
	return nil
}

// put writes a row.
func put(ctx context.Context, tx Tx, k kept) error {
	const names = `source_group, host, repository, snapshots, newest_id, newest_job, newest_begun, newest_ended, newest_files,
		newest_bytes, newest_state, newest_unsized, whole_id, whole_job, whole_begun, whole_ended, whole_files, whole_bytes, whole_state,
		whole_unsized, good_id, good_job, good_begun, good_ended, good_files, good_bytes, good_state, good_unsized, measure_files, measure_bytes,
		collapsed, last_job, last_state, last_cause, last_ended_at, failed_since, usual_seconds, lost,
		lost_unacknowledged, lost_at, measured_of, measure_since`
	args := []any{k.Group.Group, k.Host, k.Repository, k.Snapshots}
	for _, s := range []Snapshot{k.Newest, k.Whole, k.Good} {
		args = append(args, s.ID, s.Job, s.Begun, s.Ended, s.Files, s.Bytes, s.State, s.Unsized)
	}
	args = append(args, k.MeasureFiles, k.MeasureBytes, k.Collapsed, k.Last.Job, k.Last.State, k.Last.Cause, k.Last.EndedAt, k.FailedSince,
		k.UsualSeconds, k.Lost, k.LostUnacknowledged, k.LostAt, k.MeasuredOf, k.MeasureSince)
	var set []string
	for name := range strings.SplitSeq(names, ",") {
		if name = strings.TrimSpace(name); name != "source_group" {
			set = append(set, name+" = excluded."+name)
		}
	}
	_, err := tx.ExecContext(ctx, sqlx.Rebind(sqlx.DOLLAR, `INSERT INTO group_facts (`+names+`) VALUES (?`+
		strings.Repeat(`, ?`, len(args)-1)+`) ON CONFLICT (source_group) DO UPDATE SET `+strings.Join(set, ", ")), args...)
	return err
}

// AcceptSize takes a group's newest snapshot for what its backups hold from now on, and
// answers with it. Those before it are no measure any more. If another is the newest
// than the one that is named, nothing changes.
func AcceptSize(ctx context.Context, tx Tx, id topics.SourceGroupID, shown string) (Snapshot, error) {
	k, err := get[kept](ctx, tx, `SELECT `+columns+`, measured_of, measure_since FROM group_facts WHERE source_group = $1`, id)
	if err != nil || k.Newest.ID == "" {
		return Snapshot{}, err
	}
	if shown != "" && k.Newest.ID != shown {
		return k.Newest, nil
	}
	if _, err := tx.ExecContext(ctx, `UPDATE group_facts SET measure_since = $1 WHERE source_group = $2`, k.Newest.Begun, id); err != nil {
		return Snapshot{}, err
	}
	// What only its size made a warning is a success.
	if _, err := tx.ExecContext(ctx, `UPDATE snapshots SET collapsed = CASE WHEN files = 0 AND NOT `+unsized+` THEN 1 ELSE 0 END,
		state = CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE id = snapshots.job AND cause = $1) THEN $2 ELSE state END
		WHERE repository = $3 AND id = $4`, topics.CauseFewerFiles, topics.Succeeded, k.Repository, k.Newest.ID); err != nil {
		return Snapshot{}, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO group_facts_due (source_group) VALUES ($1) ON CONFLICT (source_group) DO NOTHING`, id)
	return k.Newest, err
}

// Recount notes that every row is out of date. Only a database that was filled without
// the triggers needs it.
func Recount(ctx context.Context, tx Tx) error {
	for _, q := range []string{`DELETE FROM group_facts WHERE source_group NOT IN (SELECT id FROM source_groups)`,
		`INSERT INTO group_facts_due (source_group) SELECT id FROM source_groups WHERE true ON CONFLICT (source_group) DO NOTHING`} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}
