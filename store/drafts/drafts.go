// Package drafts keeps restores that people put together page by page: what is to be
// brought back, where to and how. A draft is its owner's alone, so that nobody reads
// from it which files somebody looks for, and goes a week after its last change.
package drafts

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// Life is how long a draft is kept after its last change.
const Life = 7 * 24 * time.Hour

// Most is how many drafts one person may have.
const Most = 50

var (
	// ErrNone is the error that somebody has no such draft: there never was one, it is
	// another person's, or it is gone.
	ErrNone = errors.New("there is no such draft")
	// ErrFull is the error that somebody has as many drafts as they may have.
	ErrFull = errors.New("there are too many drafts")
)

// A Draft is a restore that is not asked for yet.
type Draft struct {
	ID         string              `db:"id"`
	User       string              `db:"user_id"`
	Repository topics.RepositoryID `db:"repository"` // that everything in it comes from, "" while nothing was chosen
	Version    int64               `db:"version"`    // counts its changes, from 1
	CreatedAt  int64               `db:"created_at"`
	TouchedAt  int64               `db:"touched_at"`
	Body       column.JSON[Body]   `db:"body"`
}

// A Part is what one page of the draft sets.
type Part string

// The parts.
const (
	Moment Part = "moment"
	Basket Part = "basket"
	Place  Part = "place"
)

// A Body is what a draft holds.
type Body struct {
	Host     topics.HostID `json:"host,omitempty"`     // whose snapshots are offered
	Snapshot string        `json:"snapshot,omitempty"` // whose files are offered
	Reader   topics.HostID `json:"reader,omitempty"`   // the host that lists them, "" if the control plane chooses it
	Items    []Item        `json:"items,omitempty"`
	Target   Target        `json:"target"`
	// DryRun is the last dry run, and DryRunOf the version of the draft that it tried.
	DryRun   topics.JobID `json:"dry_run,omitempty"`
	DryRunOf int64        `json:"dry_run_of,omitempty"`
	// Ran is the job that brought it all back, "" until one was asked for.
	Ran topics.JobID `json:"ran,omitempty"`
	// Changed is the version in which each part became what it is.
	Changed map[Part]int64 `json:"changed,omitempty"`
}

// An Item is one file or directory of a snapshot, a directory with all that is below it.
type Item struct {
	Snapshot string `json:"snapshot"` // the whole ID
	Path     string `json:"path"`     // as the snapshot names it; "/" is all of it
	Type     string `json:"type,omitempty"`
	Size     uint64 `json:"size,omitempty"` // of a file
}

// A Target is where a draft goes to, and how.
type Target struct {
	Host      topics.HostID `json:"host,omitempty"` // "" while it was not chosen
	InPlace   bool          `json:"in_place,omitempty"`
	Folder    string        `json:"folder,omitempty"`
	Overwrite string        `json:"overwrite,omitempty"` // one of [topics.Overwrites]; "" is never
	NoOwners  bool          `json:"no_owners,omitempty"`
	Confirm   string        `json:"confirm,omitempty"` // what was typed to confirm a place where much can be replaced
}

// IsWhole reports whether an item is a directory, or all of a snapshot.
func (i Item) IsWhole() bool { return i.Path == "/" || i.Type == "dir" }

// Covers reports whether an item brings back what another names: the same, or a
// directory above it.
func (i Item) Covers(snapshot, path string) bool {
	return i.Snapshot == snapshot &&
		(i.Path == path || i.IsWhole() && (i.Path == "/" || strings.HasPrefix(path, strings.TrimSuffix(i.Path, "/")+"/")))
}

// Covering returns the item that brings something back, if one does.
func (b Body) Covering(snapshot, path string) (Item, bool) {
	for _, i := range b.Items {
		if i.Covers(snapshot, path) {
			return i, true
		}
	}
	return Item{}, false
}

// Put adds an item, unless another covers it, and removes those that it covers.
func (b *Body) Put(item Item) {
	if _, covered := b.Covering(item.Snapshot, item.Path); covered {
		return
	}
	b.Items = slices.DeleteFunc(b.Items, func(i Item) bool { return item.Covers(i.Snapshot, i.Path) })
	b.Items = append(b.Items, item)
}

// Choose adds an item as Put does, in place of what the draft holds of the same path in other
// snapshots: of one path, one version can be brought back to one place.
func (b *Body) Choose(item Item) {
	b.Items = slices.DeleteFunc(b.Items, func(i Item) bool { return i.Path == item.Path && i.Snapshot != item.Snapshot })
	b.Put(item)
}

// Drop removes the item of exactly this name.
func (b *Body) Drop(snapshot, path string) {
	b.Items = slices.DeleteFunc(b.Items, func(i Item) bool { return i.Snapshot == snapshot && i.Path == path })
}

// Basket is what is in the draft as a job is asked for it: by snapshot, in the order in
// which they were first chosen from.
func (b Body) Basket() (list []topics.Item) {
	for _, i := range b.Items {
		at := slices.IndexFunc(list, func(o topics.Item) bool { return o.Snapshot == i.Snapshot })
		if at < 0 {
			at = len(list)
			list = append(list, topics.Item{Snapshot: i.Snapshot})
		}
		if i.Path != "/" { // all of it, which is said by naming no path
			list[at].Paths = append(list[at].Paths, i.Path)
		}
	}
	for _, i := range list {
		slices.Sort(i.Paths)
	}
	return list
}

// Since reports whether a part has become something else since a version.
func (b Body) Since(p Part, version int64) bool { return b.Changed[p] > version }

// Drafts reads and changes drafts in a database.
type Drafts struct {
	R   sqlx.QueryerContext
	Tx  func(context.Context, func(*sqlx.Tx) error) error
	Now func() int64
}

const one = `SELECT * FROM restore_drafts WHERE id = $1 AND user_id = $2`

// Add adds a draft of a person. Whoever has [Most] has to discard one first: ErrFull.
func (d Drafts) Add(ctx context.Context, draft Draft) (Draft, error) {
	draft.Version, draft.CreatedAt, draft.TouchedAt = 1, d.Now(), d.Now()
	if draft.Body.V == nil {
		draft.Body.V = &Body{}
	}
	return draft, d.Tx(ctx, func(tx *sqlx.Tx) error {
		var n int
		if err := tx.GetContext(ctx, &n, `SELECT count(*) FROM restore_drafts WHERE user_id = $1`, draft.User); err != nil {
			return err
		}
		if n >= Most {
			return ErrFull
		}
		_, err := tx.NamedExecContext(ctx, `INSERT INTO restore_drafts (id, user_id, repository, version, created_at, touched_at, body)
			VALUES (:id, :user_id, :repository, :version, :created_at, :touched_at, :body)`, draft)
		return err
	})
}

// Get returns a person's draft, or ErrNone.
func (d Drafts) Get(ctx context.Context, user, id string) (Draft, error) {
	return get(ctx, d.R, user, id)
}

func get(ctx context.Context, q sqlx.QueryerContext, user, id string) (draft Draft, err error) {
	rows := []Draft{}
	if err := sqlx.SelectContext(ctx, q, &rows, one, id, user); err != nil {
		return draft, err
	}
	if len(rows) == 0 {
		return draft, ErrNone
	}
	if draft = rows[0]; draft.Body.V == nil {
		draft.Body.V = &Body{}
	}
	return draft, nil
}

// List lists a person's drafts, those that were changed last first.
func (d Drafts) List(ctx context.Context, user string) ([]Draft, error) {
	rows := []Draft{}
	err := sqlx.SelectContext(ctx, d.R, &rows, `SELECT * FROM restore_drafts WHERE user_id = $1 ORDER BY touched_at DESC, id LIMIT $2`,
		user, Most)
	for i := range rows {
		if rows[i].Body.V == nil {
			rows[i].Body.V = &Body{}
		}
	}
	return rows, err
}

// Change changes a person's draft in one transaction and returns what it is then. The
// parts that change names are noted with the draft's next version; none is no change of
// what is to be restored, such as a dry run that was asked for.
func (d Drafts) Change(ctx context.Context, user, id string, change func(*Draft) ([]Part, error)) (draft Draft, err error) {
	err = d.Tx(ctx, func(tx *sqlx.Tx) error {
		if draft, err = get(ctx, tx, user, id); err != nil {
			return err
		}
		parts, err := change(&draft)
		if err != nil {
			return err
		}
		draft.TouchedAt = cmp.Or(d.Now(), draft.TouchedAt)
		if len(parts) > 0 {
			draft.Version++
		}
		for _, p := range parts {
			if draft.Body.V.Changed == nil {
				draft.Body.V.Changed = map[Part]int64{}
			}
			draft.Body.V.Changed[p] = draft.Version
		}
		_, err = tx.NamedExecContext(ctx, `UPDATE restore_drafts SET repository = :repository, version = :version, touched_at = :touched_at,
			body = :body WHERE id = :id`, draft)
		return err
	})
	return draft, err
}

// Remove removes a person's draft; none is no error.
func (d Drafts) Remove(ctx context.Context, user, id string) error {
	return d.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM restore_drafts WHERE id = $1 AND user_id = $2`, id, user)
		return err
	})
}

// Sweep removes drafts that were last changed longer ago than [Life], and returns how many.
func (d Drafts) Sweep(ctx context.Context) (removed int, err error) {
	const atOnce = 100
	for {
		var n int64
		if err := d.Tx(ctx, func(tx *sqlx.Tx) error {
			r, err := tx.ExecContext(ctx, `DELETE FROM restore_drafts WHERE id IN (SELECT id FROM restore_drafts WHERE touched_at < $1 LIMIT $2)`,
				d.Now()-Life.Milliseconds(), atOnce)
			if err != nil {
				return err
			}
			n, err = r.RowsAffected()
			return err
		}); err != nil {
			return removed, err
		}
		if removed += int(n); n < atOnce {
			return removed, nil
		}
	}
}

// Forget removes all drafts of a person who is removed.
func Forget(ctx context.Context, x sqlx.ExecerContext, user string) error {
	_, err := x.ExecContext(ctx, `DELETE FROM restore_drafts WHERE user_id = $1`, user)
	return err
}
