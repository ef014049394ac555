-- +goose Up
-- The last slot that began before a schedule's plan was changed, as that plan had it: a
-- change does not make good what was missed.
ALTER TABLE schedules ADD COLUMN owed BIGINT NOT NULL DEFAULT 0;

-- +goose Down
SELECT 1;
