-- +goose Up
-- Which database this is, in one row: its mark has the same ID (see package mark), so
-- that one put in another's place is noticed. epoch rises when a copy is restored. A
-- database of before gets its ID now, and has no mark yet.
CREATE TABLE installation (
    id    TEXT   NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL
);
INSERT INTO installation (id, epoch) VALUES (lower(hex(randomblob(16))), CAST(strftime('%s', 'now') AS BIGINT) * 1000);

-- Which versions of the program have served this database, and the newest migration
-- that each knew. An older program names the version to install from it.
CREATE TABLE served (
    version  TEXT   NOT NULL,
    schema   BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (version, schema)
);

-- +goose Down
SELECT 1;
