-- +goose Up
-- Restores that people put together page by page, until they are asked for.
CREATE TABLE restore_drafts (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,   -- the only one who sees it
    repository TEXT NOT NULL,   -- that everything in it comes from; '' while nothing was chosen
    version    BIGINT NOT NULL, -- counts its changes
    created_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL, -- when it was last changed; it goes a week later
    body       TEXT NOT NULL
);
CREATE INDEX restore_drafts_by_user ON restore_drafts (user_id, touched_at);
CREATE INDEX restore_drafts_by_age ON restore_drafts (touched_at);
CREATE INDEX restore_drafts_by_repository ON restore_drafts (repository);
