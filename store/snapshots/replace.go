package snapshots

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Remaking is a job of ours that made new snapshots of old ones and removed those, as it
// says itself.
type Remaking struct {
	Job        topics.JobID
	Repository topics.RepositoryID
	Asked      []string // the snapshots it was asked to make anew; nothing it says of others counts
	Repairs    bool     // what a snapshot has no more is lost, and was not to go
	List       []topics.Replacement
	At         int64
}

// Replace gives each snapshot that a job of ours put in the place of another what the other
// had: its job, group and size, so that retention, protection and drills go on with it as
// they did, and it is neither foreign nor the other one lost. This is the one place where
// that is decided for jobs of ours; what a listing finds of one that could not say how it
// ended goes by the same rule, see places.free.
//
// One that is there twice keeps its own, and the second is nobody's: it is shown as such. So
// is one that merely says that it was made of ours.
func Replace(ctx context.Context, tx *sqlx.Tx, m Remaking) error {
	for _, r := range m.List {
		if !slices.Contains(m.Asked, r.Snapshot) {
			continue
		}
		old, err := find(ctx, tx, m.Repository, r.Snapshot)
		if errors.Is(err, sql.ErrNoRows) {
			continue // the next listing has what took its place
		} else if err != nil {
			return err
		}
		switch {
		case r.Became == topics.BecameChanged && r.By != nil && fits(old, *r.By):
			err = replace(ctx, tx, m, old, r)
		case r.Became == topics.BecameRemoved:
			_, err = tx.ExecContext(ctx, `UPDATE snapshots SET gone_at = $1, named_by = $2 WHERE repository = $3 AND id = $4 AND gone_at = 0`,
				m.At, m.Job, m.Repository, old.ID)
		default: // if it is missed one day, no job of ours explains that
			_, err = tx.ExecContext(ctx, `UPDATE snapshots SET named_by = '' WHERE repository = $1 AND id = $2 AND named_by = $3 AND gone_at = 0`,
				m.Repository, old.ID, m.Job)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fits reports whether restic can have made a snapshot of another: its time, host and paths
// are those, and it says so.
func fits(old Snapshot, now topics.Snapshot) bool {
	return wholeID.MatchString(now.ID) && now.ID != old.ID && (now.Original == old.ID || now.Original != "" && now.Original == old.Original) &&
		now.Time == old.Time && now.Host == old.Hostname && slices.Equal(now.Paths, []string(old.Paths))
}

// replace puts one snapshot in the place of another.
func replace(ctx context.Context, tx *sqlx.Tx, m Remaking, old Snapshot, r topics.Replacement) error {
	row := rowOf(m.Repository, *r.By)
	row.by(old.made(), old.NotedAt)
	row.SeenAt, row.Place = m.At, old.Place
	row.Lacks, row.KnownAt = old.Lacks, old.KnownAt
	if m.Repairs && r.Items > 0 {
		row.Lacks += int64(min(r.Items, 1<<40))
		if row.State == topics.Succeeded { // it is not whole any more
			row.State = topics.Warnings
		}
	}
	there, err := find(ctx, tx, m.Repository, row.ID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = tx.NamedExecContext(ctx, insert, row)
	case err == nil && (there.Foreign() || there.Job == old.Job): // a listing was quicker
		_, err = tx.NamedExecContext(ctx, setMade, row)
	case err == nil:
		return nil // it is another's already
	}
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE snapshots SET lacks = $1, known_at = $2, gone_at = 0, replaced_by = '' WHERE repository = $3
		AND id = $4`, row.Lacks, row.KnownAt, m.Repository, row.ID); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE snapshots SET gone_at = CASE WHEN gone_at = 0 THEN $1 ELSE gone_at END, named_by = $2,
		replaced_by = $3 WHERE repository = $4 AND id = $5`, m.At, m.Job, row.ID, m.Repository, old.ID)
	return err
}

// settled takes back, of the snapshots that a listing saw, that a job names them which had
// ended before the listing began: they are still there, and if they are missed one day, that
// job does not explain it.
func (p places) settled(l Listing) error {
	_, err := p.tx.ExecContext(p.ctx, `UPDATE snapshots SET named_by = '' WHERE repository = $1 AND gone_at = 0 AND named_by <> ''
		AND seen_at = $2 AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = named_by AND j.finished_at > 0 AND j.finished_at < $3)`,
		p.repository, l.At, l.QueuedAt)
	return err
}
