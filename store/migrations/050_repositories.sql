-- +goose Up
-- What is known of a repository besides how to get in: who looks after it, what
-- it keeps, and what jobs last found in it.
ALTER TABLE repositories ADD COLUMN keeper TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN append_only BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN maintenance BYTEA;
ALTER TABLE repositories ADD COLUMN keep TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN listed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN measured_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN restore_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN plain_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN forgot_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN pruned_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN checked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN check_job TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN check_errors BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN locks_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN keys_at BIGINT NOT NULL DEFAULT 0;

-- A snapshot no job of ours made has no job; one that is gone stays, with when.
ALTER TABLE snapshots ADD COLUMN source_group TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN username TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN tree TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN original TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE snapshots ADD COLUMN gone_at BIGINT NOT NULL DEFAULT 0;
UPDATE snapshots SET source_group = coalesce((SELECT j.source_group FROM jobs j WHERE j.id = snapshots.job), '');
CREATE INDEX snapshots_of_repository ON snapshots (repository, gone_at, time);

CREATE TABLE repository_keys (
    repository TEXT   NOT NULL REFERENCES repositories (id),
    id         TEXT   NOT NULL,
    username   TEXT   NOT NULL,
    hostname   TEXT   NOT NULL,
    created    BIGINT NOT NULL,
    first_seen BIGINT NOT NULL,
    trusted    BIGINT NOT NULL,
    PRIMARY KEY (repository, id)
);

CREATE TABLE repository_locks (
    repository TEXT   NOT NULL REFERENCES repositories (id),
    id         TEXT   NOT NULL,
    time       BIGINT NOT NULL,
    exclusive  BIGINT NOT NULL,
    hostname   TEXT   NOT NULL,
    username   TEXT   NOT NULL,
    pid        BIGINT NOT NULL,
    alive      BIGINT,
    job        TEXT   NOT NULL,
    looked_by  TEXT   NOT NULL,
    PRIMARY KEY (repository, id)
);

-- One row a day, for the chart of growth.
CREATE TABLE repository_days (
    repository    TEXT   NOT NULL REFERENCES repositories (id),
    day           BIGINT NOT NULL,
    snapshots     BIGINT NOT NULL,
    restore_bytes BIGINT NOT NULL,
    stored_bytes  BIGINT NOT NULL,
    plain_bytes   BIGINT NOT NULL,
    PRIMARY KEY (repository, day)
);

-- +goose Down
SELECT 1;
