-- +goose Up
-- How a host stands and what can be restored of it is judged from group_facts; nobody
-- reads these any more. The trigger names them, and is made anew after the migration.
DROP TRIGGER IF EXISTS host_changes_host;
ALTER TABLE hosts DROP COLUMN standing;
ALTER TABLE hosts DROP COLUMN standing_job;
ALTER TABLE hosts DROP COLUMN good_job;
ALTER TABLE hosts DROP COLUMN good_at;
ALTER TABLE hosts DROP COLUMN good_bytes;
ALTER TABLE hosts DROP COLUMN good_seconds;

-- +goose Down
SELECT 1;
