-- +goose Up
-- What is said to brokers, as it stands: one row for each retained topic, written before it
-- is sent. An empty payload is one that is to be cleared; the row goes when that was said
-- everywhere, or long after.
CREATE TABLE outbox_retained (
    outlet  TEXT   NOT NULL,    -- public, uplink, or '' for both
    topic   TEXT   NOT NULL,    -- below the outlet's root; with a leading / as it is
    payload TEXT   NOT NULL,
    n       BIGINT NOT NULL,    -- rises with each change of any row
    at      BIGINT NOT NULL,
    PRIMARY KEY (outlet, topic)
);
CREATE INDEX outbox_retained_by_n ON outbox_retained (n);

-- What is said once, and not retained: how a job ended. A row goes when it was sent.
CREATE TABLE outbox_once (
    n       INTEGER PRIMARY KEY AUTOINCREMENT,
    outlet  TEXT   NOT NULL,
    topic   TEXT   NOT NULL,
    payload TEXT   NOT NULL,
    at      BIGINT NOT NULL
);

-- +goose Down
DROP TABLE outbox_once;
DROP TABLE outbox_retained;
