-- +goose Up
-- Where the repository of a row of repositories lies, and since when a job has found or
-- made one there: see package places. host is '' for an address that names the same
-- place to every host. name is what {host} in the address stands for; '' until it is
-- used. A place that is not ready has no repository that we know of.
CREATE TABLE places (
    repository TEXT   NOT NULL REFERENCES repositories (id),
    host       TEXT   NOT NULL,
    ready_at   BIGINT NOT NULL DEFAULT 0,
    made_job   TEXT   NOT NULL DEFAULT '',
    name       TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (repository, host)
);

-- A shared place is ready if any job found the repository. For a path on the host, a
-- host has one if a job of its opened it, or a snapshot of its exists.
INSERT INTO places (repository, host, ready_at)
SELECT id, '', ready_at FROM repositories WHERE ready_at > 0 AND location NOT GLOB 'rest:http+unix:*' AND (location GLOB 'rest:*'
    OR location GLOB 's3:*' OR location GLOB 'sftp:*' OR location GLOB 'b2:*' OR location GLOB 'azure:*' OR location GLOB 'gs:*'
    OR location GLOB 'swift:*' OR location GLOB 'rclone:*');
INSERT INTO places (repository, host, ready_at)
SELECT f.repository, f.host, max(min(f.at), 1) FROM (
    SELECT repository, host, good_at AS at FROM repository_looks WHERE kind = 'open' AND good_at > 0
    UNION ALL SELECT repository, host, min(time) AS at FROM snapshots WHERE job <> '' GROUP BY repository, host) f
JOIN repositories r ON r.id = f.repository JOIN hosts h ON h.id = f.host
WHERE f.repository NOT IN (SELECT repository FROM places)
GROUP BY f.repository, f.host;

-- +goose Down
SELECT 1;
