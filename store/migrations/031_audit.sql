-- +goose Up
-- Where somebody was when they did it, and what the audit page looks for.
ALTER TABLE audit ADD COLUMN remote TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_by_actor ON audit (actor, n);
CREATE INDEX audit_by_action ON audit (action, n);
CREATE INDEX audit_by_target ON audit (target, n);
CREATE INDEX audit_by_time ON audit (at);

-- +goose Down
SELECT 1;
