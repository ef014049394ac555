-- +goose Up
-- Copies lock both of their repositories.
CREATE INDEX jobs_into ON jobs (other, finished_at) WHERE other <> '';

-- +goose Down
DROP INDEX jobs_into;
