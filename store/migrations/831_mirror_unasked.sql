-- +goose Up
-- A copy that could not be asked for does not serve its slot.
ALTER TABLE mirrors ADD COLUMN unasked BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE mirrors DROP COLUMN unasked;
