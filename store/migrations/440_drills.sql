-- +goose Up
-- When restores are tried: of a host, or of every host with a tag.
CREATE TABLE drill_plans (
    kind    TEXT   NOT NULL,           -- host or tag
    subject TEXT   NOT NULL,           -- the host's ID, or the tag
    cron    TEXT   NOT NULL,
    zone    TEXT   NOT NULL,
    files   BIGINT NOT NULL,
    bytes   BIGINT NOT NULL,
    enabled BIGINT NOT NULL,
    since   BIGINT NOT NULL,           -- slots before this do not count
    PRIMARY KEY (kind, subject)
);
-- The latest slot of each host that was begun, or left out for a reason.
CREATE TABLE drill_slots (
    host TEXT   NOT NULL PRIMARY KEY,
    slot BIGINT NOT NULL
);
-- What the last drill of each source group came to.
CREATE TABLE drill_verdicts (
    source_group TEXT   NOT NULL PRIMARY KEY,
    host         TEXT   NOT NULL,
    repository   TEXT   NOT NULL,
    job          TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    proven       BIGINT NOT NULL,      -- whether it was proven by that one
    why          TEXT   NOT NULL,      -- if not
    proven_at    BIGINT NOT NULL,      -- when it was proven last; 0 is never
    proven_job   TEXT   NOT NULL
);
CREATE INDEX drill_verdicts_of_host ON drill_verdicts (host);
CREATE INDEX drill_verdicts_of_repository ON drill_verdicts (repository);

-- +goose Down
DROP TABLE drill_verdicts;
DROP TABLE drill_slots;
DROP TABLE drill_plans;
