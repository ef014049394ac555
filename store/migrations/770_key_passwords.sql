-- +goose Up
-- Passwords of keys that are not, or not any more, the one of a repository's row: of a change of
-- it, before and after; of a key that is to be added for somebody else, until its job has ended.
CREATE TABLE key_passwords (
    id         TEXT   NOT NULL PRIMARY KEY,
    repository TEXT   NOT NULL,
    password   BYTEA  NOT NULL,                   -- sealed
    created_at BIGINT NOT NULL
);
CREATE INDEX key_passwords_of_repository ON key_passwords (repository);

-- How the password of a repository is changed: the new key first, then what hosts hold, the
-- old key last.
CREATE TABLE password_changes (
    id         TEXT    NOT NULL PRIMARY KEY,
    repository TEXT    NOT NULL,
    state      TEXT    NOT NULL,                  -- adding, switching, removing, done, undone
    back       BOOLEAN NOT NULL DEFAULT FALSE,    -- it was called off: what was new is removed again
    lasting    TEXT    NOT NULL,                  -- the key_passwords that stays in use at the end
    former     TEXT    NOT NULL,                  -- and the one whose keys are removed; '' once it is erased
    patient    BOOLEAN NOT NULL,                  -- nothing is removed while a kept copy of the database knows the other alone
    began_by   TEXT    NOT NULL,
    began_at   BIGINT  NOT NULL,
    switched_at BIGINT NOT NULL DEFAULT 0,        -- when the repository's row got it
    switched_n BIGINT  NOT NULL DEFAULT 0,        -- the number of that in the audit log
    ended_at   BIGINT  NOT NULL DEFAULT 0
);
CREATE INDEX password_changes_of_repository ON password_changes (repository, began_at);

-- How far the places of the repository are.
CREATE TABLE password_change_places (
    change_id  TEXT   NOT NULL,
    repository TEXT   NOT NULL,
    host       TEXT   NOT NULL,                   -- whose place it is; '' is one that all hosts share
    added_at   BIGINT NOT NULL DEFAULT 0,         -- when the new password was proven there
    key_id     TEXT   NOT NULL DEFAULT '',        -- the key that it opens
    removed_at BIGINT NOT NULL DEFAULT 0,
    doing      TEXT   NOT NULL DEFAULT '',        -- what the job is to do: add or remove
    worker     TEXT   NOT NULL DEFAULT '',
    job        TEXT   NOT NULL DEFAULT '',        -- '' while it is being asked for
    tried      BOOLEAN NOT NULL DEFAULT FALSE,    -- a removal was asked for: the key may be gone
    attempts   BIGINT NOT NULL DEFAULT 0,
    next_at    BIGINT NOT NULL DEFAULT 0,
    why        TEXT   NOT NULL DEFAULT '',        -- of the last attempt that failed
    PRIMARY KEY (change_id, host)
);

-- Which hosts have the password that stays.
CREATE TABLE password_change_hosts (
    change_id    TEXT   NOT NULL,
    repository   TEXT   NOT NULL,
    host         TEXT   NOT NULL,
    confirmed_at BIGINT NOT NULL DEFAULT 0,
    waived_by    TEXT   NOT NULL DEFAULT '',      -- who goes on without it
    PRIMARY KEY (change_id, host)
);

-- +goose Down
DROP TABLE password_change_hosts;
DROP TABLE password_change_places;
DROP TABLE password_changes;
DROP TABLE key_passwords;
