-- +goose Up
-- What became of every slot, whoever ran it: see store/slotlog. outcome '' is that a
-- job has it in hand.
CREATE TABLE slot_outcomes (
    schedule     TEXT   NOT NULL,
    source_group TEXT   NOT NULL,
    slot         BIGINT NOT NULL,
    host         TEXT   NOT NULL,
    outcome      TEXT   NOT NULL,
    job          TEXT   NOT NULL DEFAULT '',
    cause        TEXT   NOT NULL DEFAULT '',
    reason       TEXT   NOT NULL DEFAULT '',
    at           BIGINT NOT NULL,
    PRIMARY KEY (schedule, slot, source_group)
);
CREATE INDEX slot_outcomes_of_job ON slot_outcomes (job) WHERE job <> '';
CREATE INDEX slot_outcomes_missed ON slot_outcomes (host, slot)
    WHERE outcome IN ('missed-offline', 'missed-asleep', 'missed-paused', 'missed-busy', 'missed-hours', 'missed-disk');
CREATE INDEX slot_outcomes_by_age ON slot_outcomes (at);

-- Up to which slot each schedule has been looked through.
CREATE TABLE slot_marks (
    schedule TEXT PRIMARY KEY,
    judged   BIGINT NOT NULL
);

-- When a group joined its schedule: it owes nothing of before.
ALTER TABLE schedule_groups ADD COLUMN joined_at BIGINT NOT NULL DEFAULT 0;

-- What jobs of the last months served. Of what was missed before the upgrade nothing
-- is known, so looking begins now.
INSERT INTO slot_outcomes (schedule, source_group, slot, host, outcome, job, cause, at)
SELECT j.schedule, j.source_group, j.slot, j.host,
    CASE WHEN j.state NOT IN ('succeeded', 'warnings') THEN 'failed'
         WHEN coalesce(nullif(j.started_at, 0), j.queued_at) > j.slot + 3600000
              + 1000 * coalesce((SELECT s.jitter_seconds FROM schedules s WHERE s.id = j.schedule), 0) THEN 'late'
         ELSE 'ran' END,
    j.id, CASE WHEN j.state IN ('succeeded', 'warnings') THEN '' ELSE j.cause END, j.finished_at
FROM jobs j
WHERE j.schedule <> '' AND j.finished_at > 0 AND j.cause <> 'served' AND j.slot > (SELECT coalesce(max(finished_at), 0) FROM jobs) - 7776000000
    AND j.attempt = (SELECT max(k.attempt) FROM jobs k WHERE k.schedule = j.schedule AND k.source_group = j.source_group AND k.slot = j.slot
        AND k.schedule <> '' AND k.finished_at > 0 AND k.cause <> 'served');
INSERT INTO slot_marks (schedule, judged) SELECT id, CAST(strftime('%s', 'now') AS BIGINT) * 1000 FROM schedules;

-- +goose Down
SELECT 1;
