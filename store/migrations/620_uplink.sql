-- +goose Up
-- A broker of the user's own to which everything public is published, too: one row, 'uplink'.
CREATE TABLE uplink (
    id          TEXT    NOT NULL PRIMARY KEY,
    url         TEXT    NOT NULL,           -- without user and password; '' is none
    account     TEXT    NOT NULL,           -- the user's name there
    secrets     BLOB    NOT NULL,           -- sealed: password, and the key of the client certificate
    ca          TEXT    NOT NULL,           -- PEM; '' is what the system trusts
    certificate TEXT    NOT NULL,           -- PEM, of the client
    insecure    BOOLEAN NOT NULL,           -- in clear beyond this machine
    prefix      TEXT    NOT NULL,           -- of Home Assistant's discovery there; '' is the usual
    root        TEXT    NOT NULL,           -- of our topics there
    commands    TEXT    NOT NULL,           -- off, external or by-consumer
    tested      TEXT    NOT NULL,           -- for what a test showed that consumers cannot write for one another
    version     BIGINT  NOT NULL,           -- counts its changes
    changed_at  BIGINT  NOT NULL,
    changed_by  TEXT    NOT NULL
);

-- Brokers at which something retained of ours is, or may be: the present one, and those that
-- were left and are still to be cleared.
CREATE TABLE uplink_places (
    id          TEXT    NOT NULL PRIMARY KEY,
    address     TEXT    NOT NULL UNIQUE,    -- host and port, and the path of a WebSocket
    url         TEXT    NOT NULL,           -- how it was last reached
    account     TEXT    NOT NULL,
    secrets     BLOB    NOT NULL,           -- sealed, as above
    ca          TEXT    NOT NULL,
    certificate TEXT    NOT NULL,
    left_at     BIGINT  NOT NULL,           -- 0 is the present one
    tried_at    BIGINT  NOT NULL,           -- when it was last tried to clear it; 0 is never
    said        TEXT    NOT NULL            -- why that failed
);

-- What is retained there, by full names: written before it is sent, removed when the broker
-- confirmed that it is cleared.
CREATE TABLE uplink_topics (
    place TEXT NOT NULL,
    topic TEXT NOT NULL,
    PRIMARY KEY (place, topic)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE uplink_topics;
DROP TABLE uplink_places;
DROP TABLE uplink;
