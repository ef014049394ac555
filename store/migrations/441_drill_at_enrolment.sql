-- +goose Up
-- Whether a new host that this token lets in is to prove that it can be restored, as often as is
-- usual. Tokens that were made before say nothing of it: their hosts do not.
ALTER TABLE enroll_tokens ADD COLUMN drill BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE enroll_tokens DROP COLUMN drill;
