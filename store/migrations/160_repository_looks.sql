-- +goose Up
-- What each host last found when it looked at a repository, by the kind of look: see
-- package looks. bad_since is 0 while its last look went well.
CREATE TABLE repository_looks (
    repository TEXT   NOT NULL REFERENCES repositories (id),
    host       TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    good_at    BIGINT NOT NULL DEFAULT 0,
    bad_since  BIGINT NOT NULL DEFAULT 0,
    bad_at     BIGINT NOT NULL DEFAULT 0,
    bad_cause  TEXT   NOT NULL DEFAULT '',
    bad_job    TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (repository, kind, host)
);
CREATE INDEX repository_looks_good ON repository_looks (repository, kind, good_at, host);
CREATE INDEX repository_looks_bad ON repository_looks (repository, kind, bad_since) WHERE bad_since > 0;

-- Damage that a job found and that no check has cleared since. clean lists the scopes
-- that were found whole since it was found.
CREATE TABLE repository_damage (
    repository TEXT PRIMARY KEY REFERENCES repositories (id),
    since      BIGINT NOT NULL,
    found_at   BIGINT NOT NULL,
    host       TEXT   NOT NULL,
    job        TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    errors     BIGINT NOT NULL,
    scope      TEXT   NOT NULL,
    clean      TEXT   NOT NULL DEFAULT ''
);

-- Whether our password opened a key when the keys were last listed: it is ours then,
-- although it may be new.
ALTER TABLE repository_keys ADD COLUMN opened BIGINT NOT NULL DEFAULT 0;
UPDATE repository_keys SET opened = 1 WHERE EXISTS
    (SELECT 1 FROM repositories r WHERE r.id = repository_keys.repository AND r.key_hint = repository_keys.id);

-- When a snapshot that no job of ours made was acknowledged as known; 0 is not.
ALTER TABLE snapshots ADD COLUMN known_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX snapshots_foreign ON snapshots (repository) WHERE gone_at = 0 AND job = '' AND known_at = 0;

-- What the jobs that are on record say.
INSERT INTO repository_looks (repository, host, kind, good_at)
SELECT repository, host, 'open', max(finished_at) FROM jobs
WHERE finished_at > 0 AND (state IN ('succeeded', 'warnings') OR state = 'failed' AND cause = 'locked')
GROUP BY repository, host;
INSERT INTO repository_looks (repository, host, kind, good_at)
SELECT repository, host, 'write', max(finished_at) FROM jobs
WHERE finished_at > 0 AND state IN ('succeeded', 'warnings') AND kind IN ('backup', 'init', 'forget', 'prune')
    AND operation NOT LIKE '%"dry_run":true%'
GROUP BY repository, host;
INSERT INTO repository_looks (repository, host, kind, good_at)
SELECT repository, host, CASE kind WHEN 'snapshots' THEN 'list' WHEN 'key' THEN 'keys' ELSE 'check' END, max(finished_at) FROM jobs
WHERE finished_at > 0 AND state = 'succeeded' AND kind IN ('snapshots', 'key', 'check')
GROUP BY repository, host, kind;
INSERT INTO repository_looks (repository, host, kind, bad_since, bad_at, bad_cause, bad_job)
SELECT j.repository, j.host, 'open', max(j.finished_at), max(j.finished_at), j.cause, j.id FROM jobs j
LEFT JOIN repository_looks l ON l.repository = j.repository AND l.host = j.host AND l.kind = 'open'
WHERE j.finished_at > coalesce(l.good_at, 0) AND j.state = 'failed'
    AND (j.cause IN ('wrong-password', 'repository-missing', 'unreachable', 'certificate', 'credentials')
        OR j.cause = 'permission' AND j.kind NOT IN ('restore', 'check'))
    AND j.message NOT LIKE 'start restic: %' AND j.message NOT LIKE 'make %'
GROUP BY j.repository, j.host
ON CONFLICT (repository, kind, host) DO UPDATE SET bad_since = excluded.bad_since, bad_at = excluded.bad_at,
    bad_cause = excluded.bad_cause, bad_job = excluded.bad_job;
INSERT INTO repository_looks (repository, host, kind, bad_since, bad_at, bad_cause, bad_job)
SELECT j.repository, j.host, 'write', max(j.finished_at), max(j.finished_at), j.cause, j.id FROM jobs j
LEFT JOIN repository_looks l ON l.repository = j.repository AND l.host = j.host AND l.kind = 'write'
WHERE j.finished_at > coalesce(l.good_at, 0) AND j.state = 'failed'
    AND (j.cause = 'locked' OR j.cause = 'disk-full' AND j.kind NOT IN ('restore', 'check'))
    AND j.message NOT LIKE 'start restic: %' AND j.message NOT LIKE 'make %'
GROUP BY j.repository, j.host
ON CONFLICT (repository, kind, host) DO UPDATE SET bad_since = excluded.bad_since, bad_at = excluded.bad_at,
    bad_cause = excluded.bad_cause, bad_job = excluded.bad_job;
UPDATE repository_looks SET bad_since = (SELECT min(j.finished_at) FROM jobs j WHERE j.repository = repository_looks.repository
    AND j.host = repository_looks.host AND j.state = 'failed' AND j.cause = repository_looks.bad_cause
    AND j.finished_at > repository_looks.good_at) WHERE bad_since > 0;
-- The newest damage that no check as large has cleared. Slices are cleared one by one
-- from now on.
INSERT INTO repository_damage (repository, since, found_at, host, job, kind, errors, scope)
SELECT repository, finished_at, finished_at, host, id, kind, errors, scope FROM (
    SELECT j.repository, j.finished_at, j.host, j.id, j.kind,
        CASE WHEN j.kind = 'check' AND j.result <> '' THEN coalesce(json_extract(j.result, '$.check.errors'), 0) ELSE 0 END AS errors,
        CASE WHEN j.kind <> 'check' OR j.operation LIKE '%"read_data":true%' THEN 'all'
            WHEN j.operation LIKE '%"subset"%' THEN coalesce(json_extract(j.operation, '$.subset'), 'all')
            ELSE 'structure' END AS scope,
        row_number() OVER (PARTITION BY j.repository ORDER BY CASE WHEN j.kind = 'check' AND j.operation NOT LIKE '%"read_data":true%'
            THEN 0 ELSE 1 END DESC, j.finished_at DESC) AS place
    FROM jobs j WHERE j.state = 'failed' AND j.cause = 'damaged' AND NOT EXISTS (
        SELECT 1 FROM jobs c WHERE c.repository = j.repository AND c.kind = 'check' AND c.state = 'succeeded'
            AND c.finished_at > j.finished_at AND (c.operation LIKE '%"read_data":true%'
                OR j.kind = 'check' AND (j.operation = c.operation
                    OR j.operation NOT LIKE '%"read_data":true%' AND j.operation NOT LIKE '%"subset"%'))))
WHERE place = 1;

-- +goose Down
SELECT 1;
