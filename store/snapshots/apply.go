package snapshots

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/prepared"
	"github.com/restic-manager/restic-manager/topics"
)

// progress is how far a listing is applied. It is kept beside the rows, so that a step
// that is undone, or a process that dies, goes on where the rows are.
type progress struct {
	Counted int   `db:"counted"` // parts whose entries are counted
	Entries int   `db:"entries"`
	Parts   int   `db:"parts"` // that are applied
	Taken   int   `db:"taken"` // snapshots of the next one that are
	At      int64 `db:"at"`    // when this listing saw all its snapshots
}

// How many parts are counted, and snapshots applied, between two looks at the time.
const countParts, applyRows = 8, 50

// Apply enters the snapshots that a job's listing holds and that is about to end, as far
// as there is time: enough says so, nil is never. It is to be called again until it is
// done; then List does what is left. Of a listing that is not whole it enters nothing.
// It removes nothing, and sets the listing's At to what its snapshots were seen at.
func Apply(ctx context.Context, tx *sqlx.Tx, l *Listing, enough func() bool) (done, whole bool, err error) {
	var parts struct {
		N     int `db:"n"`
		First int `db:"first"`
		Last  int `db:"last"`
	}
	if err := sqlx.GetContext(ctx, tx, &parts, `SELECT count(*) AS n, coalesce(min(part), 1) AS first, coalesce(max(part), 0) AS last
		FROM job_reports WHERE job = $1`, l.Job); err != nil {
		return false, false, err
	}
	if r := l.Result; r.Truncated || parts.N != r.Parts || parts.First != 1 || parts.Last != r.Parts {
		return true, false, nil
	}
	p := progress{At: l.At}
	err = sqlx.GetContext(ctx, tx, &p, `SELECT counted, entries, parts, taken, at FROM listing_progress WHERE job = $1`, l.Job)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return false, false, err
	}
	was := p
	l.At = p.At
	if whole, err = p.count(ctx, tx, l, enough); err == nil && whole {
		err = p.apply(ctx, tx, *l, enough)
	}
	done = p.Counted == l.Result.Parts && (!whole || p.Parts == l.Result.Parts)
	if err == nil && enough != nil && p != was {
		_, err = tx.ExecContext(ctx, `INSERT INTO listing_progress (job, counted, entries, parts, taken, at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (job) DO UPDATE SET counted = excluded.counted, entries = excluded.entries, parts = excluded.parts,
			taken = excluded.taken`, l.Job, p.Counted, p.Entries, p.Parts, p.Taken, p.At)
	}
	return done, whole, err
}

// Forget removes what is kept of how far the listing of a job is applied.
func Forget(ctx context.Context, tx sqlx.ExecerContext, job topics.JobID) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM listing_progress WHERE job = $1`, job)
	return err
}

// count reports whether the listing has as many entries as it says.
func (p *progress) count(ctx context.Context, tx *sqlx.Tx, l *Listing, enough func() bool) (whole bool, err error) {
	for p.Counted < l.Result.Parts {
		var n int
		if err := sqlx.GetContext(ctx, tx, &n, `SELECT sum(coalesce(json_array_length(body, '$.snapshots'), 0)
			+ coalesce(json_array_length(body, '$.keys'), 0) + coalesce(json_array_length(body, '$.locks'), 0))
			FROM job_reports WHERE job = $1 AND part > $2 AND part <= $3`, l.Job, p.Counted, p.Counted+countParts); err != nil {
			return false, fmt.Errorf("report of job %s: %w", l.Job, err)
		}
		p.Entries, p.Counted = p.Entries+n, min(p.Counted+countParts, l.Result.Parts)
		if p.Counted < l.Result.Parts && enough != nil && enough() {
			return false, nil
		}
	}
	return p.Entries == l.Result.Count, nil
}

// apply enters what is listed.
func (p *progress) apply(ctx context.Context, tx *sqlx.Tx, l Listing, enough func() bool) (err error) {
	at := places{ctx, prepared.In(tx), l.Repository, nil, 0}
	if err := sqlx.GetContext(ctx, tx, &at.unseen, `SELECT coalesce(max(good_at), 0) FROM repository_looks WHERE repository = $1
		AND kind = 'list' AND good_at <= $2 AND ($3 OR host = $4)`, l.Repository, l.QueuedAt, !l.Apart, l.Host); err != nil {
		return err
	}
	if at.add, err = tx.PrepareNamedContext(ctx, insert+` ON CONFLICT (repository, id) DO NOTHING`); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, at.add.Close()) }()
	for p.Parts < l.Result.Parts {
		var body string
		var part topics.Report
		if err := sqlx.GetContext(ctx, at.tx, &body, `SELECT body FROM job_reports WHERE job = $1 AND part = $2`, l.Job, p.Parts+1); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(body), &part); err != nil {
			return fmt.Errorf("part %d of the report of job %s: %w", p.Parts+1, l.Job, err)
		}
		for p.Taken < len(part.Snapshots) {
			next := min(p.Taken+applyRows, len(part.Snapshots))
			if err := at.see(part.Snapshots[p.Taken:next], l); err != nil {
				return err
			}
			if p.Taken = next; next < len(part.Snapshots) && enough != nil && enough() {
				return nil
			}
		}
		p.Parts, p.Taken = p.Parts+1, 0
		if enough != nil && enough() {
			return nil
		}
	}
	return nil
}

// see enters snapshots that are listed.
func (p places) see(list []topics.Snapshot, l Listing) error {
	list = slices.DeleteFunc(slices.Clone(list), func(t topics.Snapshot) bool { return !wholeID.MatchString(t.ID) })
	var ids column.List
	for _, t := range list {
		ids = append(ids, t.ID)
	}
	all, err := ids.Value()
	if err != nil {
		return err
	}
	var rows []known
	// The plus has SQLite look rows up by their IDs and not go through all that exist.
	if err := sqlx.SelectContext(p.ctx, p.tx, &rows, `SELECT `+ofKnown+` FROM snapshots WHERE repository = $1 AND +gone_at = 0
		AND id IN (SELECT value FROM json_each($2))`, l.Repository, all); err != nil {
		return err
	}
	had := make(map[string]known, len(rows))
	for _, k := range rows {
		had[k.ID] = k
	}
	place := topics.HostID("")
	if l.Apart {
		place = l.Host
	}
	for _, t := range list {
		row := rowOf(l.Repository, t)
		row.SeenAt, row.Place = l.At, place
		if k, there := had[t.ID]; there {
			err = p.correct(row, k)
		} else {
			row.FirstSeenAt, row.UnseenAt = l.At, p.unseen
			_, err = p.found(row, l) // or it was removed while the listing ran
		}
		if err != nil {
			return err
		}
	}
	if _, err = p.tx.ExecContext(p.ctx, `UPDATE snapshots SET seen_at = $1, place = $2 WHERE repository = $3 AND +gone_at = 0
		AND id IN (SELECT value FROM json_each($4)) AND (seen_at <> $1 OR place <> $2)`, l.At, place, l.Repository, all); err != nil {
		return err
	}
	var copies, originals []string
	for _, t := range list {
		if k, there := had[t.ID]; t.Original != "" && (!there || k.Job == "") {
			copies, originals = append(copies, t.ID), append(originals, t.Original)
		}
	}
	return p.adopt(copies, originals, false)
}
