-- +goose Up
-- A job that is held is on record and not to be sent yet: what it is to do is
-- still being worked out.
ALTER TABLE jobs ADD COLUMN held BIGINT NOT NULL DEFAULT 0;

-- When each repository is looked after. No row is the usual hour.
CREATE TABLE maintenance_duties (
    repository      TEXT   NOT NULL REFERENCES repositories (id),
    kind            TEXT   NOT NULL,
    paused          BIGINT NOT NULL,
    weekday         BIGINT NOT NULL,
    minute          BIGINT NOT NULL,
    slices          BIGINT NOT NULL,
    slice           BIGINT NOT NULL DEFAULT 0,
    served          BIGINT NOT NULL,
    attempt         BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (repository, kind)
);

-- Each time it was: a run has the ID of the job that is its outcome.
CREATE TABLE maintenance_runs (
    id           TEXT PRIMARY KEY,
    repository   TEXT   NOT NULL REFERENCES repositories (id),
    kind         TEXT   NOT NULL,
    host         TEXT   NOT NULL,
    requested_by TEXT   NOT NULL,
    slot         BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    ended_at     BIGINT NOT NULL DEFAULT 0,
    listing      TEXT   NOT NULL DEFAULT '',
    keys         TEXT   NOT NULL DEFAULT '',
    approved     TEXT   NOT NULL DEFAULT '',
    plan         TEXT   NOT NULL DEFAULT '',
    job          TEXT   NOT NULL DEFAULT '',
    batch        BIGINT NOT NULL DEFAULT 0,
    removed      BIGINT NOT NULL DEFAULT 0,
    outcome      TEXT   NOT NULL DEFAULT '',
    message      TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX maintenance_runs_open ON maintenance_runs (ended_at, repository);
CREATE INDEX maintenance_runs_of ON maintenance_runs (repository, kind, created_at);

-- A plan that a person has to see first.
CREATE TABLE maintenance_reviews (
    repository  TEXT PRIMARY KEY REFERENCES repositories (id),
    hash        TEXT   NOT NULL,
    plan        TEXT   NOT NULL,
    held_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    approved_by TEXT   NOT NULL DEFAULT '',
    approved_at BIGINT NOT NULL DEFAULT 0
);

-- +goose Down
SELECT 1;
