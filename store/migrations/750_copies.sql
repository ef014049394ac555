-- +goose Up
-- The second repository of a job: of a copy the one it goes to, of an init job the one whose
-- chunker parameters the new one takes.
ALTER TABLE jobs ADD COLUMN other TEXT NOT NULL DEFAULT '';

-- The repository that a snapshot was copied from, if one of ours; it has the job, the host
-- and the source group of that one's then.
ALTER TABLE snapshots ADD COLUMN copied_from TEXT NOT NULL DEFAULT '';
-- Of what the copies in a repository were made.
CREATE INDEX snapshots_by_original ON snapshots (repository, original) WHERE original <> '';

-- A repository whose snapshots are copied into another, and when. Moments are Unix
-- milliseconds.
CREATE TABLE mirrors (
    repository      TEXT PRIMARY KEY REFERENCES repositories (id),
    target          TEXT   NOT NULL REFERENCES repositories (id),
    host            TEXT   NOT NULL,
    cron            TEXT   NOT NULL,
    zone            TEXT   NOT NULL,
    since           BIGINT NOT NULL, -- it is one
    served          BIGINT NOT NULL, -- slots up to this one are finished
    attempt         BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT NOT NULL DEFAULT 0,
    run_job         TEXT   NOT NULL DEFAULT '', -- the copy of a slot that has not been settled
    run_slot        BIGINT NOT NULL DEFAULT 0,
    job             TEXT   NOT NULL DEFAULT '', -- the last one that ended
    good_job        TEXT   NOT NULL DEFAULT '', -- the last one after which all was there
    good_at         BIGINT NOT NULL DEFAULT 0,
    other_cuts      BIGINT NOT NULL DEFAULT 0   -- the two cut files at other places
);
CREATE INDEX mirrors_into ON mirrors (target);

-- +goose Down
ALTER TABLE jobs DROP COLUMN other;
