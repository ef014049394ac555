-- +goose Up
-- At which address agents reach the control plane, in one row. What it was told at its
-- last start wins, and stands here for the command line beside it.
CREATE TABLE agents_address (
    one        BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    address    TEXT   NOT NULL,   -- HOST:PORT; '' is not set
    flag       TEXT   NOT NULL,   -- the same, of --agents-public; '' is not given
    changed_at BIGINT NOT NULL,
    changed_by TEXT   NOT NULL
);

-- +goose Down
DROP TABLE agents_address;
