-- +goose Up
-- A host that was removed keeps its row, because jobs and snapshots name it; its
-- name is free again. A retired one is judged no longer, and no schedule of its
-- fires.
ALTER TABLE hosts ADD COLUMN removed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN retired_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX hosts_removed ON hosts (removed_at) WHERE removed_at > 0;
DROP INDEX hosts_behind;
CREATE INDEX hosts_behind ON hosts (id, config_revision)
    WHERE config_applied >= 0 AND config_applied <> config_revision AND removed_at = 0;

-- What was removed, and the rows that bring it back: they are in no other table,
-- so nobody has to leave them out. An empty body cannot come back any more.
CREATE TABLE removed (
    kind       TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    host       TEXT   NOT NULL,
    repository TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    removed_at BIGINT NOT NULL,
    removed_by TEXT   NOT NULL,
    together   TEXT   NOT NULL,
    snapshots  TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX removed_with_body ON removed (removed_at) WHERE body <> '';
CREATE INDEX removed_of_host ON removed (host, removed_at);
CREATE INDEX removed_of_repository ON removed (repository);
CREATE INDEX removed_together ON removed (together) WHERE together <> '';

-- The names of all there are and were, for lists of jobs and snapshots.
CREATE VIEW host_names AS SELECT id, name FROM hosts WHERE removed_at = 0
    UNION ALL SELECT id, name || ' (removed)' FROM removed WHERE kind = 'host';
CREATE VIEW group_names AS SELECT id, name FROM source_groups
    UNION ALL SELECT id, name || ' (removed)' FROM removed WHERE kind = 'group';
CREATE VIEW repository_names AS SELECT r.id, coalesce((SELECT d.name || ' (removed)' FROM removed d
    WHERE d.kind = 'repository' AND d.id = r.id), r.name) AS name FROM repositories r;

-- +goose Down
SELECT 1;
