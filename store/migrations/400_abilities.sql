-- +goose Up
-- What a host's agent can do beyond what each agent can, as a JSON list of names. One of an
-- older version says nothing of it.
ALTER TABLE hosts ADD COLUMN can TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE hosts DROP COLUMN can;
