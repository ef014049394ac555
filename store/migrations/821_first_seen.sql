-- +goose Up
-- When a listing first had a snapshot, and when the last one before that had ended, which had
-- it not; 0 if none is known. Unix milliseconds. Whoever can write to a repository can add a
-- snapshot of any time; these two say when it came.
ALTER TABLE snapshots ADD COLUMN first_seen_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE snapshots ADD COLUMN unseen_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE snapshots DROP COLUMN unseen_at;
ALTER TABLE snapshots DROP COLUMN first_seen_at;
