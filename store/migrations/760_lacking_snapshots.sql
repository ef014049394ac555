-- +goose Up
-- lacks is how many files and folders a repair took out of a snapshot, since what they
-- held is lost.
ALTER TABLE snapshots ADD COLUMN lacks BIGINT NOT NULL DEFAULT 0;
