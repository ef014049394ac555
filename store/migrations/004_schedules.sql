-- +goose Up
-- When backups are due, what is owed, and which job answers which slot.
CREATE TABLE schedules (
    id             TEXT PRIMARY KEY,
    host           TEXT   NOT NULL REFERENCES hosts (id),
    name           TEXT   NOT NULL,
    cron           TEXT   NOT NULL,
    zone           TEXT   NOT NULL,
    jitter_seconds BIGINT NOT NULL,
    enabled        BIGINT NOT NULL,
    retry_max      BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    since          BIGINT NOT NULL,
    last_slot      BIGINT NOT NULL DEFAULT 0,
    UNIQUE (host, name)
);

-- A source group may be removed before the schedules that name it, so it is not
-- a reference: whoever runs a slot looks for the group.
CREATE TABLE schedule_groups (
    schedule     TEXT   NOT NULL REFERENCES schedules (id),
    source_group TEXT   NOT NULL,
    settled      BIGINT NOT NULL DEFAULT 0,
    job          TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (schedule, source_group)
);
CREATE INDEX schedule_groups_by_group ON schedule_groups (source_group);

-- A pending run outlives its schedule until somebody looks: then it is abandoned.
CREATE TABLE pending_runs (
    schedule        TEXT PRIMARY KEY,
    host            TEXT   NOT NULL REFERENCES hosts (id),
    slot            BIGINT NOT NULL,
    attempt         BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    reason          TEXT   NOT NULL,
    created_at      BIGINT NOT NULL
);

ALTER TABLE jobs ADD COLUMN schedule TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN slot BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN attempt BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX jobs_slot ON jobs (schedule, source_group, slot, attempt) WHERE schedule <> '';

-- +goose Down
SELECT 1;
