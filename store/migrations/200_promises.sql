-- +goose Up
-- When the pause began that ended with since, 0 if it was no pause: slots between the
-- two were nobody's fault.
ALTER TABLE schedules ADD COLUMN paused_from BIGINT NOT NULL DEFAULT 0;
-- When a host was last heard of again after a while of silence. Slots of a laptop that
-- began before it were slept through.
ALTER TABLE hosts ADD COLUMN back_at BIGINT NOT NULL DEFAULT 0;
-- What counts of snapshots stands in group_facts.
DROP TRIGGER IF EXISTS host_changes_snapshot_added;
DROP TRIGGER IF EXISTS host_changes_snapshot;
DROP TRIGGER IF EXISTS host_changes_snapshot_gone;

-- +goose Down
SELECT 1;
