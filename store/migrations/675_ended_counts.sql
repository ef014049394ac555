-- +goose Up
-- How many jobs have ended by kind and state, and how long they ran, since this table is
-- there. Unlike job_tallies it never goes down, also when old jobs are removed: programs
-- that watch take a count that fell for one that began anew.
CREATE TABLE ended_counts (
    kind   TEXT NOT NULL,
    state  TEXT NOT NULL,
    jobs   INTEGER NOT NULL,
    millis INTEGER NOT NULL,
    PRIMARY KEY (kind, state)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE ended_counts;
