-- +goose Up
-- The import that a snapshot was taken in with: a person said which source group it is of,
-- and no job of ours made it. Its job is that import's ID then.
ALTER TABLE snapshots ADD COLUMN imported TEXT NOT NULL DEFAULT '';
CREATE INDEX snapshots_imported ON snapshots (imported) WHERE imported <> '';

-- Whether nobody knows how much the three snapshots of a source group hold.
ALTER TABLE group_facts ADD COLUMN newest_unsized BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE group_facts ADD COLUMN whole_unsized BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE group_facts ADD COLUMN good_unsized BOOLEAN NOT NULL DEFAULT FALSE;

-- What a person took in at once. Moments are Unix milliseconds.
CREATE TABLE imports (
    id         TEXT   NOT NULL PRIMARY KEY,
    repository TEXT   NOT NULL,
    made_at    BIGINT NOT NULL,
    made_by    TEXT   NOT NULL,
    undone_at  BIGINT NOT NULL DEFAULT 0,
    undone_by  TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX imports_of_repository ON imports (repository, made_at);

-- Which snapshots were given to which source group.
CREATE TABLE import_rows (
    import_id    TEXT   NOT NULL,
    kin          TEXT   NOT NULL,            -- the key of those that are alike
    repository   TEXT   NOT NULL,
    hostname     TEXT   NOT NULL,            -- as the snapshots have it, like paths and tags
    paths        TEXT   NOT NULL,
    tags         TEXT   NOT NULL,
    host         TEXT   NOT NULL,
    source_group TEXT   NOT NULL,
    snapshots    BIGINT NOT NULL,            -- how many they were
    PRIMARY KEY (import_id, kin)
);

-- +goose Down
DROP TABLE import_rows;
DROP TABLE imports;
