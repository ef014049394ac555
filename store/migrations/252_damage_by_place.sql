-- +goose Up
-- Where hosts have places of their own, damage is at one of them: '' is a place that all
-- hosts share. What is known of a path is where the host is that found it.
ALTER TABLE repository_damage RENAME TO damage_before;
CREATE TABLE repository_damage (
    repository TEXT   NOT NULL REFERENCES repositories (id),
    place      TEXT   NOT NULL DEFAULT '',
    since      BIGINT NOT NULL,
    found_at   BIGINT NOT NULL,
    host       TEXT   NOT NULL,
    job        TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    errors     BIGINT NOT NULL,
    scope      TEXT   NOT NULL,
    clean      TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (repository, place)
);
INSERT INTO repository_damage (repository, place, since, found_at, host, job, kind, errors, scope, clean)
SELECT d.repository, CASE WHEN r.location NOT GLOB 'rest:http+unix:*' AND (r.location GLOB 'rest:*'
    OR r.location GLOB 's3:*' OR r.location GLOB 'sftp:*' OR r.location GLOB 'b2:*' OR r.location GLOB 'azure:*' OR r.location GLOB 'gs:*'
    OR r.location GLOB 'swift:*' OR r.location GLOB 'rclone:*') THEN '' ELSE d.host END,
    d.since, d.found_at, d.host, d.job, d.kind, d.errors, d.scope, d.clean FROM damage_before d JOIN repositories r ON r.id = d.repository;
DROP TABLE damage_before;

-- +goose Down
SELECT 1;
