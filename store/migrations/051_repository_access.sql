-- +goose Up
-- The key that our password opens, so that restic finds it among any number of
-- planted ones; and when a repository was taken out of care: its row stays for
-- the jobs that name it, without its secrets.
ALTER TABLE repositories ADD COLUMN key_hint TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN removed_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
SELECT 1;
