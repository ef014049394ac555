-- +goose Up
ALTER TABLE hosts ADD COLUMN standing TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN standing_job TEXT NOT NULL DEFAULT '';
UPDATE hosts SET standing = last_state, standing_job = last_job WHERE last_state <> 'cancelled';

-- +goose Down
SELECT 1;
