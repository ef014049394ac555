-- +goose Up
-- How far an outlet has come in outbox_once: it has been given everything up to n. There
-- is a row for each outlet that is used; it begins where it was switched on.
CREATE TABLE outbox_reached (
    outlet TEXT   NOT NULL PRIMARY KEY,
    n      BIGINT NOT NULL
);
-- Whose end it says, written in the transaction in which the job ended; what is said of it
-- is put together when it is sent. '' is a message that is there as it is.
ALTER TABLE outbox_once ADD COLUMN job TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE outbox_once DROP COLUMN job;
DROP TABLE outbox_reached;
