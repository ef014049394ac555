-- +goose Up
-- Searches are few among all jobs, and the last of them are listed.
CREATE INDEX jobs_searches ON jobs (id) WHERE kind = 'find';

-- +goose Down
DROP INDEX jobs_searches;
