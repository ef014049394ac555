-- +goose Up
-- How agents of the fleet are updated to a version: a few first, then more.
CREATE TABLE rollouts (
    id           TEXT    NOT NULL PRIMARY KEY,
    number       BIGINT  NOT NULL,              -- of the release's manifest
    version      TEXT    NOT NULL,
    host         TEXT    NOT NULL,              -- that it is about alone; '' is several
    tag          TEXT    NOT NULL,              -- of its hosts; '' is every host
    window_from  BIGINT  NOT NULL,              -- hours in which updates begin, as minutes of the day; both alike is at any time
    window_until BIGINT  NOT NULL,
    zone         TEXT    NOT NULL,              -- in which these are read
    at_once      BIGINT  NOT NULL,              -- how many hosts are updated together
    automatic    BOOLEAN NOT NULL,              -- nobody asked for this one
    began_by     TEXT    NOT NULL,
    began_at     BIGINT  NOT NULL,
    wave         BIGINT  NOT NULL DEFAULT 1,    -- one host, a tenth, the rest
    ended_at     BIGINT  NOT NULL DEFAULT 0,
    outcome      TEXT    NOT NULL DEFAULT '',   -- done, stopped, failed, superseded
    ended_by     TEXT    NOT NULL DEFAULT '',
    why          TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX rollouts_by_ended_at ON rollouts (ended_at);

-- The hosts that a rollout has begun with.
CREATE TABLE rollout_hosts (
    rollout  TEXT   NOT NULL,
    host     TEXT   NOT NULL,
    wave     BIGINT NOT NULL,
    job      TEXT   NOT NULL DEFAULT '',        -- '' while it is being asked for
    state    TEXT   NOT NULL,                   -- updating, updated, failed, cannot, cancelled, later
    why      TEXT   NOT NULL DEFAULT '',
    began_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (rollout, host)
);
CREATE INDEX rollout_hosts_by_host ON rollout_hosts (host);
CREATE INDEX rollout_hosts_updating ON rollout_hosts (rollout) WHERE state = 'updating';

-- Whether a newer version is rolled out without being asked for, and how. One row at most.
CREATE TABLE update_settings (
    one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    automatic    BOOLEAN NOT NULL,
    since        BIGINT  NOT NULL,              -- when that was set
    tag          TEXT    NOT NULL,
    window_from  BIGINT  NOT NULL,
    window_until BIGINT  NOT NULL,
    zone         TEXT    NOT NULL,
    at_once      BIGINT  NOT NULL
);

-- +goose Down
DROP TABLE update_settings;
DROP TABLE rollout_hosts;
DROP TABLE rollouts;
