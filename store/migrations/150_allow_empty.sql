-- +goose Up

-- A source group that may be empty: a backup of no files is a good one.
ALTER TABLE source_groups ADD COLUMN allow_empty INTEGER NOT NULL DEFAULT 0;

-- +goose Down
SELECT 1;
