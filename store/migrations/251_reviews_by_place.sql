-- +goose Up
-- Where {host} leads to several places, the plan of each may wait for a person. Those that
-- wait now are of the place that all hosts share, or of the keeper's.
ALTER TABLE maintenance_reviews RENAME TO reviews_before;
CREATE TABLE maintenance_reviews (
    repository  TEXT   NOT NULL REFERENCES repositories (id),
    place       TEXT   NOT NULL DEFAULT '',
    hash        TEXT   NOT NULL,
    plan        TEXT   NOT NULL,
    held_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    approved_by TEXT   NOT NULL DEFAULT '',
    approved_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (repository, place)
);
INSERT INTO maintenance_reviews (repository, hash, plan, held_at, expires_at, approved_by, approved_at)
SELECT repository, hash, plan, held_at, expires_at, approved_by, approved_at FROM reviews_before;
DROP TABLE reviews_before;

-- +goose Down
SELECT 1;
