-- +goose Up
-- When we heard of a job that its host had begun by itself; its other times are
-- the host's word.
ALTER TABLE jobs ADD COLUMN heard_at BIGINT NOT NULL DEFAULT 0;
UPDATE jobs SET heard_at = queued_at WHERE fired <> 0;

-- +goose Down
SELECT 1;
