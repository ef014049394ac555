-- +goose Up
-- The hosts about which something changed that lists of the fleet show. A host
-- has one row, its number rises with each change. Triggers write it: see fleet.go.
CREATE TABLE host_changes (
    host TEXT PRIMARY KEY,
    n    BIGINT NOT NULL
);
CREATE INDEX host_changes_by_n ON host_changes (n);

-- +goose Down
SELECT 1;
