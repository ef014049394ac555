-- +goose Up
-- When a job was sent first; 0 for one that was sent before this is kept, too. behalf is
-- the source group whose backup waits for an init job.
ALTER TABLE jobs ADD COLUMN sent_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN behalf TEXT NOT NULL DEFAULT '';

-- Whether a host's agent makes a repository only in an init job, with the hooks of its
-- group: as it says in its hello. Agents of before do not.
ALTER TABLE hosts ADD COLUMN makes BIGINT NOT NULL DEFAULT 0;

-- How often a host has failed to make a repository: see protocol.Try.
CREATE TABLE making_tries (
    repository TEXT   NOT NULL REFERENCES repositories (id),
    host       TEXT   NOT NULL,
    job        TEXT   NOT NULL,
    attempts   BIGINT NOT NULL,
    failed_at  BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    PRIMARY KEY (repository, host)
);

-- +goose Down
SELECT 1;
