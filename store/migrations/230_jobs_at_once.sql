-- +goose Up
-- How many jobs a host runs at once, each in a repository of its own, as people set it;
-- and how many its agent can, 0 for one of before this release, which runs one.
ALTER TABLE hosts ADD COLUMN jobs_at_once BIGINT NOT NULL DEFAULT 3;
ALTER TABLE hosts ADD COLUMN agent_jobs BIGINT NOT NULL DEFAULT 0;

-- +goose Down
SELECT 1;
