-- +goose Up
-- In which time zone a user sees moments: 'browser', 'server' or an IANA name.
ALTER TABLE users ADD COLUMN zone TEXT NOT NULL DEFAULT 'browser';

-- +goose Down
SELECT 1;
