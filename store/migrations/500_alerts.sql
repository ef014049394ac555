-- +goose Up
-- What somebody should be told of: one row for a condition and its subject, from when it
-- began until it is over.
CREATE TABLE alerts (
    id            TEXT   NOT NULL PRIMARY KEY,
    condition     TEXT   NOT NULL,           -- its name, see docs/ALERTS.md
    on_kind       TEXT   NOT NULL,           -- what it is about: host, group, repository, channel or plane
    subject       TEXT   NOT NULL,           -- its ID; '' for the control plane
    host          TEXT   NOT NULL,           -- the host it concerns; '' for none
    repository    TEXT   NOT NULL,           -- the repository it concerns; '' for none
    job           TEXT   NOT NULL,           -- the job that proves it; '' for none
    severity      TEXT   NOT NULL,           -- info, warning or critical
    opened_at     BIGINT NOT NULL,           -- when it was opened first
    since         BIGINT NOT NULL,           -- since when the condition holds, as far as that is known; 0 is not known
    seen_at       BIGINT NOT NULL,           -- when it was last found to hold
    count         BIGINT NOT NULL,           -- how often it began, 1 at first
    began_at      BIGINT NOT NULL,           -- when it began last
    quiet_at      BIGINT NOT NULL,           -- since when an alert that flaps does not hold; 0 if it does
    acked_at      BIGINT NOT NULL,           -- 0 is not
    acked_by      TEXT   NOT NULL,
    snoozed_until BIGINT NOT NULL,           -- 0 is not
    snoozed_by    TEXT   NOT NULL,
    ended_at      BIGINT NOT NULL,           -- 0 is not
    ended_by      TEXT   NOT NULL,           -- 'plane' if the condition was over
    ended_why     TEXT   NOT NULL,
    changed       BIGINT NOT NULL,           -- rises with every change of any row: who shows alerts asks what is newer
    body          TEXT   NOT NULL            -- the words
);
CREATE UNIQUE INDEX alerts_one ON alerts (condition, on_kind, subject) WHERE ended_at = 0;
CREATE INDEX alerts_ended ON alerts (ended_at, id);
CREATE INDEX alerts_changed ON alerts (changed);
CREATE INDEX alerts_of_host ON alerts (host, ended_at);
CREATE INDEX alerts_of_repository ON alerts (repository, ended_at);
CREATE INDEX alerts_latest ON alerts (condition, on_kind, subject, ended_at);

-- Times in which nobody is told: of a host, of hosts with a tag, of everything.
CREATE TABLE alert_pauses (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,              -- all, tag or host
    subject    TEXT   NOT NULL,              -- the tag or the host's ID; '' for all
    reason     TEXT   NOT NULL,
    from_at    BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT   NOT NULL
);

-- What people set as a whole: thresholds, rules, heartbeats, the public address.
CREATE TABLE alert_settings (
    name       TEXT   NOT NULL PRIMARY KEY,
    version    BIGINT NOT NULL,              -- counts its changes
    body       TEXT   NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT   NOT NULL
);

-- Where people are told.
CREATE TABLE channels (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL UNIQUE,
    kind          TEXT   NOT NULL,
    settings      TEXT   NOT NULL,           -- fields that are no secret, as JSON
    secrets       BLOB   NOT NULL,           -- the others, sealed
    enabled       BIGINT NOT NULL,
    version       BIGINT NOT NULL,           -- counts its changes
    created_at    BIGINT NOT NULL,
    created_by    TEXT   NOT NULL,
    failing_since BIGINT NOT NULL,           -- 0 if the last try went well, or there was none
    last_ok_at    BIGINT NOT NULL,           -- 0 is never
    last_at       BIGINT NOT NULL,           -- of the last try
    last_answer   TEXT   NOT NULL            -- of the other side, at the last try
);

-- What a channel is to hear of an alert, until it is gathered into a message.
CREATE TABLE channel_notes (
    id      TEXT   NOT NULL PRIMARY KEY,     -- rises
    channel TEXT   NOT NULL,
    alert   TEXT   NOT NULL,                 -- '' for a digest
    event   TEXT   NOT NULL,                 -- opened, reminded, recovered or digest
    at      BIGINT NOT NULL,
    due_at  BIGINT NOT NULL                  -- not before; an alert that is over by then is not told
);
CREATE INDEX channel_notes_due ON channel_notes (due_at);
CREATE INDEX channel_notes_of_alert ON channel_notes (alert);

-- Messages that go out, in the order of their IDs for each channel.
CREATE TABLE channel_messages (
    id         TEXT   NOT NULL PRIMARY KEY,  -- rises
    channel    TEXT   NOT NULL,
    event      TEXT   NOT NULL,              -- opened, reminded, recovered, digest or test
    state      TEXT   NOT NULL,              -- waiting, sent or given-up
    created_at BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,              -- of the next try
    tries      BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    answer     TEXT   NOT NULL,              -- of the last try
    alerts     TEXT   NOT NULL,              -- the IDs it names, as JSON
    body       TEXT   NOT NULL               -- all that is said
);
CREATE INDEX channel_messages_waiting ON channel_messages (state, channel, id);
CREATE INDEX channel_messages_of ON channel_messages (channel, id);
CREATE TABLE channel_tries (
    message TEXT   NOT NULL,
    n       BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    ok      BIGINT NOT NULL,
    answer  TEXT   NOT NULL,
    PRIMARY KEY (message, n)
);

-- +goose Down
DROP TABLE channel_tries;
DROP TABLE channel_messages;
DROP TABLE channel_notes;
DROP TABLE channels;
DROP TABLE alert_settings;
DROP TABLE alert_pauses;
DROP TABLE alerts;
