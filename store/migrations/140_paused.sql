-- +goose Up
-- Since when a schedule is paused, and until when; 0 is that it is not, or for good.
-- What was paused before counts from the upgrade.
ALTER TABLE schedules ADD COLUMN paused_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN paused_until BIGINT NOT NULL DEFAULT 0;
UPDATE schedules SET paused_at = CAST(strftime('%s', 'now') AS BIGINT) * 1000 WHERE enabled = 0;

-- +goose Down
SELECT 1;
