-- +goose Up
-- Schedules live on the agents: which config each host is to have and has, and
-- what it began by itself. -1 is an agent that is too old to fire.
ALTER TABLE hosts ADD COLUMN config_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN config_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN config_made_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN config_applied BIGINT NOT NULL DEFAULT -1;
ALTER TABLE hosts ADD COLUMN config_applied_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN config_error TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN received_mark TEXT NOT NULL DEFAULT '';
-- A laptop: it sleeps, and is not in trouble for it until so many days without a backup.
ALTER TABLE hosts ADD COLUMN intermittent BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN overdue_days BIGINT NOT NULL DEFAULT 0;

-- The latest slot of each group that began, whoever began it.
ALTER TABLE schedule_groups ADD COLUMN fired BIGINT NOT NULL DEFAULT 0;
UPDATE schedule_groups SET fired = coalesce((SELECT s.last_slot FROM schedules s WHERE s.id = schedule_groups.schedule), 0);
ALTER TABLE jobs ADD COLUMN fired BIGINT NOT NULL DEFAULT 0;

-- +goose Down
SELECT 1;
