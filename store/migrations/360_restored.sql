-- +goose Up
-- When this control plane was restored from a copy, 0 if it never was, and when that
-- copy was made; and when the last copy of this database was made, 0 if none was.
-- The epoch rises with a restore: agents then tell again what they told the one that was
-- lost, and leave that if it comes back. No database of before was restored.
ALTER TABLE installation ADD COLUMN restored_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN lost_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN copied_at BIGINT NOT NULL DEFAULT 0;
-- The control plane's epoch, of hosts that have not yet told to the end what happened
-- since the copy was made; 0 of all others.
ALTER TABLE hosts ADD COLUMN restoring BIGINT NOT NULL DEFAULT 0;
CREATE INDEX hosts_restoring ON hosts (restoring) WHERE restoring > 0;
-- A job of which its host is asked how it ended, since what it told may be lost.
ALTER TABLE jobs ADD COLUMN recalled BIGINT NOT NULL DEFAULT 0;
-- What hosts could not tell again: what happened on them between the two moments may
-- be known in part only.
CREATE TABLE host_gaps (
    host    TEXT   NOT NULL REFERENCES hosts (id),
    epoch   BIGINT NOT NULL, -- of the control plane that was restored
    from_at BIGINT NOT NULL,
    to_at   BIGINT NOT NULL,
    PRIMARY KEY (host, epoch)
);
-- Whom the copy trusts, and who may have lost that trust since: each is asked about,
-- and has no rights until an administrator has confirmed it.
CREATE TABLE asked_about (
    kind        TEXT   NOT NULL, -- host, user, token or consumer
    id          TEXT   NOT NULL,
    epoch       BIGINT NOT NULL, -- of the control plane that was restored
    name        TEXT   NOT NULL, -- as it was when it was asked
    asked_at    BIGINT NOT NULL,
    answered_at BIGINT NOT NULL DEFAULT 0, -- 0 is not yet
    answered_by TEXT   NOT NULL DEFAULT '',
    confirmed   BIGINT NOT NULL DEFAULT 0, -- else it was refused
    PRIMARY KEY (kind, id)
);

-- +goose Down
SELECT 1;
