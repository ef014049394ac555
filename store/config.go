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
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
)

// A Want is the digest of the config that a host should have.
type Want struct {
	Host   topics.HostID
	Digest [32]byte
}

// WantConfigs stores the digests of the configs that hosts should have, computed from
// an edition. A host whose digest changed gets the next revision. It writes a few
// hundred hosts per transaction and the edition last.
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

// An Edition changes whenever anything that configs are made of may have changed:
// what people change is in the audit log, and jobs set up or find repositories and
// their keys.
type Edition struct {
	Audited int64 `db:"audited"` // number of the newest audit entry
	ReadyAt int64 `db:"ready_at"`
	KeysAt  int64 `db:"keys_at"`
}

// Edition returns the current edition.
func (s *Store) Edition(ctx context.Context) (Edition, error) {
	return get[Edition](ctx, s.r, `SELECT coalesce((SELECT max(n) FROM audit), 0) AS audited, coalesce((SELECT max(ready_at)
		FROM repositories), 0) AS ready_at,
		coalesce((SELECT max(keys_at) FROM repositories), 0) AS keys_at`)
}

// Moved returns a function that reports whether a schedule, its groups or their
// repositories changed, or its host was paused or resumed, after WantConfigs: its host's revision does not include the
// change yet. groups are those that schedules name. Call it after reading the
// schedules and before reading the hosts.
func (s *Store) Moved(ctx context.Context, groups []SourceGroup) (func(Schedule) bool, error) {
	ids, err := all[string](ctx, s.r, `SELECT DISTINCT target FROM audit WHERE n > (SELECT n FROM configs_considered)
		AND action IN ('schedule.saved', 'schedule.resumed', 'source_group.saved', 'repository.changed', 'repository.password_changed',
			'host.paused', 'host.resumed')`)
	changed, repository := map[string]bool{}, map[topics.SourceGroupID]topics.RepositoryID{}
	for _, id := range ids {
		changed[id] = true
	}
	for _, g := range groups {
		repository[g.ID] = g.Repository
	}
	return func(sc Schedule) bool {
		return changed[string(sc.ID)] || changed[string(sc.Host)] || slices.ContainsFunc(sc.Groups, func(g topics.SourceGroupID) bool {
			return changed[string(g)] || changed[string(repository[g])]
		})
	}, err
}

// A Member is a source group in an enabled schedule.
type Member struct {
	Schedule ScheduleID           `db:"schedule"`
	Group    topics.SourceGroupID `db:"source_group"`
	Fired    int64                `db:"fired"`
}

// Plans lists the existing groups of a host's enabled schedules, or of all hosts if
// the ID is empty. A retired host has none, nor has
// a group of a replaced machine that waits for a decision.
func (s *Store) Plans(ctx context.Context, host topics.HostID) ([]Member, error) {
	return all[Member](ctx, s.r, `SELECT m.schedule, m.source_group, m.fired FROM schedule_groups m JOIN schedules s ON s.id = m.schedule
		JOIN source_groups g ON g.id = m.source_group JOIN hosts h ON h.id = s.host AND h.removed_at = 0 AND h.retired_at = 0
		WHERE s.enabled <> 0 AND NOT `+replacing.Holds+`m.source_group) AND `+one("s.host", host)+` ORDER BY m.schedule, g.name, g.id`, host)
}

// Configured implements protocol.PlaneTx.
func (j journal) Configured(id topics.HostID, c topics.Configured, at int64) error {
	if len(c.Error) > 2000 {
		c.Error = c.Error[:2000]
	}
	if c.Digest != "" {
		// A database restored from a backup may use a number twice.
		want, err := get[Host](j.ctx, j.q, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, id)
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

// Fired implements protocol.PlaneTx. Each attempt at a slot has one job; if the
// number is taken by a job that the control plane made, this one gets the next.
func (j journal) Fired(host topics.HostID, f topics.Fired, at int64) (p protocol.PlaneJob, known bool, err error) {
	g, err := get[SourceGroup](j.ctx, j.tx, `SELECT * FROM source_groups WHERE id = $1`, f.Group)
	if errors.Is(err, ErrNotFound) { // its host had not heard that the group was removed
		g.Host, err = get[topics.HostID](j.ctx, j.tx, `SELECT host FROM removed WHERE kind = 'group' AND id = $1`, f.Group)
	}
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
	case errors.Is(err, ErrNotFound): // the schedule was deleted; its earlier jobs stay
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
	if p, known, err = j.Job(f.Job); err == nil {
		err = j.Served(p, f.Also, at)
	}
	return p, known, err
}

// Served implements protocol.PlaneTx.
func (j journal) Served(p protocol.PlaneJob, also []topics.Slot, at int64) error {
	if j.s.fired == nil || len(also) == 0 {
		return nil
	}
	job, err := get[Job](j.ctx, j.tx, `SELECT * FROM jobs WHERE id = $1`, p.ID)
	for _, s := range also {
		job.Schedule, job.Slot = s.Schedule, s.At
		if err == nil {
			err = j.s.fired(Slots{j.ctx, j.s, j.tx}, job)
		}
	}
	return err
}

func passed(f topics.Fired) string {
	return fmt.Sprintf("the slot of %s stands for %d before it", time.UnixMilli(f.Slot.At).UTC().Format(time.RFC3339), f.Passed)
}

// A HostBehind is a host that has another config in force than the one of this
// revision.
type HostBehind struct {
	ID       topics.HostID `db:"id"`
	Revision int64         `db:"config_revision"`
}

// Behind lists the hosts that run schedules themselves and have an outdated config in
// force. It reads only an index, because most of them may be offline.
func (s *Store) Behind(ctx context.Context) ([]HostBehind, error) {
	return all[HostBehind](ctx, s.r, `SELECT id, config_revision FROM hosts WHERE config_applied >= 0
		AND config_applied <> config_revision AND removed_at = 0 ORDER BY id`)
}
