package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/joblog"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// A Past is a job that ended in the past, with its snapshot.
type Past struct {
	Job      Job // complete, as it ended
	Lines    []topics.Line
	Snapshot *topics.Snapshot // made by a backup, nil for none
	GoneAt   int64            // when retention removed the snapshot; 0 while it exists
	Slots    []slotlog.Row    // what became of its slots
}

// AddPast writes jobs of the past, oldest first, and updates their hosts and
// repositories accordingly. Only the demo uses it: it notifies nobody, adds no audit
// entries, which cannot be backdated, and schedules owe nothing for it.
func (s *Store) AddPast(ctx context.Context, past []Past, days []Day) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		j, listed := newJournal(ctx, s, tx), s.Now()
		hosts := map[topics.HostID]Job{}
		for _, p := range past {
			if err := j.addPast(p, listed); err != nil {
				return fmt.Errorf("job %s: %w", p.Job.ID, err)
			}
			if last := hosts[p.Job.Host]; p.Job.FinishedAt >= last.FinishedAt {
				hosts[p.Job.Host] = p.Job
			}
		}
		if err := j.pastLooks(past); err != nil {
			return err
		}
		for host, last := range hosts {
			if _, err := tx.ExecContext(ctx, `UPDATE hosts SET last_job = $1, last_state = $2, last_ended_at = $3
				WHERE id = $4 AND last_ended_at < $3`, last.ID, last.State, last.FinishedAt, host); err != nil {
				return err
			}
		}
		for _, d := range days {
			if _, err := tx.NamedExecContext(ctx, `INSERT INTO repository_days
				(repository, day, snapshots, restore_bytes, stored_bytes, plain_bytes)
				VALUES (:repository, :day, :snapshots, :restore_bytes, :stored_bytes, :plain_bytes)
				ON CONFLICT (repository, day) DO NOTHING`, d); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE repositories
				SET measured_at = $1, listed_at = $2, restore_bytes = $3, stored_bytes = $4, plain_bytes = $5
				WHERE id = $6 AND measured_at < $1`, d.Day*dayMillis, listed, d.RestoreBytes, d.StoredBytes, d.PlainBytes, d.Repository); err != nil {
				return err
			}
		}
		return nil
	})
}

// pastLooks notes what the jobs found of their repositories: of each host, and each
// kind and way in which a job of its ended, the last.
func (j journal) pastLooks(past []Past) error {
	type way struct {
		repository topics.RepositoryID
		host       topics.HostID
		kind       topics.JobKind
		state      topics.JobState
		cause      topics.Cause
	}
	last := map[way]int{}
	of := func(job Job) way { return way{job.Repository, job.Host, job.Kind, job.State, job.Cause} }
	for i, p := range past {
		last[of(p.Job)] = i
	}
	for i, p := range past {
		if last[of(p.Job)] != i {
			continue
		}
		if err := looks.Note(j.ctx, j.tx, endOf(p.Job, true), p.Job.FinishedAt, j.s.Now()); err != nil {
			return err
		}
	}
	return nil
}

// addPast writes one job and the rows that depend on it alone. What is not gone was
// seen by the listing at a moment.
func (j journal) addPast(p Past, listed int64) error {
	job := p.Job
	if !job.State.Ended() || job.FinishedAt == 0 {
		return fmt.Errorf("a job that is %s is no past", job.State)
	}
	if p.Snapshot != nil {
		job.SnapshotID = p.Snapshot.ID
	}
	job.Accepted, job.Lines = job.StartedAt > 0, len(p.Lines)
	if _, err := j.tx.NamedExecContext(j.ctx, `INSERT INTO jobs (id, host, kind, source_group, repository, operation, state, requested_by,
			queued_at, started_at, finished_at, not_after, accepted, attempts, lines, restic_version, cause, message,
			exit_code, snapshot_id, summary, result, schedule, slot, fired, heard_at, log_dropped_at)
		VALUES (:id, :host, :kind, :source_group, :repository, :operation, :state, :requested_by,
			:queued_at, :started_at, :finished_at, :not_after, :accepted, :attempts, :lines, :restic_version, :cause, :message,
			:exit_code, :snapshot_id, :summary, :result, :schedule, :slot, :fired, :heard_at, :log_dropped_at)`, job); err != nil {
		return err
	}
	if _, err := joblog.Add(j.ctx, j.q, job.ID, 1, p.Lines); err != nil {
		return err
	}
	for _, r := range p.Slots {
		if err := slotlog.Put(j.ctx, j.tx, r); err != nil {
			return err
		}
	}
	if p.Snapshot != nil {
		if err := snapshots.Add(j.ctx, j.tx, job.Repository, made(job), *p.Snapshot, job.FinishedAt); err != nil {
			return err
		}
		seen := p.GoneAt
		if seen == 0 {
			seen = listed
		}
		if _, err := j.tx.ExecContext(j.ctx, `UPDATE snapshots SET gone_at = $1, seen_at = $2,
				named_by = CASE WHEN $1 > 0 THEN 'retention' ELSE '' END WHERE repository = $3 AND id = $4`,
			p.GoneAt, seen, job.Repository, p.Snapshot.ID); err != nil {
			return err
		}
	}
	if job.State != topics.Succeeded {
		return nil
	}
	column := map[topics.JobKind]string{topics.ForgetJob: "forgot_at", topics.PruneJob: "pruned_at", topics.CheckJob: "checked_at"}[job.Kind]
	if column != "" {
		_, err := j.tx.ExecContext(j.ctx, `UPDATE repositories SET `+column+` = $1 WHERE id = $2 AND `+column+` < $1`,
			job.FinishedAt, job.Repository)
		return err
	}
	if job.Kind != topics.BackupJob && job.Kind != topics.InitJob {
		return nil
	}
	return places.Found(j.ctx, j.tx, job.Repository, job.Host, "", job.FinishedAt)
}

// Since is since when a host exists, in Unix milliseconds.
type Since struct {
	Created int64 // it and its schedules
	Served  int64 // the latest slot of its schedules that was served
	Seen    int64 // when it was heard of last; 0 is never
	Ended   bool  // its last session ended then
}

// Backdate sets since when a host and its schedules exist, and that it took its plan. Like [Store.AddPast] it is for
// the demo; a running control plane does not notice when the host was heard of.
func (s *Store) Backdate(ctx context.Context, host topics.HostID, since Since) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE schedules SET created_at = $1, since = $1, last_slot = $2 WHERE host = $3`,
			since.Created, since.Served, host); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE schedule_groups SET settled = $1, fired = $1, joined_at = $3
			WHERE schedule IN (SELECT id FROM schedules WHERE host = $2)`, since.Served, host, since.Created); err != nil {
			return err
		}
		err := change(ctx, tx, `UPDATE hosts SET created_at = $1, last_seen = $2, config_applied = config_revision WHERE id = $3`,
			since.Created, since.Seen, host)
		if err != nil || !since.Ended {
			return err
		}
		return change(ctx, tx, `UPDATE hosts SET birth_epoch = 1, birth_n = 1, death_epoch = 1, death_n = 1 WHERE id = $1`,
			host)
	})
}
