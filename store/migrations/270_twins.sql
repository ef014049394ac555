-- +goose Up
-- The machines that use one host's identity at once: see protocol.Lane. A row is a
-- journal, by its epoch. Hosts of before have none, and are one machine each.
CREATE TABLE host_lanes (
    host       TEXT   NOT NULL REFERENCES hosts (id),
    epoch      BIGINT NOT NULL,
    seq        BIGINT NOT NULL DEFAULT 0,
    mark       TEXT   NOT NULL DEFAULT '',
    instance   TEXT   NOT NULL DEFAULT '', -- '' of an agent of an older version
    greeted    BIGINT NOT NULL DEFAULT 0,
    jobs       TEXT   NOT NULL DEFAULT '', -- JSON: what the machine has in hand
    refused_at BIGINT NOT NULL DEFAULT 0,  -- since when another machine stays; 0 is not decided
    birth_n    BIGINT NOT NULL DEFAULT 0,
    death_n    BIGINT NOT NULL DEFAULT 0,
    hello_n    BIGINT NOT NULL DEFAULT 0,
    first_at   BIGINT NOT NULL DEFAULT 0,
    heard_at   BIGINT NOT NULL DEFAULT 0,
    address    TEXT   NOT NULL DEFAULT '', -- where its connection came from
    version    TEXT   NOT NULL DEFAULT '', -- of its agent
    machine    TEXT   NOT NULL DEFAULT '', -- JSON: topics.Machine
    PRIMARY KEY (host, epoch)
);
-- Since when two machines use the identity, 0 if they do not; and which process of an
-- agent is to renew its certificate, '' if none is.
ALTER TABLE hosts ADD COLUMN twins_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN renew_for TEXT NOT NULL DEFAULT '';

-- +goose Down
SELECT 1;
