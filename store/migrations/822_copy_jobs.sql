-- +goose Up
-- Which repositories were copied into another: what is in that one may be of theirs.
CREATE INDEX jobs_into ON jobs (other, repository) WHERE other <> '';

-- +goose Down
DROP INDEX jobs_into;
