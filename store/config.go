package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A Want is what a host is to do by itself, by its digest.
type Want struct {
	Host   topics.HostID
	Digest [32]byte
}

// WantConfigs notes what hosts are to do, as it was in an edition. One whose digest
// is another than before gets the next revision. It is written some hundreds of hosts
// at a time; that the edition was considered comes last.
func (s *Store) WantConfigs(ctx context.Context, wants []Want, in Edition) error {
	for some := range slices.Chunk(wants, manyHosts) {
		if err := s.tx(ctx, func(tx *sqlx.Tx) error {
			for _, w := range some {
				if _, err := tx.ExecContext(ctx, `UPDATE hosts SET config_revision = config_revision + 1, config_digest = $1, config_made_at = $2
					WHERE id = $3 AND config_digest <> $1`, hex.EncodeToString(w.Digest[:]), s.Now(), w.Host); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE configs_considered SET n = $1`, in.Audited)
		return err
	})
}

// An Edition is another one whenever anything that a host is to do may have
// changed: whatever people change is audited, and jobs find or make repositories
// and their keys.
type Edition struct {
	Audited int64 `db:"audited"` // the newest entry of the audit log
	ReadyAt int64 `db:"ready_at"`
	KeysAt  int64 `db:"keys_at"`
}

// Edition is the database's edition now.
func (s *Store) Edition(ctx context.Context) (Edition, error) {
	return get[Edition](ctx, s.r, `SELECT coalesce((SELECT max(n) FROM audit), 0) AS audited, coalesce((SELECT max(ready_at)
		FROM repositories), 0) AS ready_at,
		coalesce((SELECT max(keys_at) FROM repositories), 0) AS keys_at`)
}

// Moved tells of a schedule whether it was changed since WantConfigs, or what it
// backs up and where to: its host's revision says nothing of it yet. groups are
// those that schedules name. Ask after reading the schedules, and before reading
// the hosts.
func (s *Store) Moved(ctx context.Context, groups []SourceGroup) (func(Schedule) bool, error) {
	ids, err := all[string](ctx, s.r, `SELECT DISTINCT target FROM audit WHERE n > (SELECT n FROM configs_considered)
		AND action IN ('schedule.saved', 'source_group.saved', 'repository.changed')`)
	changed, repository := map[string]bool{}, map[topics.SourceGroupID]topics.RepositoryID{}
	for _, id := range ids {
		changed[id] = true
	}
	for _, g := range groups {
		repository[g.ID] = g.Repository
	}
	return func(sc Schedule) bool {
		return changed[string(sc.ID)] || slices.ContainsFunc(sc.Groups, func(g topics.SourceGroupID) bool {
			return changed[string(g)] || changed[string(repository[g])]
		})
	}, err
}

// A Member is a group's place in an enabled schedule.
type Member struct {
	Schedule ScheduleID           `db:"schedule"`
	Group    topics.SourceGroupID `db:"source_group"`
	Fired    int64                `db:"fired"`
}

// Plans lists the groups of a host's enabled schedules that exist; of all hosts
// with "".
func (s *Store) Plans(ctx context.Context, host topics.HostID) ([]Member, error) {
	return all[Member](ctx, s.r, `SELECT m.schedule, m.source_group, m.fired FROM schedule_groups m JOIN schedules s ON s.id = m.schedule
		JOIN source_groups g ON g.id = m.source_group WHERE s.enabled <> 0 AND `+one("s.host", host)+` ORDER BY m.schedule, g.name, g.id`, host)
}

// Configured implements protocol.PlaneTx.
func (j journal) Configured(id topics.HostID, c topics.Configured, at int64) error {
	if len(c.Error) > 2000 {
		c.Error = c.Error[:2000]
	}
	if c.Digest != "" {
		// A database that was put back from a backup may give a number again.
		want, err := get[Host](j.ctx, j.q, `SELECT * FROM hosts WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if c.Revision == want.ConfigRevision && c.Digest != want.ConfigDigest {
			c.Revision = 0
		}
	}
	return change(j.ctx, j.q, `UPDATE hosts SET config_applied_at = CASE WHEN config_applied = $1 THEN config_applied_at ELSE $2 END,
		config_applied = $1, config_error = $3 WHERE id = $4`, c.Revision, at, c.Error, id)
}

// Fired implements protocol.PlaneTx. Of one slot the database takes each attempt
// once; should one of ours have the number, this one gets the next.
func (j journal) Fired(host topics.HostID, f topics.Fired, at int64) (p protocol.PlaneJob, known bool, err error) {
	g, err := get[SourceGroup](j.ctx, j.tx, `SELECT * FROM source_groups WHERE id = $1`, f.Group)
	if err == nil {
		_, err = get[string](j.ctx, j.tx, `SELECT id FROM repositories WHERE id = $1`, f.Repository)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return p, false, nil
	case err != nil:
		return p, false, err
	case g.Host != host:
		return p, false, nil
	}
	by := "schedule:" + string(f.Slot.Schedule)
	sc, err := get[Schedule](j.ctx, j.tx, `SELECT * FROM schedules WHERE id = $1`, f.Slot.Schedule)
	switch {
	case errors.Is(err, ErrNotFound): // it is gone; what it began before stays
	case err != nil:
		return p, false, err
	case sc.Host != host:
		return p, false, nil
	default:
		by = "schedule:" + sc.Name
	}
	attempts, err := all[int](j.ctx, j.tx, `SELECT attempt FROM jobs WHERE schedule = $1 AND source_group = $2 AND slot = $3`,
		f.Slot.Schedule, f.Group, f.Slot.At)
	if err != nil {
		return p, false, err
	}
	attempt := max(f.Slot.Attempt, 0)
	for slices.Contains(attempts, attempt) {
		attempt++
	}
	job := Job{
		ID:          f.Job,
		Host:        host,
		Kind:        topics.BackupJob,
		SourceGroup: f.Group,
		Repository:  f.Repository,
		State:       topics.Dispatched,
		RequestedBy: by,
		QueuedAt:    at,
		Accepted:    true,
		Schedule:    f.Slot.Schedule,
		Slot:        f.Slot.At,
		Attempt:     attempt,
		Fired:       true,
		HeardAt:     j.s.Now(),
	}
	if _, err := j.tx.NamedExecContext(j.ctx, `INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by,
		queued_at, not_after, accepted, schedule, slot, attempt, fired, heard_at)
		VALUES (:id, :host, :kind, :source_group, :repository, :state, :requested_by, :queued_at, :not_after, :accepted, :schedule,
		:slot, :attempt, :fired, :heard_at)`, job); err != nil {
		return p, false, fmt.Errorf("job %s of a slot: %w", job.ID, err)
	}
	if f.Passed > 0 {
		if err := j.s.audit(j.ctx, j.tx, "plane", "schedule.slots_passed", string(f.Slot.Schedule), passed(f)); err != nil {
			return p, false, err
		}
	}
	if j.s.fired != nil {
		if err := j.s.fired(Slots{j.ctx, j.s, j.tx}, job); err != nil {
			return p, false, err
		}
	}
	return j.Job(f.Job)
}

func passed(f topics.Fired) string {
	return fmt.Sprintf("the slot of %s stands for %d before it", time.UnixMilli(f.Slot.At).UTC().Format(time.RFC3339), f.Passed)
}

// A HostBehind has another config in force than the one of this revision, which it
// is to have.
type HostBehind struct {
	ID       topics.HostID `db:"id"`
	Revision int64         `db:"config_revision"`
}

// Behind lists the hosts that fire by themselves and have another config in force
// than they are to have. It reads an index alone: most of them may be away.
func (s *Store) Behind(ctx context.Context) ([]HostBehind, error) {
	return all[HostBehind](ctx, s.r, `SELECT id, config_revision FROM hosts WHERE config_applied >= 0
		AND config_applied <> config_revision ORDER BY id`)
}
