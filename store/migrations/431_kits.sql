-- +goose Up
-- When emergency kits were last shown, and to whom.
CREATE TABLE kits_shown (
    kind    TEXT   NOT NULL, -- repository, host or all
    subject TEXT   NOT NULL, -- its ID, '' of all
    at      BIGINT NOT NULL,
    actor   TEXT   NOT NULL,
    PRIMARY KEY (kind, subject)
);
INSERT INTO kits_shown (kind, subject, at, actor)
    SELECT 'repository', a.target, a.at, a.actor FROM audit a
    JOIN (SELECT max(n) AS n FROM audit WHERE action = 'repository.kit_shown' GROUP BY target) last ON last.n = a.n;

-- +goose Down
DROP TABLE kits_shown;
