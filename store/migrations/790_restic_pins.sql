-- +goose Up
-- Files with restic that hosts may be told to fetch from here: those that an administrator
-- named by their checksum.
CREATE TABLE restic_pins (
    name      TEXT   NOT NULL PRIMARY KEY,  -- as restic releases it, without a directory
    sha256    TEXT   NOT NULL,              -- in hexadecimal digits
    size      BIGINT NOT NULL,              -- in bytes
    pinned_by TEXT   NOT NULL,
    pinned_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE restic_pins;
