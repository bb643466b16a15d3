-- Poolers that farmers find in a public list, and join by themselves.

-- Wants to be in the public list, and lets farmers join by themselves.
ALTER TABLE registry.poolers ADD COLUMN is_listed boolean NOT NULL DEFAULT false;
ALTER TABLE registry.poolers ADD COLUMN is_open_to_join boolean NOT NULL DEFAULT false;
GRANT UPDATE (is_listed, is_open_to_join) ON registry.poolers TO kalepool_registry;

-- The public list of poolers shows their terms.
GRANT SELECT ON registry.terms TO kalepool_harvest;

-- Its owner account registered it.
ALTER TABLE registry.farmers ADD COLUMN joined_itself boolean NOT NULL DEFAULT false;
CREATE INDEX idx_farmers_joined ON registry.farmers (created_at) WHERE joined_itself;

-- The lock of this row is the turn of who joins a pooler by itself: one at a time, so that what has joined within
-- a day is counted once.
CREATE TABLE registry.join_turn (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    taken_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
INSERT INTO registry.join_turn DEFAULT VALUES;
GRANT SELECT, UPDATE (taken_at) ON registry.join_turn TO kalepool_registry;
