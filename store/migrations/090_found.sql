-- +goose Up
-- What a repository's page counts of its jobs and snapshots: neither walks all of
-- them.
CREATE INDEX jobs_of_kind ON jobs (repository, kind, state, finished_at);
CREATE INDEX snapshots_by_host ON snapshots (repository, gone_at, host, time);
DROP INDEX snapshots_of_repository;
CREATE INDEX snapshots_of_repository ON snapshots (repository, gone_at, time, host);

-- +goose Down
SELECT 1;
