-- +goose Up
-- What pages and sweeps count is kept, so that nobody has to count it: triggers
-- add to these rows in the transaction of the change, see tally.go. What there is
-- already is counted here, once.

-- Ended jobs by the hour in which they ended, counted since 1970; -1 is all hours.
CREATE TABLE job_tallies (
    hour  BIGINT NOT NULL,
    state TEXT   NOT NULL,
    kind  TEXT   NOT NULL,
    jobs  BIGINT NOT NULL,
    PRIMARY KEY (hour, state, kind)
);
INSERT INTO job_tallies (hour, state, kind, jobs)
SELECT finished_at / 3600000, state, kind, count(*) FROM jobs WHERE finished_at > 0 GROUP BY finished_at / 3600000, state, kind;
INSERT INTO job_tallies (hour, state, kind, jobs)
SELECT -1, state, kind, sum(jobs) FROM job_tallies GROUP BY state, kind;

-- What a repository holds.
CREATE TABLE snapshot_tallies (
    repository TEXT   PRIMARY KEY,
    snapshots  BIGINT NOT NULL,
    foreign_n BIGINT NOT NULL
);
INSERT INTO snapshot_tallies (repository, snapshots, foreign_n)
SELECT repository, count(*), sum(CASE WHEN job = '' THEN 1 ELSE 0 END) FROM snapshots WHERE gone_at = 0 GROUP BY repository;

-- What all logs and reports weigh together, and of how many jobs there are any.
-- One row.
CREATE TABLE log_tally (
    bytes BIGINT NOT NULL,
    jobs  BIGINT NOT NULL
);
INSERT INTO log_tally (bytes, jobs)
SELECT coalesce(sum(log_bytes), 0), coalesce(sum(CASE WHEN log_bytes > 0 THEN 1 ELSE 0 END), 0) FROM jobs;

-- The logs of these jobs are being removed, in small steps.
CREATE TABLE log_removals (job TEXT PRIMARY KEY);

-- Which logs go next, the oldest first.
CREATE INDEX jobs_with_logs ON jobs (finished_at, id) WHERE finished_at > 0 AND log_dropped_at = 0 AND (lines > 0 OR log_bytes > 0);
-- The last backup of a source group.
CREATE INDEX jobs_of_group ON jobs (source_group, id) WHERE source_group <> '';
-- What a host's backups left that is still there.
DROP INDEX snapshots_of_host;
CREATE INDEX snapshots_of_host ON snapshots (host, gone_at, time);
-- Who uses a repository.
CREATE INDEX source_groups_of_repository ON source_groups (repository, host);
-- The control plane asks these every second or so, and mostly nobody answers.
CREATE INDEX hosts_behind ON hosts (id, config_revision) WHERE config_applied >= 0 AND config_applied <> config_revision;
CREATE INDEX hosts_too_old ON hosts (id) WHERE config_applied < 0;
CREATE INDEX repositories_ready ON repositories (ready_at);
CREATE INDEX repositories_keys ON repositories (keys_at);
CREATE INDEX pending_runs_next ON pending_runs (next_attempt_at, schedule);
CREATE INDEX pending_runs_of_host ON pending_runs (host);
CREATE INDEX sessions_by_end ON sessions (expires_at);
-- The list of schedules.
CREATE INDEX schedules_by_name ON schedules (name, host);
-- The list of repositories.
CREATE INDEX repositories_by_name ON repositories (name, id) WHERE removed_at = 0;

-- +goose Down
SELECT 1;
