-- +goose Up
-- How jobs ended, as long as somebody should be told of it: one row of each kind for a
-- source group, a repository or a host, whatever becomes of the rows of jobs.
CREATE TABLE endings (
    subject    TEXT   NOT NULL,              -- the group's, repository's or host's ID
    kind       TEXT   NOT NULL,              -- backup, size, unusual, forget, prune, check or restore
    place      TEXT   NOT NULL,              -- the host at whose place in the repository; '' for where there is one
    host       TEXT   NOT NULL,
    repository TEXT   NOT NULL,
    job        TEXT   NOT NULL,
    state      TEXT   NOT NULL,              -- of the job
    cause      TEXT   NOT NULL,
    at         BIGINT NOT NULL,              -- when it ended
    begun      BIGINT NOT NULL,              -- when it began
    since      BIGINT NOT NULL,              -- when the first that ended alike in a row did
    times      BIGINT NOT NULL,              -- how many did
    gave_up    BIGINT NOT NULL,              -- whether one of these was not tried again by itself
    body       TEXT   NOT NULL,              -- words and figures
    PRIMARY KEY (subject, kind, place)
);

-- +goose Down
DROP TABLE endings;
