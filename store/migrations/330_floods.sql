-- +goose Up
-- What a host may say of slots, jobs and reports is bounded. A plan that a schedule had
-- before it was changed or removed: hosts that were away still fire by it. An empty cron
-- is one that is not known any more, and takes any slot: those of schedules that were
-- changed or removed before this step. Rows are kept as long as jobs.
CREATE TABLE former_plans (
    schedule   TEXT   NOT NULL,
    host       TEXT   NOT NULL, -- '' is not known
    cron       TEXT   NOT NULL,
    zone       TEXT   NOT NULL,
    created_at BIGINT NOT NULL, -- of the schedule; 0 is not known
    until_at   BIGINT NOT NULL, -- when it was replaced or removed
    PRIMARY KEY (schedule, cron, zone)
);
CREATE INDEX former_plans_by_age ON former_plans (until_at);
INSERT INTO former_plans (schedule, host, cron, zone, created_at, until_at)
SELECT id, host, '', '', created_at, CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM schedules WHERE since > created_at + 1000;
INSERT INTO former_plans (schedule, host, cron, zone, created_at, until_at)
SELECT schedule, min(host), '', '', 0, CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM jobs
WHERE schedule <> '' AND schedule NOT IN (SELECT id FROM schedules) GROUP BY schedule;
INSERT INTO former_plans (schedule, host, cron, zone, created_at, until_at)
SELECT json_extract(r.value, '$.id'), json_extract(r.value, '$.host'), '', '', 0, CAST(unixepoch('subsec') * 1000 AS INTEGER)
FROM (SELECT body FROM removed WHERE body <> '' AND json_valid(body)) b, json_each(b.body) t, json_each(t.value, '$.rows') r
WHERE json_extract(t.value, '$.table') = 'schedules' AND json_type(r.value, '$.id') = 'text' AND json_type(r.value, '$.host') = 'text'
ON CONFLICT (schedule, cron, zone) DO NOTHING;
INSERT INTO former_plans (schedule, host, cron, zone, created_at, until_at)
SELECT DISTINCT target, '', '', '', 0, CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM audit
WHERE action = 'schedule.deleted' AND target NOT IN (SELECT id FROM schedules)
ON CONFLICT (schedule, cron, zone) DO NOTHING;

-- What of a host's messages was refused, set aside or cut short, by reason.
CREATE TABLE host_asides (
    host     TEXT   NOT NULL REFERENCES hosts (id),
    reason   TEXT   NOT NULL,
    n        BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (host, reason)
);

-- How much of a host was stored in the current hour.
CREATE TABLE host_hours (
    host  TEXT   PRIMARY KEY REFERENCES hosts (id),
    hour  BIGINT NOT NULL, -- since 1970
    bytes BIGINT NOT NULL,
    far   BIGINT NOT NULL  -- jobs of slots that lie far from now
);

-- Whether parts of a job's report were dropped, since it had reached its limit. Jobs of
-- before were never cut.
ALTER TABLE jobs ADD COLUMN cut BIGINT NOT NULL DEFAULT 0;

-- What an event of a host looks at: its open jobs, those that it began by itself apart.
CREATE INDEX jobs_open_of_host ON jobs (host, fired, source_group) WHERE finished_at = 0;

-- +goose Down
SELECT 1;
