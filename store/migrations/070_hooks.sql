-- +goose Up

-- What surrounds a source group's backups: programs of the host by name, and what
-- holds them back. '' is nothing.
ALTER TABLE source_groups ADD COLUMN live_files TEXT NOT NULL DEFAULT '';
ALTER TABLE source_groups ADD COLUMN hooks TEXT NOT NULL DEFAULT '';
ALTER TABLE source_groups ADD COLUMN limits TEXT NOT NULL DEFAULT '';

-- +goose Down
SELECT 1;
