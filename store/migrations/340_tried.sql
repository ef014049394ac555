-- +goose Up
-- One row that is written to learn whether the database can be written at all. Databases
-- of before have none: the first try makes it.
CREATE TABLE tried (
    id BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);

-- +goose Down
SELECT 1;
