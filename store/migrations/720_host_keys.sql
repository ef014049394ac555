-- +goose Up
-- The keys that an SSH server showed a job's host, which did not trust it: a JSON list, '' for
-- none.
ALTER TABLE jobs ADD COLUMN host_keys TEXT NOT NULL DEFAULT '';
