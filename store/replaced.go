package store

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
)

// Replacement returns a host's replacement, the open one or else the last, with its source
// groups; ErrNotFound if it never had one.
func (s *Store) Replacement(ctx context.Context, host topics.HostID) (r replacing.Replacement, groups []replacing.Group, err error) {
	if r, err = get[replacing.Replacement](ctx, s.r, replacing.ByHost, host); err == nil {
		groups, err = all[replacing.Group](ctx, s.r, replacing.GroupsOf, r.ID)
	}
	return r, groups, err
}

// Replacements lists every replacement that has not ended, the oldest first.
func (s *Store) Replacements(ctx context.Context) ([]replacing.Replacement, error) {
	return all[replacing.Replacement](ctx, s.r, replacing.AllOpen)
}

// BeginReplacement notes that a host's machine is to be replaced, or returns the replacement
// that is open.
func (s *Store) BeginReplacement(ctx context.Context, actor string, id string, host topics.HostID) (r replacing.Replacement, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		h, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, host)
		if err != nil {
			return err
		}
		old := replacing.Machine{Hostname: h.Hostname, OS: h.OS, Arch: h.Arch, Platform: h.Platform, Agent: h.AgentVersion,
			Restic: h.ResticVersion, Policy: h.Policy, Permits: h.Permits.V, LastSeen: h.LastSeen}
		var fresh bool
		if r, fresh, err = replacing.Begin(ctx, tx, replacing.Replacement{ID: id, Host: host, BegunAt: s.Now(), BegunBy: actor,
			Machine: JSON[replacing.Machine]{V: &old}}); err != nil || !fresh {
			return err
		}
		return s.audit(ctx, tx, actor, "host.replacement_begun", string(host), h.Name)
	})
	return r, err
}

// CallOffReplacement ends a replacement before the new machine came, and the tokens made for
// the host.
func (s *Store) CallOffReplacement(ctx context.Context, actor string, host topics.HostID) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		h, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, host)
		if err != nil {
			return err
		}
		if err := replacing.CallOff(ctx, tx, host, actor, s.Now()); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "host.replacement_called_off", string(host), h.Name)
	})
}

// DecideReplacement writes down what was decided of some source groups, of all that wait
// with none named. Schedules that the replacement paused go on when nothing they back up
// waits any more.
func (s *Store) DecideReplacement(ctx context.Context, actor string, host topics.HostID, groups []topics.SourceGroupID,
	decision, said string,
) (over bool, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		var n int
		if n, over, err = replacing.Decide(ctx, tx, host, groups, decision, actor, s.Now()); err != nil || n == 0 && !over {
			return err
		}
		ids, err := replacing.GoOn(ctx, tx, host)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.switchSchedule(ctx, tx, actor, id, true, "its host's replacement is decided"); err != nil {
				return err
			}
		}
		return s.audit(ctx, tx, actor, "host.replacement_decided", string(host), said)
	})
	return over, err
}

// switchSchedule enables or pauses a schedule, if it is there and not so already.
func (s *Store) switchSchedule(ctx context.Context, tx *sqlx.Tx, actor string, id ScheduleID, enabled bool, why string) error {
	was, err := get[Schedule](ctx, tx, `SELECT * FROM schedules WHERE id = $1`, id)
	if err != nil || was.Enabled == enabled {
		return ignoreMissing(err)
	}
	row := was
	row.Enabled = enabled
	row.Replan(was, s.Now())
	if _, err := tx.NamedExecContext(ctx, `UPDATE schedules SET enabled = :enabled, since = :since, paused_at = :paused_at,
		paused_until = :paused_until, paused_from = :paused_from, earlier = :earlier WHERE id = :id`, row); err != nil {
		return err
	}
	action := "schedule.saved"
	if enabled {
		action = "schedule.resumed"
	}
	return s.audit(ctx, tx, actor, action, string(id), row.Name+": "+why)
}

// replaced carries out that another machine has enrolled as a host whose replacement is
// open: its schedules are paused, and jobs in the old machine's hands end.
func (s *Store) replaced(ctx context.Context, tx *sqlx.Tx, actor string, host topics.HostID) error {
	r, err := replacing.Open(ctx, tx, host)
	if errors.Is(err, replacing.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := replacing.Enrolled(ctx, tx, r, s.Now()); err != nil {
		return err
	}
	schedules, err := all[ScheduleID](ctx, tx, `SELECT id FROM schedules WHERE host = $1 AND enabled <> 0 ORDER BY id`, host)
	for _, id := range schedules {
		if err == nil {
			err = errors.Join(replacing.Paused(ctx, tx, r, id),
				s.switchSchedule(ctx, tx, actor, id, false, "paused, as its host's machine was replaced"))
		}
	}
	if err != nil {
		return err
	}
	// The running control plane finds the effects in the rows.
	_, err = protocol.PlaneStep(protocol.DefaultTiming(), newJournal(ctx, s, tx), protocol.HostReplaced{Host: host, Now: s.Now()})
	return errors.Join(err, s.keepReplaced(ctx, tx, actor))
}

// keepReplaced cancels forgets that were asked for before a machine was replaced, and would
// remove what stays until that is decided.
func (s *Store) keepReplaced(ctx context.Context, tx *sqlx.Tx, actor string) error {
	open, err := all[Job](ctx, tx, `SELECT * FROM jobs WHERE finished_at = 0 AND held = 0 AND kind = 'forget' ORDER BY queued_at, id`)
	for _, j := range open {
		if err != nil {
			break
		}
		if j.Operation.V == nil {
			continue
		}
		kept := replacing.Keeps(ctx, tx, j.Repository, j.Operation.V.Snapshots)
		if !errors.As(kept, new(*replacing.HeldError)) {
			err = kept
			continue
		}
		if err = change(ctx, tx, `UPDATE jobs SET cancelled_by = $1 WHERE id = $2`, actor, j.ID); err != nil {
			break
		}
		if _, err = protocol.PlaneStep(protocol.DefaultTiming(), newJournal(ctx, s, tx), protocol.CancelAsked{Job: j.ID,
			By: actor + ", who replaced a machine whose snapshots it removes,", Now: s.Now()}); err != nil {
			break
		}
		err = s.audit(ctx, tx, actor, "job.cancel_asked", string(j.ID), "a machine was replaced")
	}
	return err
}
