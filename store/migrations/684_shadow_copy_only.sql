-- +goose Up

-- On Windows: where no shadow copy is made, the backup fails. 0 is that the files themselves
-- are read then, as it was.
ALTER TABLE source_groups ADD COLUMN shadow_copy_only INTEGER NOT NULL DEFAULT 0;

-- +goose Down
SELECT 1;
