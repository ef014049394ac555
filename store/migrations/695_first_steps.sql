-- +goose Up
-- Whether somebody wants to see the first steps no more, in one row. How far they are is
-- kept nowhere: it follows from what there is.
CREATE TABLE first_steps (
    one       BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    hidden_at BIGINT NOT NULL,  -- 0: they are shown
    hidden_by TEXT   NOT NULL
);

-- +goose Down
DROP TABLE first_steps;
