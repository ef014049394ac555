-- +goose Up
-- Whose a credential is: the ID of the person who made it, and of the API token by which
-- they did. It acts with the lower of its own role and theirs. Of a credential from before
-- this is known by name if the person is still there, was there then and may sign in;
-- any other, and what the command line or a token made, goes on with its own role.
ALTER TABLE api_tokens ADD COLUMN maker TEXT NOT NULL DEFAULT '';
ALTER TABLE api_tokens ADD COLUMN made_with TEXT NOT NULL DEFAULT '';
ALTER TABLE mqtt_users ADD COLUMN maker TEXT NOT NULL DEFAULT '';
ALTER TABLE mqtt_users ADD COLUMN made_with TEXT NOT NULL DEFAULT '';

UPDATE api_tokens SET maker = COALESCE((SELECT u.id FROM users u
    WHERE u.name = api_tokens.created_by AND u.disabled_at = 0 AND u.created_at <= api_tokens.created_at), '');
UPDATE mqtt_users SET maker = COALESCE((SELECT u.id FROM users u
    WHERE u.name = mqtt_users.created_by AND u.disabled_at = 0 AND u.created_at <= mqtt_users.created_at), '');

CREATE INDEX api_tokens_of ON api_tokens (maker);
CREATE INDEX mqtt_users_of ON mqtt_users (maker);

-- +goose Down
SELECT 1;
