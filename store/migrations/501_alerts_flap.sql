-- +goose Up
-- An alert that began three times within some hours flaps: it stays open over its swings,
-- so that nobody is told of each.
ALTER TABLE alerts ADD COLUMN before_at BIGINT NOT NULL DEFAULT 0; -- when it began before the last time; 0 is never
ALTER TABLE alerts ADD COLUMN flaps     BIGINT NOT NULL DEFAULT 0; -- 1 if it does
-- Those that somebody ended while the condition held: until it was gone once, none opens anew.
CREATE INDEX alerts_ended_by_hand ON alerts (ended_at) WHERE ended_at > 0 AND ended_by <> 'plane' AND quiet_at = 0;

-- +goose Down
DROP INDEX alerts_ended_by_hand;
ALTER TABLE alerts DROP COLUMN flaps;
ALTER TABLE alerts DROP COLUMN before_at;
