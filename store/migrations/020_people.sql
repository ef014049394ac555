-- +goose Up
-- People who were shut out, one-time links to set a password, sessions one can
-- tell apart, tokens that expire, and who made what.
ALTER TABLE users ADD COLUMN disabled_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;

CREATE TABLE password_links (
    key_hash   BYTEA PRIMARY KEY,
    user_id    TEXT   NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Sessions from before have no name to end them by: their people sign in again.
DROP TABLE sessions;
CREATE TABLE sessions (
    token      TEXT PRIMARY KEY,
    id         TEXT   NOT NULL UNIQUE,
    user_id    TEXT   NOT NULL,
    began_at   BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    remote     TEXT   NOT NULL,
    browser    TEXT   NOT NULL,
    data       BYTEA  NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_of_user ON sessions (user_id);

ALTER TABLE api_tokens ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE api_tokens ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_tokens ADD COLUMN used_at BIGINT NOT NULL DEFAULT 0;

ALTER TABLE mqtt_users ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE mqtt_users ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
SELECT 1;
