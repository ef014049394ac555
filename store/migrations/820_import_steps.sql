-- +goose Up
-- What an import has in hand, '' for nothing: it is taken in, and given back, in steps that are
-- short enough for others to write in between, and gone on with after a crash.
ALTER TABLE imports ADD COLUMN doing TEXT NOT NULL DEFAULT '';
CREATE INDEX imports_in_hand ON imports (repository) WHERE doing <> '';

-- The snapshots that an import is still to take in. A part is removed by the step that took
-- it in.
CREATE TABLE import_parts (
    import_id TEXT   NOT NULL,
    part      BIGINT NOT NULL,              -- in this order
    kin       TEXT   NOT NULL,              -- the row of import_rows that they are of
    snapshots TEXT   NOT NULL,              -- their IDs, as JSON
    PRIMARY KEY (import_id, part)
);

-- +goose Down
DROP TABLE import_parts;
