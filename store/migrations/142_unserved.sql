-- +goose Up
-- Slots that no job served, for charts of days: see slotlog.Days.
DROP INDEX slot_outcomes_missed;
CREATE INDEX slot_outcomes_unserved ON slot_outcomes (host, slot) WHERE job = '' AND outcome <> '';

-- +goose Down
SELECT 1;
