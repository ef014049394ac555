-- +goose Up
-- What a schedule promised before its plan was changed, or while it was paused, as JSON: so
-- that a slot that was missed then is still known when the plan is another. Schedules of
-- before have none; what they owed at their last change stays in the column owed.
ALTER TABLE schedules ADD COLUMN earlier TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE schedules DROP COLUMN earlier;
