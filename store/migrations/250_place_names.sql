-- +goose Up
-- From now on {host} in a repository's address stands for the host that uses it. An
-- address that was saved before means what it says: its text for people, from which all
-- is told, no longer has the word. The sealed address itself stays as it is.
UPDATE repositories SET location = replace(location, '{host}', '%7Bhost%7D') WHERE instr(location, '{host}') > 0;

-- The host whose place a job works at, if that is not the one it runs on. A job of
-- before works at its own.
ALTER TABLE jobs ADD COLUMN place TEXT NOT NULL DEFAULT '';

-- The host at whose place a listing last saw a snapshot, where not all hosts share one.
-- One of ours that none has seen since is where the host is that made it.
ALTER TABLE snapshots ADD COLUMN place TEXT NOT NULL DEFAULT '';

-- The host at whose place a run of maintenance works, if that is not its own; and whether
-- it ended of something that passes, so that the place is to be looked after again.
ALTER TABLE maintenance_runs ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE maintenance_runs ADD COLUMN again BIGINT NOT NULL DEFAULT 0;

-- The same of keys and locks: '' is a place that all hosts share, or from before.
ALTER TABLE repository_keys ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE repository_locks ADD COLUMN place TEXT NOT NULL DEFAULT '';

-- +goose Down
SELECT 1;
