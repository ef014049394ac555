-- +goose Up
-- What plans of retention are compared with, of each source group: what a person
-- approved last, and the most that rules have removed of it since. A group without a
-- row begins with the next plan: what was removed before is not held against it.
CREATE TABLE retention_measures (
    repository   TEXT   NOT NULL REFERENCES repositories (id),
    source_group TEXT   NOT NULL,
    since        BIGINT NOT NULL DEFAULT 0,
    files        BIGINT NOT NULL DEFAULT 0,
    bytes        BIGINT NOT NULL DEFAULT 0,
    gone_files   BIGINT NOT NULL DEFAULT 0,
    gone_bytes   BIGINT NOT NULL DEFAULT 0,
    approved_by  TEXT   NOT NULL DEFAULT '',
    approved_at  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (repository, source_group)
);

-- 1: its backup said how much it holds. One of no files and no bytes is empty then; of
-- others with zeros that is not known. Of older ones it is, as long as there is a
-- record of their jobs.
ALTER TABLE snapshots ADD COLUMN told BIGINT NOT NULL DEFAULT 0;
UPDATE snapshots SET told = 1 WHERE files = 0 AND bytes = 0 AND gone_at = 0 AND job <> ''
    AND EXISTS (SELECT 1 FROM jobs j WHERE j.id = snapshots.job AND j.summary <> '');

-- +goose Down
SELECT 1;
