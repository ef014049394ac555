-- +goose Up
-- Data keys seal secrets; each is kept sealed with the master key, which is not
-- in the database. While keys are being changed there are two of either, and
-- every number says which is the newer one.
CREATE TABLE data_keys (
    id         TEXT   NOT NULL,
    n          BIGINT NOT NULL,
    master     TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    wrapped    BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id, master)
);

-- +goose Down
DROP TABLE data_keys;
