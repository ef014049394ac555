-- +goose Up
-- Of what alerts are judged by, what changed: a repository, a source group, or how jobs of
-- a subject ended. Each has one row, its number rises with each change; a repository '' is
-- all of them. Triggers write it: see package triggers.
CREATE TABLE judged_changes (
    kind    TEXT   NOT NULL,    -- repository, group or ending
    subject TEXT   NOT NULL,    -- its ID
    n       BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX judged_changes_by_n ON judged_changes (n);

-- +goose Down
DROP TABLE judged_changes;
