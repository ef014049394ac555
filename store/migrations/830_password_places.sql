-- +goose Up
-- The place of a host that nobody reaches any more does not hold up a change of the password:
-- an administrator goes on without it, and the former password stays, since it alone opens it.
ALTER TABLE password_change_places ADD COLUMN former_key TEXT NOT NULL DEFAULT '';
ALTER TABLE password_change_places ADD COLUMN left_by TEXT NOT NULL DEFAULT '';
ALTER TABLE password_change_places ADD COLUMN left_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE password_change_places ADD COLUMN left_why TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE password_change_places DROP COLUMN left_why;
ALTER TABLE password_change_places DROP COLUMN left_at;
ALTER TABLE password_change_places DROP COLUMN left_by;
ALTER TABLE password_change_places DROP COLUMN former_key;
