-- +goose Up
-- Who made a link saw it, and may not be trusted for as long as it is good.
ALTER TABLE password_links ADD COLUMN created_by TEXT NOT NULL DEFAULT '';

-- +goose Down
SELECT 1;
