-- +goose Up
-- What Home Assistant is told of, in one row.
CREATE TABLE home_assistant (
    one        BIGINT  NOT NULL PRIMARY KEY CHECK (one = 1),
    enabled    BOOLEAN NOT NULL,
    prefix     TEXT    NOT NULL,
    tags       TEXT    NOT NULL,   -- of the hosts that it is told of; none is all hosts
    buttons    BOOLEAN NOT NULL,
    version    BIGINT  NOT NULL,   -- counts its changes
    changed_at BIGINT  NOT NULL,
    changed_by TEXT    NOT NULL
);

-- By which name the entity IDs of a device begin: the one that it had when it was first
-- announced, so that they stay when it gets another one.
CREATE TABLE discovery_names (
    device TEXT NOT NULL PRIMARY KEY,   -- host:ID, repository:ID or fleet
    slug   TEXT NOT NULL UNIQUE
);

-- What each broker was told, so that it can be taken back: by its topic, with the
-- components that are there and those that are to go.
CREATE TABLE discovery_told (
    outlet     TEXT   NOT NULL,   -- public or uplink
    topic      TEXT   NOT NULL,   -- the whole name
    device     TEXT   NOT NULL,
    components TEXT   NOT NULL,   -- platforms by key
    gone       TEXT   NOT NULL,   -- those that were there before, by key
    gone_at    BIGINT NOT NULL,   -- when the last of them went; 0 is that none did
    PRIMARY KEY (outlet, topic)
);

-- When a Home Assistant last said that it is there.
CREATE TABLE discovery_births (
    outlet TEXT   NOT NULL PRIMARY KEY,
    name   TEXT   NOT NULL,   -- the consumer; '' where that is not known
    at     BIGINT NOT NULL
);

-- +goose Down
DROP TABLE discovery_births;
DROP TABLE discovery_told;
DROP TABLE discovery_names;
DROP TABLE home_assistant;
