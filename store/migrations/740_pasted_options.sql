-- +goose Up

-- Certificates and keys that were pasted, sealed as the other secrets are, NULL for none; and
-- restic's extended options, as JSON.
ALTER TABLE repositories ADD COLUMN files BYTEA;
ALTER TABLE repositories ADD COLUMN options TEXT NOT NULL DEFAULT '';

-- How restic makes the backups of a source group, as JSON; '' leaves all of it to restic.
ALTER TABLE source_groups ADD COLUMN tuning TEXT NOT NULL DEFAULT '';

-- +goose Down
SELECT 1;
