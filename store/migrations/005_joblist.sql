-- +goose Up
-- The tabs of the jobs page: how many ended in which way, read from the index alone.
CREATE INDEX jobs_counted ON jobs (finished_at, state, kind);

-- +goose Down
DROP INDEX jobs_counted;
