package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/endings"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// Judged is what alerts are judged by beside the fleet's board: of all, or of what changed
// since a mark, in whichever process, at one moment.
type Judged struct {
	Mark int64 // of this moment; pass it to JudgedSince to read later changes
	All  bool  // the lists below are whole; else they are of what is in Changed
	// Every says that Looks and Days are whole.
	Every bool

	Changed struct { // those that are in none of the lists are gone
		Repositories []topics.RepositoryID
		Groups       []topics.SourceGroupID
		Endings      []string // subjects
	}
	Looks   []looks.Facts
	Days    []Day // the oldest first, since the day of From
	Groups  []endings.Group
	Endings []endings.Row

	Refused map[topics.HostID]intake.Aside // what was refused of hosts last, always of all
	Plans   []drills.Plan                  // when restores are tried, the same
}

// JudgedSince reads what changed since a mark, or all if the mark is negative: sizes of
// repositories from a day on, and what was refused of hosts since a moment.
func (s *Store) JudgedSince(ctx context.Context, mark, days, refused int64) (j Judged, err error) {
	tx, err := s.r.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return j, fmt.Errorf("begin to read what alerts are judged by: %w", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	if j.Refused, err = intake.Refused(ctx, tx, refused); err != nil {
		return j, err
	}
	if j.Plans, err = drills.Plans(ctx, tx); err != nil {
		return j, err
	}
	if j.Mark, err = get[int64](ctx, tx, `SELECT coalesce(max(n), 0) FROM judged_changes`); err != nil {
		return j, err
	}
	if err := j.changed(ctx, tx, mark); err != nil {
		return j, err
	}
	if j.All {
		j.Endings, err = endings.All(ctx, tx)
		if err == nil {
			j.Groups, err = endings.Groups(ctx, tx)
		}
	} else {
		j.Endings, err = endings.OfAll(ctx, tx, j.Changed.Endings)
		if err == nil {
			j.Groups, err = endings.GroupsOf(ctx, tx, j.Changed.Groups)
		}
	}
	if err != nil {
		return j, err
	}
	if j.Every {
		j.Looks, err = looks.Of(ctx, tx)
		if err == nil {
			j.Days, err = all[Day](ctx, tx, `SELECT * FROM repository_days WHERE day >= $1 ORDER BY repository, day`, days/dayMillis)
		}
	} else if len(j.Changed.Repositories) > 0 {
		j.Looks, err = looks.Of(ctx, tx, j.Changed.Repositories...)
		if err == nil {
			j.Days, err = among[Day](ctx, tx, `SELECT * FROM repository_days WHERE repository IN (?) AND day >= ? ORDER BY repository, day`,
				j.Changed.Repositories, days/dayMillis)
		}
	}
	if err == nil {
		err = s.unread(ctx, tx, j.Looks)
	}
	return j, err
}

// changed fills in what changed since a mark.
func (j *Judged) changed(ctx context.Context, tx *sqlx.Tx, mark int64) error {
	if j.All = mark < 0 || mark > j.Mark; !j.All && mark < j.Mark {
		rows, err := all[struct {
			Kind    string `db:"kind"`
			Subject string `db:"subject"`
		}](ctx, tx, `SELECT kind, subject FROM judged_changes WHERE n > $1 ORDER BY n LIMIT $2`, mark, mostChanged+1)
		if err != nil {
			return err
		}
		j.All = len(rows) > mostChanged
		for _, r := range rows {
			switch {
			case r.Kind == "group":
				j.Changed.Groups = append(j.Changed.Groups, topics.SourceGroupID(r.Subject))
			case r.Kind == "ending":
				j.Changed.Endings = append(j.Changed.Endings, r.Subject)
			case r.Subject == "":
				j.Every = true
			default:
				j.Changed.Repositories = append(j.Changed.Repositories, topics.RepositoryID(r.Subject))
			}
		}
	}
	j.Every = j.Every || j.All
	return nil
}
