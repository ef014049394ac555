-- +goose Up
-- How many of a group's snapshots exist in a repository. Triggers keep it, because
-- counting ten thousand rows would be half the work of a backup's end.
CREATE TABLE group_tallies (
    source_group TEXT   NOT NULL,
    repository   TEXT   NOT NULL,
    snapshots    BIGINT NOT NULL,
    PRIMARY KEY (source_group, repository)
);
INSERT INTO group_tallies (source_group, repository, snapshots) SELECT source_group, repository, count(*) FROM snapshots
    WHERE gone_at = 0 AND replaced_by = '' AND job <> '' AND source_group <> '' GROUP BY source_group, repository;

-- +goose Down
SELECT 1;
