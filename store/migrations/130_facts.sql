-- +goose Up
-- What retention and protection need of the job that made a snapshot stands in the
-- snapshot's own row, so that it does not depend on how long rows of jobs are kept.
-- Times are by the control plane's clock: a job that its host began by itself is
-- queued when it was heard of.
ALTER TABLE snapshots ADD COLUMN requested_by TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN queued_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE snapshots ADD COLUMN begun_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE snapshots ADD COLUMN ended_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE snapshots ADD COLUMN state TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN schedule TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN slot BIGINT NOT NULL DEFAULT 0;
UPDATE snapshots SET requested_by = j.requested_by, queued_at = CASE WHEN j.fired <> 0 THEN j.heard_at ELSE j.queued_at END,
    begun_at = j.started_at, ended_at = j.finished_at, state = j.state, schedule = j.schedule, slot = j.slot
FROM jobs j WHERE j.id = snapshots.job AND j.repository = snapshots.repository AND j.host = snapshots.host
    AND j.snapshot_id = snapshots.id;
-- The job that was to remove or replace it, however that ended.
ALTER TABLE snapshots ADD COLUMN named_by TEXT NOT NULL DEFAULT '';
-- When an administrator took note that it is lost.
ALTER TABLE snapshots ADD COLUMN acknowledged_at BIGINT NOT NULL DEFAULT 0;
-- The snapshot that was made of it and took its place.
ALTER TABLE snapshots ADD COLUMN replaced_by TEXT NOT NULL DEFAULT '';
-- 1: it holds nothing, or next to nothing of what those before it held; -1: nobody
-- has looked yet.
ALTER TABLE snapshots ADD COLUMN collapsed BIGINT NOT NULL DEFAULT -1;
-- When we heard that its job had made it.
ALTER TABLE snapshots ADD COLUMN noted_at BIGINT NOT NULL DEFAULT 0;
UPDATE snapshots SET noted_at = max(ended_at, queued_at) WHERE ended_at > 0;

-- What forgets named is not lost, and nobody is told now of what has been missing for
-- long.
UPDATE snapshots SET named_by = n.job FROM (
    SELECT j.repository, e.value AS snapshot, max(j.id) AS job FROM jobs j,
        json_each(CASE WHEN j.kind = 'forget' AND j.operation <> '' THEN j.operation ELSE '{}' END, '$.snapshots') e
    WHERE j.kind = 'forget' GROUP BY j.repository, e.value) n
WHERE n.repository = snapshots.repository AND n.snapshot = snapshots.id;
UPDATE snapshots SET acknowledged_at = gone_at WHERE gone_at > 0 AND job <> '' AND named_by = '';

-- In which repository the listings of each host were: an address such as a path may
-- lead each host to one of its own.
CREATE TABLE repository_places (
    repository TEXT   NOT NULL REFERENCES repositories (id),
    host       TEXT   NOT NULL,
    place      TEXT   NOT NULL,
    seen_at    BIGINT NOT NULL,
    PRIMARY KEY (repository, host, place)
);

-- What can be restored of each source group: see package facts.
CREATE TABLE group_facts (
    source_group  TEXT PRIMARY KEY,
    host          TEXT   NOT NULL,
    repository    TEXT   NOT NULL,
    snapshots     BIGINT NOT NULL DEFAULT 0,
    newest_id     TEXT   NOT NULL DEFAULT '',
    newest_job    TEXT   NOT NULL DEFAULT '',
    newest_begun  BIGINT NOT NULL DEFAULT 0,
    newest_ended  BIGINT NOT NULL DEFAULT 0,
    newest_files  BIGINT NOT NULL DEFAULT 0,
    newest_bytes  BIGINT NOT NULL DEFAULT 0,
    newest_state  TEXT   NOT NULL DEFAULT '',
    whole_id      TEXT   NOT NULL DEFAULT '',
    whole_job     TEXT   NOT NULL DEFAULT '',
    whole_begun   BIGINT NOT NULL DEFAULT 0,
    whole_ended   BIGINT NOT NULL DEFAULT 0,
    whole_files   BIGINT NOT NULL DEFAULT 0,
    whole_bytes   BIGINT NOT NULL DEFAULT 0,
    whole_state   TEXT   NOT NULL DEFAULT '',
    good_id       TEXT   NOT NULL DEFAULT '',
    good_job      TEXT   NOT NULL DEFAULT '',
    good_begun    BIGINT NOT NULL DEFAULT 0,
    good_ended    BIGINT NOT NULL DEFAULT 0,
    good_files    BIGINT NOT NULL DEFAULT 0,
    good_bytes    BIGINT NOT NULL DEFAULT 0,
    good_state    TEXT   NOT NULL DEFAULT '',
    measure_files BIGINT NOT NULL DEFAULT 0,
    measure_bytes BIGINT NOT NULL DEFAULT 0,
    collapsed     BIGINT NOT NULL DEFAULT 0,
    last_job      TEXT   NOT NULL DEFAULT '',
    last_state    TEXT   NOT NULL DEFAULT '',
    last_cause    TEXT   NOT NULL DEFAULT '',
    last_ended_at BIGINT NOT NULL DEFAULT 0,
    failed_since  BIGINT NOT NULL DEFAULT 0,
    usual_seconds BIGINT NOT NULL DEFAULT 0,
    lost          BIGINT NOT NULL DEFAULT 0,
    lost_unacknowledged BIGINT NOT NULL DEFAULT 0,
    lost_at       BIGINT NOT NULL DEFAULT 0,
    measured_of   TEXT   NOT NULL DEFAULT '',
    measure_since BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX group_facts_of_host ON group_facts (host);

-- The groups whose row is out of date. Triggers add to it, and no transaction ends
-- before it is empty.
CREATE TABLE group_facts_due (source_group TEXT PRIMARY KEY);
INSERT INTO group_facts_due (source_group) SELECT id FROM source_groups;

-- What a group's row is made of: what exists, what was made, what was lost, and how
-- its backups ended.
CREATE INDEX snapshots_that_exist ON snapshots (source_group, repository, ended_at, id, state, files)
    WHERE gone_at = 0 AND replaced_by = '' AND job <> '';
CREATE INDEX snapshots_made ON snapshots (source_group, ended_at, id) WHERE replaced_by = '' AND job <> '';
CREATE INDEX snapshots_unjudged ON snapshots (source_group, ended_at, id) WHERE collapsed < 0 AND job <> '';
CREATE INDEX snapshots_lost ON snapshots (repository, source_group, acknowledged_at, gone_at)
    WHERE gone_at > 0 AND named_by = '' AND replaced_by = '' AND job <> '';
CREATE INDEX snapshots_replaced ON snapshots (repository, replaced_by) WHERE replaced_by <> '';
CREATE INDEX jobs_ended_of_group ON jobs (source_group, state, finished_at, id) WHERE source_group <> '' AND finished_at > 0;

-- +goose Down
SELECT 1;
