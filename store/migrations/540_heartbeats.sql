-- +goose Up
-- Addresses elsewhere that are told, again and again, that all is well, so that silence is
-- noticed there: of the control plane itself, and of the backups of a host, of the hosts with
-- a tag, or of a schedule.
CREATE TABLE heartbeats (
    id            TEXT   NOT NULL PRIMARY KEY,
    scope         TEXT   NOT NULL,           -- plane, host, tag or schedule
    subject       TEXT   NOT NULL,           -- the host's or the schedule's ID, the tag; '' for the plane
    kind          TEXT   NOT NULL,           -- whose service it is; '' is found from the address
    url           BLOB   NOT NULL,           -- sealed: whoever knows it can say that all is well
    every_seconds BIGINT NOT NULL,           -- of the plane's
    version       BIGINT NOT NULL,           -- counts its changes
    changed_at    BIGINT NOT NULL,
    changed_by    TEXT   NOT NULL,
    last_at       BIGINT NOT NULL,           -- of the last try; 0 is never
    last_ok_at    BIGINT NOT NULL,           -- of the last that went well; 0 is never
    last_answer   TEXT   NOT NULL,           -- of the other side, at the last try
    failing_since BIGINT NOT NULL,           -- 0 if the last try went well, or there was none
    failures      BIGINT NOT NULL,           -- tries in a row that failed
    UNIQUE (scope, subject)
);

-- What is still to be said of backups, in the order of their IDs for each address.
CREATE TABLE heartbeat_pings (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    heartbeat TEXT   NOT NULL,
    event     TEXT   NOT NULL,               -- start, success or fail
    job       TEXT   NOT NULL,               -- of which it is said
    at        BIGINT NOT NULL,
    tries     BIGINT NOT NULL,
    next_at   BIGINT NOT NULL
);
CREATE INDEX heartbeat_pings_of ON heartbeat_pings (heartbeat, id);

-- +goose Down
DROP TABLE heartbeat_pings;
DROP TABLE heartbeats;
