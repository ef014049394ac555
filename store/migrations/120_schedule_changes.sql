-- +goose Up
-- The hosts of whose schedules or source groups something changed that the list of
-- schedules goes by. A host has one row, its number rises with each change.
-- Triggers write it: see schedulelist.go.
CREATE TABLE schedule_changes (
    host TEXT PRIMARY KEY,
    n    BIGINT NOT NULL
);
CREATE INDEX schedule_changes_by_n ON schedule_changes (n);
CREATE INDEX schedules_of_host ON schedules (host, name, id);

-- +goose Down
SELECT 1;
