-- +goose Up
-- A machine that is replaced by another one, which becomes the same host: see package
-- replacing. One that has not ended has ended_at 0; enrolled_at is when the new machine
-- came, 0 before.
CREATE TABLE replacements (
    id          TEXT   PRIMARY KEY,
    host        TEXT   NOT NULL REFERENCES hosts (id),
    begun_at    BIGINT NOT NULL,
    begun_by    TEXT   NOT NULL,
    machine     TEXT   NOT NULL DEFAULT '', -- JSON: what the old one said of itself
    enrolled_at BIGINT NOT NULL DEFAULT 0,
    ended_at    BIGINT NOT NULL DEFAULT 0,
    ended_by    TEXT   NOT NULL DEFAULT '',
    called_off  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX replacements_of_host ON replacements (host, begun_at);
CREATE INDEX replacements_open ON replacements (host) WHERE ended_at = 0;

-- What is to be decided of each source group of the host. One of a replacement that has
-- not ended, without a decision, is held: it is not backed up, and nothing of it is
-- forgotten.
CREATE TABLE replaced_groups (
    replacement  TEXT   NOT NULL REFERENCES replacements (id),
    host         TEXT   NOT NULL,
    source_group TEXT   NOT NULL,
    snapshot     TEXT   NOT NULL DEFAULT '', -- the newest from before that can be restored, '' is none
    repository   TEXT   NOT NULL DEFAULT '', -- where it is
    decision     TEXT   NOT NULL DEFAULT '',
    decided_at   BIGINT NOT NULL DEFAULT 0,
    decided_by   TEXT   NOT NULL DEFAULT '',
    held         BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (replacement, source_group)
);
CREATE INDEX replaced_groups_held ON replaced_groups (source_group) WHERE held = 1;
CREATE INDEX replaced_groups_of_host ON replaced_groups (host);
CREATE INDEX replaced_groups_of_group ON replaced_groups (source_group);

-- Snapshots that no rule removes until a moment, because what the host makes from then on
-- may hold nothing of theirs. until is 0 before there is a decision.
CREATE TABLE replaced_pins (
    replacement  TEXT   NOT NULL REFERENCES replacements (id),
    host         TEXT   NOT NULL,
    source_group TEXT   NOT NULL,
    repository   TEXT   NOT NULL,
    snapshot     TEXT   NOT NULL,
    until        BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (replacement, repository, snapshot)
);
CREATE INDEX replaced_pins_of_snapshot ON replaced_pins (repository, snapshot);
CREATE INDEX replaced_pins_of_host ON replaced_pins (host);
CREATE INDEX replaced_pins_of_group ON replaced_pins (source_group);

-- The schedules that a replacement has paused, and that go on when all is decided.
CREATE TABLE replaced_schedules (
    replacement TEXT NOT NULL REFERENCES replacements (id),
    host        TEXT NOT NULL,
    schedule    TEXT NOT NULL,
    PRIMARY KEY (replacement, schedule)
);
CREATE INDEX replaced_schedules_of_host ON replaced_schedules (host);

-- +goose Down
SELECT 1;
