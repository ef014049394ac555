-- +goose Up
-- One note for what a channel is to hear of an alert, however often it is noted.
DROP INDEX channel_notes_due;
DROP INDEX channel_notes_of_alert;
CREATE UNIQUE INDEX channel_notes_one ON channel_notes (channel, alert, event);
CREATE INDEX channel_notes_of_alert ON channel_notes (alert);

-- The channel's version when a message was tried last: one that was changed since is tried at once.
ALTER TABLE channel_messages ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
CREATE INDEX channel_messages_ended ON channel_messages (ended_at) WHERE ended_at > 0;

-- What a channel knows of an alert.
CREATE TABLE channel_told (
    channel  TEXT   NOT NULL,
    alert    TEXT   NOT NULL,
    state    TEXT   NOT NULL,    -- telling, open, closing, over, swallowed or given-up
    message  TEXT   NOT NULL,    -- that tells it
    told_at  BIGINT NOT NULL,    -- when it was told last that it is open; of one that was given up, when that was
    began_at BIGINT NOT NULL,    -- of the alert, as it was told
    severity TEXT   NOT NULL,    -- as it was told
    instead  TEXT   NOT NULL,    -- of one that was swallowed: the alert that explains it
    version  BIGINT NOT NULL,    -- of one that was given up: the channel's version then
    PRIMARY KEY (channel, alert)
);
CREATE INDEX channel_told_by ON channel_told (message);

-- What came and went while it could not be told, until the next message says how much it was.
CREATE TABLE channel_unsaid (
    channel  TEXT   NOT NULL PRIMARY KEY,
    alerts   BIGINT NOT NULL,    -- that were over before they could be told
    messages BIGINT NOT NULL,    -- that were given up
    since    BIGINT NOT NULL
);

-- Up to which moment each digest was sent.
CREATE TABLE channel_digests (
    channel TEXT   NOT NULL,
    digest  TEXT   NOT NULL,     -- when it comes: see routing.Digest.Key
    slot    BIGINT NOT NULL,
    PRIMARY KEY (channel, digest)
);

-- +goose Down
DROP TABLE channel_digests;
DROP TABLE channel_unsaid;
DROP TABLE channel_told;
DROP INDEX channel_messages_ended;
ALTER TABLE channel_messages DROP COLUMN version;
DROP INDEX channel_notes_of_alert;
DROP INDEX channel_notes_one;
CREATE INDEX channel_notes_due ON channel_notes (due_at);
CREATE INDEX channel_notes_of_alert ON channel_notes (alert);
