-- +goose Up
-- What a host's agent says of updates of itself, as JSON. One of an older version says
-- nothing of them.
ALTER TABLE hosts ADD COLUMN updates TEXT NOT NULL DEFAULT '';

-- Jobs that update an agent are in no repository. A job's row refers to one, so there is a
-- row that stands for none. It was removed from the beginning: no list has it.
INSERT INTO repositories (id, name, url, location, password, env, created_at, removed_at) VALUES ('', '', '', '', '', '', 0, 1);

-- +goose Down
DELETE FROM repositories WHERE id = '';
ALTER TABLE hosts DROP COLUMN updates;
