-- +goose Up
-- The strips of the fleet page: what ended on these hosts in thirty days.
CREATE INDEX jobs_ended ON jobs (host, finished_at);

-- +goose Down
DROP INDEX jobs_ended;
