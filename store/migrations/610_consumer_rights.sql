-- +goose Up
-- Which hosts a consumer hears of and commands: those with one of its tags, all without
-- any. And whether it is the Home Assistant whose birth on homeassistant/status counts.
ALTER TABLE mqtt_users ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE mqtt_users ADD COLUMN home_assistant BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE mqtt_users DROP COLUMN tags;
ALTER TABLE mqtt_users DROP COLUMN home_assistant;
