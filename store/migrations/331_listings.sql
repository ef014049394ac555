-- +goose Up
-- How far the listing of a job that is about to end is applied to the rows of snapshots;
-- see package store/snapshots. The row goes with the job's end.
CREATE TABLE listing_progress (
    job     TEXT   PRIMARY KEY,
    counted BIGINT NOT NULL, -- parts of its report whose entries are counted
    entries BIGINT NOT NULL, -- and how many those are
    parts   BIGINT NOT NULL, -- that are applied
    taken   BIGINT NOT NULL, -- snapshots of the next part that are
    at      BIGINT NOT NULL  -- when this listing saw all its snapshots
);

-- +goose Down
SELECT 1;
