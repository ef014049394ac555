-- +goose Up
-- A certificate that was renewed waits as next_serial until it is used.
ALTER TABLE hosts ADD COLUMN next_serial TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN certified_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN revoked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN refused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN refused_there BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN permits TEXT NOT NULL DEFAULT '';
CREATE INDEX hosts_revoked ON hosts (revoked_at) WHERE revoked_at > 0;
-- A token with for_host renews the identity of that host and of no other.
ALTER TABLE enroll_tokens ADD COLUMN for_host TEXT NOT NULL DEFAULT '';

-- +goose Down
SELECT 1;
