package removal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// ErrInUse is the error that something still needs what was to be removed.
var ErrInUse = errors.New("it is in use")

// KeptBy is the query for the names of the repositories that a host looks after.
const KeptBy = `SELECT name FROM repositories WHERE keeper = $1 AND removed_at = 0 ORDER BY name`

// A Change is one transaction of somebody who removes something or brings it back.
type Change struct {
	Tx    *sqlx.Tx
	Now   int64
	By    string
	Audit func(action, target, detail string) error
	Step  func(protocol.PlaneInput) error // of the job protocol; the running control plane finds its effects in the rows
}

// RemoveHost takes a host out of care, with its source groups and schedules. Its open
// jobs end. It returns ErrInUse while the host is the keeper of a repository.
func (c Change) RemoveHost(ctx context.Context, id topics.HostID, snapshots string) error {
	r := Removed{Kind: Host, ID: string(id), At: c.Now, By: c.By, Snapshots: snapshots}
	kept, err := texts(ctx, c.Tx, KeptBy, id)
	if err != nil {
		return err
	}
	if len(kept) > 0 {
		return fmt.Errorf("%w: it is the keeper of %s", ErrInUse, strings.Join(kept, ", "))
	}
	// First, as the ends of jobs go into the rows of what is removed then.
	if err := exec(ctx, c.Tx, []any{id}, `UPDATE jobs SET held = 0 WHERE host = $1 AND finished_at = 0 AND held <> 0`); err != nil {
		return err
	}
	if err := c.Step(protocol.HostRemoved{Host: id, By: c.By, Now: c.Now}); err != nil {
		return err
	}
	if r, err = removeHost(ctx, c.Tx, r); err != nil {
		return err
	}
	return c.Audit("host.removed", r.ID, r.Name+", snapshots: "+snapshots)
}

// RemoveGroup takes a source group out of its host's care, with the schedules that back
// up nothing else. Its queued backup is cancelled; one that runs goes on.
func (c Change) RemoveGroup(ctx context.Context, id topics.SourceGroupID, snapshots string) (r Removed, schedules []string, err error) {
	if r, schedules, err = c.removeGroup(ctx, string(id), "", snapshots); err != nil {
		return r, nil, err
	}
	said := r.Name + ", snapshots: " + snapshots
	if len(schedules) > 0 {
		said += ", with the schedules " + strings.Join(schedules, ", ")
	}
	return r, schedules, c.Audit("source_group.removed", r.ID, said)
}

func (c Change) removeGroup(ctx context.Context, id, together, snapshots string) (r Removed, schedules []string, err error) {
	queued, err := texts(ctx, c.Tx, `SELECT id FROM jobs WHERE finished_at = 0 AND state = 'queued' AND source_group = $1`, id)
	for _, job := range queued {
		if err == nil {
			err = c.Step(protocol.CancelAsked{Job: topics.JobID(job), By: c.By + ", who removed the source group,", Now: c.Now})
		}
	}
	if err != nil {
		return r, nil, err
	}
	return removeGroup(ctx, c.Tx, Removed{Kind: Group, ID: id, At: c.Now, By: c.By, Together: together, Snapshots: snapshots})
}

// RemoveRepository takes a repository out of care and frees its name. Its secrets stay,
// sealed, until it is purged; its own data is not touched. While a job of it has not
// ended it returns ErrInUse, and so it does while a source group needs it, unless these
// are to be removed with it.
func (c Change) RemoveRepository(ctx context.Context, id topics.RepositoryID, groups bool) error {
	r := Removed{Kind: Repository, ID: string(id), At: c.Now, By: c.By}
	into, err := texts(ctx, c.Tx, `SELECT id FROM source_groups WHERE repository = $1 ORDER BY name, id`, id)
	if err != nil {
		return err
	}
	if len(into) > 0 && !groups {
		return fmt.Errorf("%w: %d source groups back up into it", ErrInUse, len(into))
	}
	for _, g := range into {
		group, _, err := c.removeGroup(ctx, g, r.ID, Keep)
		if err == nil {
			err = c.Audit("source_group.removed", g, group.Name+", with its repository")
		}
		if err != nil {
			return err
		}
	}
	if open, err := count(ctx, c.Tx, `SELECT count(*) FROM jobs WHERE repository = $1 AND finished_at = 0`, id); err != nil {
		return err
	} else if open > 0 {
		return fmt.Errorf("%w: %d jobs of it have not ended", ErrInUse, open)
	}
	if r, err = removeRepository(ctx, c.Tx, r); err != nil {
		return err
	}
	return c.Audit("repository.removed", r.ID, r.Name)
}

// Restore brings back what was removed under an ID, with what went with it, under
// another name unless name is "". It returns the groups that stay removed: their
// repository or host is gone, or another group has their name.
func (c Change) Restore(ctx context.Context, kind Kind, id, name string) (left []Removed, err error) {
	r, err := Find(ctx, c.Tx, kind, id)
	if err != nil {
		return nil, err
	}
	switch kind {
	case Host:
		r, left, err = restoreHost(ctx, c.Tx, r, name, c.Now)
	case Repository:
		r, left, err = restoreRepository(ctx, c.Tx, r, name, c.Now)
	default:
		r, err = restoreGroup(ctx, c.Tx, r, name, c.Now)
	}
	if err != nil {
		return nil, err
	}
	return left, c.Audit(Subject(kind)+".restored", r.ID, r.Name)
}

// Subject is what audit entries call a kind.
func Subject(k Kind) string {
	if k == Group {
		return "source_group"
	}
	return string(k)
}

// HostSettings are what people set of a host; nil stays as it is.
type HostSettings struct {
	Name         *string
	Retired      *bool     // keeps its snapshots, and is judged no longer
	Intermittent *bool     // not always on, such as a laptop
	OverdueDays  *int64    // days without a good backup until it is overdue
	JobsAtOnce   *int      // how many jobs it runs at once
	Tags         *[]string // all it has, in order
}

// SetHost changes a host's settings, with an audit entry of what became of what. A
// schedule of a host that is retired no longer goes on as after a pause.
func (c Change) SetHost(ctx context.Context, id topics.HostID, set HostSettings) error {
	var was struct {
		Name         string      `db:"name"`
		RetiredAt    int64       `db:"retired_at"`
		Intermittent bool        `db:"intermittent"`
		OverdueDays  int64       `db:"overdue_days"`
		JobsAtOnce   int         `db:"jobs_at_once"`
		Tags         column.List `db:"tags"`
	}
	if err := sqlx.GetContext(ctx, c.Tx, &was, `SELECT name, retired_at, intermittent, overdue_days, jobs_at_once, tags FROM hosts
		WHERE id = $1 AND removed_at = 0`, id); err != nil {
		return err
	}
	var said []string
	put := func(query string, args ...any) error { return exec(ctx, c.Tx, append(args, id), query) }
	var err error
	if v := set.Name; v != nil && *v != was.Name {
		said = append(said, fmt.Sprintf("name: %s → %s", was.Name, *v))
		err = put(`UPDATE hosts SET name = $1 WHERE id = $2`, *v)
	}
	if v := set.Retired; err == nil && v != nil && *v != (was.RetiredAt > 0) {
		said = append(said, fmt.Sprintf("retired: %t → %t", was.RetiredAt > 0, *v))
		at := c.Now
		if !*v {
			at, err = 0, put(`UPDATE schedules SET since = $1, paused_from = $2 WHERE host = $3`, c.Now, was.RetiredAt)
		}
		err = errors.Join(err, put(`UPDATE hosts SET retired_at = $1 WHERE id = $2`, at))
	}
	if v := set.Intermittent; err == nil && v != nil && *v != was.Intermittent {
		said = append(said, fmt.Sprintf("intermittent: %t → %t", was.Intermittent, *v))
		err = put(`UPDATE hosts SET intermittent = $1 WHERE id = $2`, *v)
	}
	if v := set.OverdueDays; err == nil && v != nil && *v != was.OverdueDays {
		said = append(said, fmt.Sprintf("overdue after: %d → %d days", was.OverdueDays, *v))
		err = put(`UPDATE hosts SET overdue_days = $1 WHERE id = $2`, *v)
	}
	if v := set.JobsAtOnce; err == nil && v != nil && *v != was.JobsAtOnce {
		said = append(said, fmt.Sprintf("jobs at once: %d → %d", was.JobsAtOnce, *v))
		err = put(`UPDATE hosts SET jobs_at_once = $1 WHERE id = $2`, *v)
	}
	if v := set.Tags; err == nil && v != nil && !slices.Equal(*v, was.Tags) {
		said = append(said, "tags: "+tagWords(was.Tags)+" → "+tagWords(*v))
		err = put(`UPDATE hosts SET tags = $1 WHERE id = $2`, column.List(*v))
	}
	if err != nil || len(said) == 0 {
		return err
	}
	return c.Audit("host.changed", string(id), strings.Join(said, ", "))
}

func tagWords(tags []string) string { return cmp.Or(strings.Join(tags, " "), "none") }

// HasTag is the pattern of a host's column of tags, for LIKE with ! as its escape, that has
// a tag: there is no quotation mark in one.
func HasTag(tag string) string { return `%"` + column.Likely(strings.ToLower(tag)) + `"%` }
