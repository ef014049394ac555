-- +goose Up
-- Keys that let many hosts enrol. Only the hash of each is kept.
CREATE TABLE enroll_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    key_hash     BYTEA   NOT NULL UNIQUE,
    name         TEXT    NOT NULL,
    created_by   TEXT    NOT NULL,
    created_at   BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL,
    uses         BIGINT  NOT NULL,   -- how many hosts it lets in
    used         BIGINT  NOT NULL DEFAULT 0,
    used_at      BIGINT  NOT NULL DEFAULT 0,
    tags         TEXT    NOT NULL,   -- that its hosts get
    policy       TEXT    NOT NULL,   -- the widest that it accepts
    approve      BOOLEAN NOT NULL,   -- each host waits until somebody approves it
    drill        BOOLEAN NOT NULL,   -- each host is to prove that it can be restored
    withdrawn_at BIGINT  NOT NULL DEFAULT 0
);

-- Hosts that wait for somebody to approve them; until then they are not trusted.
CREATE TABLE enroll_held (
    host    TEXT   NOT NULL PRIMARY KEY,
    key     TEXT   NOT NULL,
    held_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE enroll_held;
DROP TABLE enroll_keys;
