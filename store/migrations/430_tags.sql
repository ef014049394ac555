-- +goose Up
-- Words by which hosts are told apart: a list of free words and key=value, as JSON.
ALTER TABLE hosts ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';

-- +goose Down
ALTER TABLE hosts DROP COLUMN tags;
