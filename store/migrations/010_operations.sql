-- +goose Up
-- Jobs of every kind: only a backup has a source group. The table is made anew,
-- because a reference cannot be taken off a column everywhere.
CREATE TABLE jobs_next (
    id             TEXT PRIMARY KEY,
    host           TEXT   NOT NULL REFERENCES hosts (id),
    kind           TEXT   NOT NULL,
    source_group   TEXT   NOT NULL,
    repository     TEXT   NOT NULL REFERENCES repositories (id),
    state          TEXT   NOT NULL,
    requested_by   TEXT   NOT NULL,
    queued_at      BIGINT NOT NULL,
    started_at     BIGINT NOT NULL DEFAULT 0,
    finished_at    BIGINT NOT NULL DEFAULT 0,
    not_after      BIGINT NOT NULL,
    accepted       BIGINT NOT NULL DEFAULT 0,
    cancel_asked   BIGINT NOT NULL DEFAULT 0,
    cancelled_by   TEXT   NOT NULL DEFAULT '',
    attempts       BIGINT NOT NULL DEFAULT 0,
    next_send      BIGINT NOT NULL DEFAULT 0,
    lines          BIGINT NOT NULL DEFAULT 0,
    restic_version TEXT   NOT NULL DEFAULT '',
    cause          TEXT   NOT NULL DEFAULT '',
    message        TEXT   NOT NULL DEFAULT '',
    exit_code      BIGINT,
    snapshot_id    TEXT   NOT NULL DEFAULT '',
    summary        TEXT   NOT NULL DEFAULT '',
    log_bytes      BIGINT NOT NULL DEFAULT 0,
    log_dropped_at BIGINT NOT NULL DEFAULT 0,
    schedule       TEXT   NOT NULL DEFAULT '',
    slot           BIGINT NOT NULL DEFAULT 0,
    attempt        BIGINT NOT NULL DEFAULT 0,
    operation      TEXT   NOT NULL DEFAULT '',
    result         TEXT   NOT NULL DEFAULT ''
);
INSERT INTO jobs_next (id, host, kind, source_group, repository, state, requested_by, queued_at, started_at, finished_at, not_after, accepted,
    cancel_asked, cancelled_by, attempts, next_send, lines, restic_version, cause, message, exit_code, snapshot_id, summary, log_bytes,
    log_dropped_at, schedule, slot, attempt)
SELECT id, host, kind, source_group, repository, state, requested_by, queued_at, started_at, finished_at, not_after, accepted,
    cancel_asked, cancelled_by, attempts, next_send, lines, restic_version, cause, message, exit_code, snapshot_id, summary, log_bytes,
    log_dropped_at, schedule, slot, attempt FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_next RENAME TO jobs;
CREATE INDEX jobs_of_host ON jobs (host, queued_at);
CREATE INDEX jobs_by_time ON jobs (queued_at);
CREATE INDEX jobs_open ON jobs (finished_at, queued_at);
CREATE INDEX jobs_ended ON jobs (host, finished_at);
CREATE INDEX jobs_counted ON jobs (finished_at, state, kind);
CREATE INDEX jobs_of_repository ON jobs (repository, queued_at);
CREATE UNIQUE INDEX jobs_slot ON jobs (schedule, source_group, slot, attempt) WHERE schedule <> '';

-- What jobs found out, in the parts it came in.
CREATE TABLE job_reports (
    job  TEXT   NOT NULL,
    part BIGINT NOT NULL,
    body TEXT   NOT NULL,
    PRIMARY KEY (job, part)
);

-- +goose Down
SELECT 1;
