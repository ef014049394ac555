-- +goose Up
-- One set of statements for SQLite and PostgreSQL: times are BIGINT Unix
-- milliseconds, keys are made in Go, lists are JSON text.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE hosts (
    id              TEXT PRIMARY KEY,
    name            TEXT   NOT NULL UNIQUE,
    created_at      BIGINT NOT NULL,
    seal_key        BYTEA  NOT NULL,
    serial          TEXT   NOT NULL,
    hostname        TEXT   NOT NULL,
    os              TEXT   NOT NULL,
    arch            TEXT   NOT NULL,
    platform        TEXT   NOT NULL,
    agent_version   TEXT   NOT NULL,
    restic_version  TEXT   NOT NULL,
    policy          TEXT   NOT NULL,
    received_epoch  BIGINT NOT NULL DEFAULT 0,
    received_seq    BIGINT NOT NULL DEFAULT 0,
    birth_epoch     BIGINT NOT NULL DEFAULT 0,
    birth_n         BIGINT NOT NULL DEFAULT 0,
    death_epoch     BIGINT NOT NULL DEFAULT 0,
    death_n         BIGINT NOT NULL DEFAULT 0,
    hello_epoch     BIGINT NOT NULL DEFAULT 0,
    hello_n         BIGINT NOT NULL DEFAULT 0,
    last_seen       BIGINT NOT NULL DEFAULT 0,
    last_job        TEXT   NOT NULL DEFAULT '',
    last_state      TEXT   NOT NULL DEFAULT '',
    last_ended_at   BIGINT NOT NULL DEFAULT 0,
    good_job        TEXT   NOT NULL DEFAULT '',
    good_at         BIGINT NOT NULL DEFAULT 0,
    good_bytes      BIGINT NOT NULL DEFAULT 0,
    good_seconds    BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE enroll_tokens (
    id         TEXT PRIMARY KEY,
    key_hash   BYTEA  NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0,
    host       TEXT   NOT NULL DEFAULT ''
);

CREATE TABLE repositories (
    id         TEXT PRIMARY KEY,
    name       TEXT   NOT NULL UNIQUE,
    url        BYTEA  NOT NULL,
    location   TEXT   NOT NULL,
    password   BYTEA  NOT NULL,
    env        BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    ready_at   BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE source_groups (
    id              TEXT PRIMARY KEY,
    host            TEXT   NOT NULL REFERENCES hosts (id),
    name            TEXT   NOT NULL,
    repository      TEXT   NOT NULL REFERENCES repositories (id),
    paths           TEXT   NOT NULL,
    excludes        TEXT   NOT NULL,
    one_file_system BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    UNIQUE (host, name)
);

CREATE TABLE jobs (
    id             TEXT PRIMARY KEY,
    host           TEXT   NOT NULL REFERENCES hosts (id),
    kind           TEXT   NOT NULL,
    source_group   TEXT   NOT NULL REFERENCES source_groups (id),
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
    summary        TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX jobs_of_host ON jobs (host, queued_at);
CREATE INDEX jobs_by_time ON jobs (queued_at);
CREATE INDEX jobs_open ON jobs (finished_at, queued_at);

CREATE TABLE job_lines (
    job   TEXT   NOT NULL,
    n     BIGINT NOT NULL,
    at    BIGINT NOT NULL,
    level TEXT   NOT NULL,
    text  TEXT   NOT NULL,
    PRIMARY KEY (job, n)
);

CREATE TABLE job_gaps (
    job    TEXT   NOT NULL,
    n      BIGINT NOT NULL,
    last   BIGINT NOT NULL,
    reason TEXT   NOT NULL,
    PRIMARY KEY (job, n)
);

CREATE TABLE snapshots (
    repository TEXT   NOT NULL REFERENCES repositories (id),
    id         TEXT   NOT NULL,
    host       TEXT   NOT NULL,
    job        TEXT   NOT NULL,
    time       BIGINT NOT NULL,
    hostname   TEXT   NOT NULL,
    paths      TEXT   NOT NULL,
    tags       TEXT   NOT NULL,
    files      BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    PRIMARY KEY (repository, id)
);
CREATE INDEX snapshots_of_host ON snapshots (host, time);

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    name          TEXT   NOT NULL UNIQUE,
    role          TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE sessions (
    token      TEXT PRIMARY KEY,
    user_id    TEXT   NOT NULL,
    data       BYTEA  NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE api_tokens (
    id         TEXT PRIMARY KEY,
    name       TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    key_hash   BYTEA  NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE mqtt_users (
    name       TEXT PRIMARY KEY,
    key_hash   BYTEA  NOT NULL,
    may_do     BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE audit (
    n      BIGINT PRIMARY KEY,
    at     BIGINT NOT NULL,
    actor  TEXT   NOT NULL,
    action TEXT   NOT NULL,
    target TEXT   NOT NULL,
    detail TEXT   NOT NULL,
    hash   BYTEA  NOT NULL
);

-- +goose Down
SELECT 1;
