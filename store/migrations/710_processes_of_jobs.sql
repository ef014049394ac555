-- +goose Up
-- A lock names its process: the numbers of those that a job had. And how long the last job
-- took that had the same to do, for what tells no progress.
ALTER TABLE jobs ADD COLUMN pids TEXT NOT NULL DEFAULT '[]';
ALTER TABLE jobs ADD COLUMN last_took INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE jobs DROP COLUMN last_took;
ALTER TABLE jobs DROP COLUMN pids;
