-- +goose Up
-- When a host's schedules are paused: JSON of the last pauses, the oldest first. Each ends
-- by the clock; paused_until is when the one does that goes on, until that was noted.
ALTER TABLE hosts ADD COLUMN pauses TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN paused_until BIGINT NOT NULL DEFAULT 0;
CREATE INDEX hosts_by_paused_until ON hosts (paused_until) WHERE paused_until > 0;

-- +goose Down
DROP INDEX hosts_by_paused_until;
ALTER TABLE hosts DROP COLUMN paused_until;
ALTER TABLE hosts DROP COLUMN pauses;
