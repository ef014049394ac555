-- +goose Up
-- What a repository's page counts of its jobs and snapshots: neither walks all of
-- them.
CREATE INDEX jobs_of_kind ON jobs (repository, kind, state, finished_at);
CREATE INDEX snapshots_by_host ON snapshots (repository, gone_at, host, time);
DROP INDEX snapshots_of_repository;
CREATE INDEX snapshots_of_repository ON snapshots (repository, gone_at, time, host);

-- The last entry of the audit log that the wanted revisions of hosts take into
-- account. One row.
CREATE TABLE configs_considered (n BIGINT NOT NULL);
INSERT INTO configs_considered (n) VALUES (0);

-- +goose Down
SELECT 1;
