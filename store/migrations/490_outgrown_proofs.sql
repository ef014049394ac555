-- +goose Up
-- Backups that were begun before this prove nothing of the group: it backs up more since.
ALTER TABLE drill_verdicts ADD COLUMN since BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE drill_verdicts DROP COLUMN since;
