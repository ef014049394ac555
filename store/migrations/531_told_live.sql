-- +goose Up
-- What is looked at each time: alerts that channels know of and that are not over for them.
CREATE INDEX channel_told_live ON channel_told (alert) WHERE state IN ('open', 'swallowed', 'telling');
CREATE INDEX channel_told_of ON channel_told (alert);

-- +goose Down
DROP INDEX channel_told_of;
DROP INDEX channel_told_live;
