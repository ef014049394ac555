-- +goose Up
-- Who gave a host a repository that it does not have, for this job or this run alone. Nobody
-- did so for what is there: a job that waits for a host which neither backs up into its
-- repository nor keeps it ends unsent, and is asked for again by an administrator.
ALTER TABLE jobs ADD COLUMN given_by TEXT NOT NULL DEFAULT '';
ALTER TABLE maintenance_runs ADD COLUMN given_by TEXT NOT NULL DEFAULT '';
